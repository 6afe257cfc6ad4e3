//! Plans of small checkpoints on disk: what is refused and in which words, and what is laid out.

pub(crate) mod builder;
mod configs;
mod layout;
mod properties;
mod request;
mod side_files;
mod target;
mod tied;
mod tokenizer;
mod treatments;

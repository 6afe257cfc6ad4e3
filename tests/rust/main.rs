//! Integration tests of the core.
mod plan;

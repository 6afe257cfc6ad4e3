//! Integration tests of the core.

mod allocation;
mod checkpoint;
mod io;
mod layers;
mod plan;
mod remote;
mod sending;

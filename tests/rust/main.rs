//! Integration tests of the core.

mod checkpoint;
mod io;

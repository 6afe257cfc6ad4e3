//! Integration tests of the core.

mod io;

//! Chunk encodings, one a file.

pub mod gorilla;

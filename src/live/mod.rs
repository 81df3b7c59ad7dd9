//! Rules as they live on disk.

pub mod load;

//! Rules as they live on disk: read whole, watched, and swapped under traffic.

pub mod load;
pub mod watch;

//! The language in which conversations of MPTCP hosts are written, and the one packet builder.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that is written wrong shall stop, and say where"
)]

pub mod conversation;
pub mod packet;

//! For tests and benches: the one packet builder.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that is written wrong shall stop, and say where"
)]

pub mod packet;

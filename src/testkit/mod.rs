//! For tests and benches: the one packet builder, and the reader of decision scripts.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that is written wrong shall stop, and say where"
)]

pub mod packet;
pub mod script;

//! mpgate, a firewall filter for Multipath TCP.

pub mod time;
pub mod wire;
pub mod mptcp;
pub mod track;

#[doc(hidden)]
pub mod testkit;

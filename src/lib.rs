//! mpgate, a firewall filter for Multipath TCP.

pub mod time;
pub mod wire;
pub mod mptcp;

#[doc(hidden)]
pub mod testkit;

//! mpgate, a firewall filter for Multipath TCP.

pub mod time;
pub mod wire;
pub mod mptcp;
pub mod track;
pub mod rules;
pub mod engine;

pub mod live;

#[doc(hidden)]
pub mod testkit;

//! mpgate, a firewall filter for Multipath TCP.

pub mod time;
pub mod wire;
pub mod mptcp;
pub mod track;
pub mod rules;
pub mod engine;

pub mod live;

pub mod replay;

#[doc(hidden)]
pub mod testkit;

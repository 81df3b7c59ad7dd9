//! mpgate, a firewall filter for Multipath TCP.

pub mod time;
pub mod wire;
pub mod mptcp;
pub mod track;
pub mod rules;
pub mod engine;

pub mod clock;
pub mod live;
pub mod marks;
pub mod metrics;

pub mod attach;
pub mod queue;
pub mod replay;
pub mod serve;
pub mod lab;

#[doc(hidden)]
pub mod testkit;

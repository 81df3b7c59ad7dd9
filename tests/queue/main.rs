//! The queue's door on a real kernel: a client, a router and a server in network namespaces, joined by veth.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

#[path = "../netns/mod.rs"]
mod netns;

mod attaching;
mod joins;
mod modes;
mod overload;
mod rewriting;
mod spreading;
mod third_acks;
mod workers;
mod world;

//! mpgate, a firewall filter for Multipath TCP: the kernel hands it packets through NFQUEUE; it reads every TCP option,
//! ties each MP_JOIN to its connection, and accepts, strips or rejects by the operator's rules.
//!
//! A packet climbs the floors and leaves by the door that it came in. Each floor adds one typed value and knows nothing
//! of what is above it:
//!
//! | floor | value | it knows |
//! |---|---|---|
//! | [`wire`] | [`wire::Packet`] | what the bytes say (RFC 9293, 791, 8200) |
//! | [`mptcp`] | [`mptcp::Signals`] | what option kind 30 means (RFC 8684, 6824) |
//! | [`track`] | [`track::Standing`] | what is remembered of keys, tokens and subflows |
//! | [`rules`] | [`rules::Hit`] | what the operator wants |
//! | [`engine`] | [`engine::Decision`] | what is done, and why |
//!
//! The doors are [`queue`] (the kernel's packets), [`replay`] (a capture's) and [`trace`] (one packet, floor by floor),
//! which climb the very same stairs; [`diff`] tells what some other box did, from captures on both its sides; [`attach`]
//! brings packets to the queue, [`serve`] tells Prometheus, [`checkme`] tells visitors whether they speak MPTCP, [`probe`]
//! tells what a path does to it, [`lab`] shows it all with real kernels, and [`cli`] knows them all. Closets that several
//! share stand beside them: [`script`] is the language of conversations, in which tests and traces are written;
//! [`analysis`] tells what happened in a run of segments, [`picture`] draws charts, and [`evidence`] writes what was not
//! accepted.
//!
//! Invariant: what is below [`engine`], and the engine, takes no clock, randomness or I/O: time is an argument, and
//! replay decides as production does.
//!
//! Invariant: no bytes of a packet panic the gate.
//!
//! Invariant: a strip overwrites option bytes with NOPs, and moves nothing.
//!
//! Invariant: what was refused teaches nothing; what was stripped teaches only what went on.
//!
//! Invariant: a connection keeps what was decided at its SYN, whatever rules are loaded later.
//!
//! Invariant: every table, queue, loop and wait has a limit beside it.
//!
//! Where to start: [`engine::Engine::decide`], which is the packet's whole day; then `tests/decisions`, which is what it
//! decides.

pub mod time;
pub mod marks;
pub mod wire;
pub mod mptcp;
pub mod track;
pub mod rules;
pub mod engine;

pub mod analysis;
pub mod clock;
pub mod capture;
pub mod comment;
pub mod evidence;
pub mod fields;
pub mod live;
pub mod metrics;
pub mod picture;
pub mod priority;
pub mod script;

pub mod attach;
pub mod queue;
pub mod replay;
pub mod trace;
pub mod diff;
pub mod serve;
pub mod checkme;
pub mod probe;
pub mod lab;

pub mod cli;

//! What a path does to MPTCP, and at which hop: real connections where they are safe, and crafted segments with rising hop
//! limits whose beginnings routers send back (as tracebox has it, Detal and others, IMC 2013).
//!
//! Invariant: no SYN with MP_CAPABLE leaves this host's kernel before a crafted one was answered, so that the kernel never has
//! cause to turn MPTCP off (`net.mptcp.blackhole_timeout`).
//!
//! Invariant: nothing of this host is changed. Ports that answers come to are bound and do not listen, so the kernel itself
//! resets what opens there.

mod quote;
mod tap;
mod shot;
mod line;
mod questions;
mod speech;
mod talk;
mod course;
mod page;
mod observed;
mod conversation;
mod echo;
mod survey;
mod place;
mod finding;
mod stage;
mod judge;
mod report;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use finding::{Finding, Kind};
pub use report::{Hop, Report, Verdict};
pub use stage::{Outcome, Stage, StageReport};

use observed::Observed;
use questions::Questions;

use crate::clock;

/// The longest way that is followed; few are longer than 20 hops, and traceroute goes as far.
const HOPS_MAX: u8 = 30;

/// By which way a further subflow is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// By that interface, from its address.
    Interface(String),
    /// From that address of this host.
    Address(IpAddr),
}

/// What a probe may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Packets that this host sends.
    pub packets: usize,
    /// How long it may take.
    pub time: Duration,
}

impl Limits {
    /// A healthy way takes some 60, one of 30 hops where SYNs vanish 300.
    pub const PACKETS: usize = 400;
    /// A healthy way takes some 25 round trips; a wait for what may never come takes at most 3 s, and there are five.
    pub const TIME_SECS: u64 = 20;
}

/// What to probe.
#[derive(Clone, Debug)]
pub struct Options {
    /// As it was asked for.
    pub name: String,
    /// Where that is.
    pub target: SocketAddr,
    /// Another way to try a further subflow by.
    pub via: Option<Via>,
    /// What it may take.
    pub limits: Limits,
}

/// Why a path could not be probed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Raw and packet sockets need it.
    #[error("a probe sends crafted segments, which needs CAP_NET_RAW: run it with sudo")]
    NoNetRaw,
    /// The routing table has nothing.
    #[error("there is no route to {0}: `ip route get {0}` says why")]
    NoRoute(IpAddr),
    /// `--via` names nothing that this host has.
    #[error("--via {via}: {error}; `ip address` lists the interfaces and addresses of this host")]
    Via {
        /// What was asked for.
        via: Via,
        /// What the kernel says.
        error: io::Error,
    },
    /// Not even plain TCP is answered.
    #[error(
        "{0} does not answer plain TCP, so there is nothing to compare MPTCP with: check address and port, or a firewall"
    )]
    NoAnswer(SocketAddr),
    /// A RST.
    #[error("{0} refuses connections: nothing listens on that port, or a firewall says so")]
    Refused(SocketAddr),
    /// An ICMP error.
    #[error("{0} cannot be reached, says {1} by ICMP")]
    Unreachable(SocketAddr, IpAddr),
    /// `--packets-max`.
    #[error("{0} packets were not enough to begin with: allow more with --packets-max")]
    Packets(usize),
    /// `--timeout`.
    #[error("{} s were not enough to begin with: allow more with --timeout", .0.as_secs())]
    Overdue(Duration),
    /// The operating system refused.
    #[error("{doing}: {error}")]
    Io {
        /// What was being done.
        doing: String,
        /// What it said.
        error: io::Error,
    },
}

/// Names what was being done when the operating system refused.
fn doing(what: impl Into<String>) -> impl FnOnce(io::Error) -> ProbeError {
    move |error| ProbeError::Io { doing: what.into(), error }
}

/// Probes the way to the target, and says what it does to MPTCP. Takes a few round trips where all is well, and some seconds
/// where segments vanish.
///
/// # Errors
/// When there is nothing to compare MPTCP with, or this host may not or cannot probe.
pub fn run(options: &Options) -> Result<Report, ProbeError> {
    let since = clock::now();
    let mut seen = Observed::default();
    let mut questions = Questions::open(options.target, options.limits, None)?;
    if let Some(via) = &options.via {
        // Before anything is sent.
        drop(questions.elsewhere(via)?);
    }
    match survey::survey(&mut questions, options.via.as_ref(), &mut seen) {
        // What is known is told; the stages that are missing say so.
        Err(ProbeError::Packets(_) | ProbeError::Overdue(_)) if seen.offer.is_some() => {}
        ended => ended?,
    }
    Ok(Report::new(options, &seen, questions.line.packets(), clock::now().since(since)))
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(name) => f.write_str(name),
            Self::Address(addr) => addr.fmt(f),
        }
    }
}

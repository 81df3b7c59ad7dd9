//! All that was seen, as values: what was asked, and what became of it.

use crate::mptcp::option::Tcprst;
use crate::probe::course::Course;
use crate::probe::echo::Echoes;
use crate::probe::page::Page;
use crate::probe::questions::Trace;
use crate::probe::shot::{Fate, Quoted};

/// What the probe saw; what is absent was not asked.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// At how many hops the target answers by itself.
    pub(super) distance: Option<u8>,
    /// Plain SYNs, hop by hop.
    pub(super) plain: Trace,
    /// A SYN with MP_CAPABLE, all the way.
    pub(super) offer: Option<Fate>,
    /// The same, hop by hop.
    pub(super) offers: Trace,
    /// A SYN with another option of kind 30 before it, at the hop where the option had gone.
    pub(super) decoys: Trace,
    /// Whether an answer brings back what went no farther than that hop.
    pub(super) echoes: Echoes,
    /// SYN/ACKs with MP_CAPABLE, sent forward.
    pub(super) answers: Trace,
    /// A MP_JOIN with a token that nobody has: a listener that speaks MPTCP resets it, another one answers.
    pub(super) stranger: Option<Fate>,
    /// A real connection.
    pub(super) talk: Talked,
    /// What `mpgate checkme` says.
    pub(super) page: Option<Page>,
    /// Segments with DSS behind the handshake, hop by hop.
    pub(super) later: Trace,
    /// A pure ACK with ADD_ADDR.
    pub(super) announced: Trace,
    /// A line that application gateways like to rewrite.
    pub(super) lines: Trace,
    /// A further subflow.
    pub(super) join: Option<Joining>,
}

/// What became of a connection by this host's own MPTCP.
#[derive(Debug, Default)]
pub(super) enum Talked {
    /// There was no point in one, or no more packets.
    #[default]
    NotTried,
    /// This host makes no MPTCP sockets.
    NoKernel(String),
    /// It did not open.
    Unopened(String),
    /// It opened.
    Took(Box<Took>),
}

/// A connection that opened.
#[derive(Debug)]
pub(super) struct Took {
    /// How it went, before the line that gateways rewrite was said.
    pub(super) before: Course,
    /// How it went to its end.
    pub(super) course: Course,
    /// One of the lines was never acknowledged.
    pub(super) stuck: bool,
}

/// A MP_JOIN to the connection that was open.
#[derive(Debug)]
pub(super) struct Joining {
    /// From where, where that is another way than the connection's.
    pub(super) via: Option<String>,
    /// What became of it.
    pub(super) fate: Fate,
    /// The connection was still there afterwards.
    pub(super) alive: bool,
    /// The answer proves that the server has both keys.
    pub(super) proven: bool,
    /// A plain SYN by the same way, where nobody answered.
    pub(super) control: Option<Fate>,
    /// It, and plain SYNs, hop by hop.
    pub(super) trace: Trace,
    pub(super) plain: Trace,
}

impl Talked {
    /// How it went to its end.
    pub(super) const fn course(&self) -> Option<&Course> {
        match self {
            Self::Took(took) => Some(&took.course),
            Self::NotTried | Self::NoKernel(_) | Self::Unopened(_) => None,
        }
    }
}

impl Observed {
    /// The last hop before the target, as far as that is known.
    pub(super) fn last_hop(&self) -> Option<u8> {
        let routers = self.plain.iter().filter(|(_, fate)| matches!(fate, Fate::Quoted(_)));
        routers.map(|(&hop, _)| hop).filter(|hop| self.distance.is_none_or(|distance| *hop < distance)).max()
    }

    /// The hops that quote what they do not pass on.
    pub(super) fn quoting(&self) -> Vec<u8> {
        quoting(&self.plain)
    }
}

/// The hops of a trace that quoted.
pub(super) fn quoting(trace: &Trace) -> Vec<u8> {
    let quoted = |fate: &Fate| matches!(fate, Fate::Quoted(_));
    trace.iter().filter(|(_, fate)| quoted(fate)).map(|(&hop, _)| hop).collect()
}

/// The quote, if it is one.
pub(super) const fn quoted(fate: &Fate) -> Option<&Quoted> {
    match fate {
        Fate::Quoted(quoted) => Some(quoted),
        Fate::Answered(_) | Fate::Silent => None,
    }
}

/// Why a reset came, in words.
pub(super) fn told(tcprst: Option<Tcprst>) -> String {
    tcprst.map_or_else(
        || "without a reason".to_owned(),
        |tcprst| format!("MP_TCPRST {} {}", tcprst.reason, tcprst.reason.label()),
    )
}

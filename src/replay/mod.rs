//! The door to captures: what happened to MPTCP in one, and what the gate would have done, by the same stairs as
//! production, climbed in capture time.

pub mod text;
pub mod report;
pub mod table;
pub mod plot;
pub mod objects;
pub mod summary;
pub mod behind;
pub mod annotated;

use std::time::Duration;

pub use annotated::Annotated;
pub use behind::Behind;
pub use summary::Summary;
pub use text::{Lines, Show};

use crate::analysis::{Analysis, Observed, Sight};
use crate::capture::{Frame, Other};
use crate::engine::{Decision, Engine, Ingress};
use crate::mptcp::{Signals, signals};
use crate::time::Timestamp;
use crate::track::{ConnectionId, Pace};
use crate::wire::{Flow, Packet, Segment, Unparsed};

/// What looks at the frames of a capture: an analysis of what happened, and an engine that says what it would have done.
#[derive(Debug)]
pub struct Replay {
    engine: Option<Engine>,
    pace: Pace,
    analysis: Analysis,
    first: Option<Timestamp>,
}

/// One frame, and what became of it.
#[derive(Debug)]
pub struct Seen {
    /// The frame's number in the capture, from 1.
    pub frame: u64,
    /// Seconds since the first frame; negative where the capture steps back behind it.
    pub secs: f64,
    /// What it was.
    pub what: What,
}

/// What a frame was.
#[derive(Debug)]
pub enum What {
    /// A TCP segment.
    Segment(Box<SegmentSeen>),
    /// A packet that the gate would have been handed, without a readable TCP header.
    Unreadable {
        /// Why not.
        why: Unparsed,
        /// What is done with it; `None` where nobody decides.
        decision: Option<Decision>,
    },
    /// Nothing for the gate.
    Other(Other),
}

/// A TCP segment, and what is done with it.
#[derive(Debug)]
pub struct SegmentSeen {
    /// Where in the frame its IP packet starts.
    pub ip_at: usize,
    /// Who sent it to whom.
    pub flow: Flow,
    /// What kind of segment it is.
    pub segment: Segment,
    /// Its MPTCP options.
    pub signals: Signals,
    /// How it stands to the segments before it, and what it shows.
    pub observed: Observed,
    /// What is done with it; `None` where nobody decides.
    pub decision: Option<Decision>,
}

impl Replay {
    /// A replay that has seen no frame yet, and decides by `engine`.
    pub fn new(engine: Engine) -> Self {
        Self { engine: Some(engine), ..Self::undecided() }
    }

    /// One that decides nothing: it only looks.
    pub fn undecided() -> Self {
        Self { engine: None, pace: Pace::default(), analysis: Analysis::default(), first: None }
    }

    /// The same, and it follows a connection over time.
    pub fn following(self, id: ConnectionId) -> Self {
        Self { analysis: Analysis::following(id), ..self }
    }

    /// Takes the next frame of the capture up the stairs.
    pub fn step(&mut self, frame: &Frame) -> Seen {
        self.expire(frame.at);
        let first = *self.first.get_or_insert(frame.at);
        Seen { frame: frame.number, secs: relative_secs(first, frame.at), what: self.look(frame) }
    }

    /// What happened, and when the first frame was captured.
    pub fn finish(mut self) -> (Analysis, Timestamp) {
        self.analysis.finish();
        (self.analysis, self.first.unwrap_or_default())
    }

    fn look(&mut self, frame: &Frame) -> What {
        let found = match frame.packet() {
            Ok(found) => found,
            Err(other) => return What::Other(other),
        };
        match &found.packet {
            Ok(packet) => What::Segment(Box::new(self.take(frame, found.ip_at, packet))),
            Err(why) => What::Unreadable {
                why: *why,
                decision: self
                    .engine
                    .as_ref()
                    .map(|engine| engine.decider().decide_unparsed(&Ingress::default(), *why)),
            },
        }
    }

    fn take(&mut self, frame: &Frame, ip_at: usize, packet: &Packet<'_>) -> SegmentSeen {
        let signals = signals(packet);
        let decide = |engine: &Engine| {
            engine.decider().decide_segment(frame.at, &Ingress::default(), packet, &signals)
        };
        let decision = self.engine.as_ref().map(decide);
        let sight = Sight { frame: frame.number, at: frame.at, packet, signals: &signals };
        let observed = self.analysis.observe(sight);
        SegmentSeen { ip_at, flow: packet.flow, segment: packet.segment, signals, observed, decision }
    }

    /// Lets the engine forget as often as the time since the last frame is worth.
    fn expire(&mut self, now: Timestamp) {
        if let Some(engine) = &self.engine {
            self.pace.keep(now, |now| engine.expire(now));
        }
    }
}

fn relative_secs(first: Timestamp, at: Timestamp) -> f64 {
    if at >= first { secs(at.since(first)) } else { -secs(first.since(at)) }
}

/// Divided once, so that 1.99998 s are written so; [`Duration::as_secs_f64`] rounds twice.
fn secs(span: Duration) -> f64 {
    let whole = u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    (f64::from(whole) * 1e9 + f64::from(span.subsec_nanos())) / 1e9
}

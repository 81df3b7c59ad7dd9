//! The door to captures: the same stairs as production, climbed in capture time.

pub mod report;
pub mod text;
pub mod summary;
pub mod behind;

use std::time::Duration;

pub use behind::Behind;
pub use report::write_json;
pub use summary::Summary;
pub use text::{Lines, Show};

use crate::capture::{Frame, Other};
use crate::engine::{Decision, Engine, Ingress};
use crate::mptcp::{Signals, signals};
use crate::time::Timestamp;
use crate::wire::{Flow, Packet, Segment, Unparsed};

/// How often the engine forgets, in capture time; workers do it about as often.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(100);

/// How many rounds of forgetting a gap in the capture is worth at most, so that no frame costs more than that.
const EXPIRY_ROUNDS_MAX: u128 = 64;

/// An engine on its way through a capture.
#[derive(Debug)]
pub struct Replay {
    engine: Engine,
    times: Option<Times>,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    first: Timestamp,
    expired: Timestamp,
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
        /// What is done with it.
        decision: Decision,
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
    /// What is done with it.
    pub decision: Decision,
}

impl Replay {
    /// A replay that has seen no frame yet.
    pub const fn new(engine: Engine) -> Self {
        Self { engine, times: None }
    }

    /// Takes the next frame of the capture up the stairs.
    pub fn step(&mut self, frame: &Frame) -> Seen {
        let first = self.expire(frame.at);
        Seen { frame: frame.number, secs: relative_secs(first, frame.at), what: self.decide(frame) }
    }

    /// The engine as that frame meets it; the frame itself is not decided.
    pub fn engine_at(&mut self, frame: &Frame) -> &Engine {
        self.expire(frame.at);
        &self.engine
    }

    fn decide(&self, frame: &Frame) -> What {
        let (ip_at, ip) = match frame.packet() {
            Ok(found) => found,
            Err(other) => return What::Other(other),
        };
        let decision = self.engine.decide(frame.at, &Ingress::default(), ip);
        match Packet::parse(ip) {
            Ok(packet) => What::Segment(Box::new(SegmentSeen {
                ip_at,
                flow: packet.flow,
                segment: packet.segment,
                signals: signals(&packet),
                decision,
            })),
            Err(why) => What::Unreadable { why, decision },
        }
    }

    /// Lets the engine forget as often as the time since the last frame is worth; gives the time of the first frame.
    fn expire(&mut self, now: Timestamp) -> Timestamp {
        let Times { first, expired } = self.times.unwrap_or(Times { first: now, expired: now });
        let rounds = now.since(expired).as_nanos() / EXPIRY_INTERVAL.as_nanos();
        for _ in 0..rounds.min(EXPIRY_ROUNDS_MAX) {
            self.engine.expire(now);
        }
        self.times = Some(Times { first, expired: if rounds > 0 { now } else { expired } });
        first
    }
}

fn relative_secs(first: Timestamp, at: Timestamp) -> f64 {
    if at >= first { at.since(first).as_secs_f64() } else { -first.since(at).as_secs_f64() }
}

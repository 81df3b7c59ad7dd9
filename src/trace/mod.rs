//! The door to one packet: what the gate does with it, floor by floor, why, and what both hosts will then do.

mod options;
mod hearing;
mod speaker;
mod peers;
mod bytes;
mod sheet;
mod text;
mod json;

use crate::engine::{Decision, Egress, Engine, Ingress, Look, enforce};
use crate::mptcp::{Signals, signals};
use crate::rules::Source;
use crate::time::Timestamp;
use crate::wire::{Packet, Unparsed};
use hearing::Hearing;
pub use hearing::Shown;
pub use json::write_json;
use peers::Peer;
pub use sheet::Colour;
use speaker::Speaker;
pub use text::write_text;

/// A packet on its way to the gate.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'p> {
    /// Which one of its conversation or capture, from 1.
    pub number: u64,
    /// Where that is told.
    pub told: Told<'p>,
    /// When it comes.
    pub now: Timestamp,
    /// By which door.
    pub ingress: &'p Ingress,
    /// The packet.
    pub bytes: &'p [u8],
}

/// Where a packet is told of.
#[derive(Clone, Copy, Debug)]
pub enum Told<'p> {
    /// In a script.
    Script {
        /// The case; empty where it has no name.
        case: &'p str,
        /// The line, from 1.
        line: usize,
        /// What the line says.
        text: &'p str,
    },
    /// In a capture: its number is that of the frame.
    Capture,
}

/// One packet, what is done with it, and why.
#[derive(Debug)]
pub struct Trace<'p> {
    arrival: Arrival<'p>,
    seen: Result<Seen<'p>, Unparsed>,
    hearing: Hearing,
    /// What was decided.
    pub decision: Decision,
    speaker: Speaker,
    egress: Egress,
    /// The bytes as they go on, where they do.
    after: Vec<u8>,
    peers: Vec<Peer>,
}

/// What was read in a segment, and found.
#[derive(Debug)]
struct Seen<'p> {
    packet: Packet<'p>,
    signals: Signals,
    look: Look,
    /// The rule that spoke on its connection's SYN.
    opened_by: OpenedBy,
}

/// Who let a connection pass at its SYN.
#[derive(Clone, Debug, PartialEq, Eq)]
enum OpenedBy {
    /// No rule.
    Policy,
    /// This one.
    Rule(String),
    /// One that was loaded then, and is not now.
    FormerRule,
}

/// Decides a packet as production does, and keeps what was seen on the way. `sources` are the files of the engine's rules.
pub fn trace<'p>(engine: &Engine, sources: &[Source], arrival: Arrival<'p>, shown: Shown) -> Trace<'p> {
    let Arrival { now, ingress, bytes, .. } = arrival;
    let rules = engine.rules();
    let seen = engine.look(now, ingress, bytes).and_then(|look| {
        let packet = Packet::parse(bytes)?;
        let by = look.connection.and_then(|connection| connection.terms.rule);
        let opened_by = match by.map(|key| rules.label_of(key)) {
            None => OpenedBy::Policy,
            Some(None) => OpenedBy::FormerRule,
            Some(Some(label)) => OpenedBy::Rule(label.name.clone()),
        };
        Ok(Seen { signals: signals(&packet), packet, look, opened_by })
    });
    // Before the decision, which takes tokens of rates.
    let hearing = match &seen {
        Ok(seen) => hearing::hear(now, &rules, engine.rates(), &seen.look).shown(sources, shown),
        Err(_unparsed) => Hearing::none(rules.labels().count()),
    };
    let decision = engine.decide(now, ingress, bytes);
    let mut after = bytes.to_vec();
    let egress = enforce(&decision, &mut after);
    let speaker = speaker::speaker(&rules, seen.as_ref().ok(), &decision, &hearing);
    let peers = seen.as_ref().map(|seen| peers::peers(seen, &decision, &egress)).unwrap_or_default();
    Trace { arrival, seen, hearing, decision, speaker, egress, after, peers }
}

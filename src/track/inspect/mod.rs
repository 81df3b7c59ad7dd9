//! Looking: how a segment stands to the tables, and what they would learn from it. Nothing is changed here.

mod opening;
mod joining;
mod established;

use crate::mptcp::{Signals, Step};
use crate::time::Timestamp;
use crate::track::commit::{At, Lesson, Spot};
use crate::track::connections::Known;
use crate::track::handshake::Handshake;
use crate::track::sides::Side;
use crate::track::{ConnectionId, Standing, SubflowId, Tracker};
use crate::wire::{End, Packet, Segment};

/// How a segment stands to what is remembered.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The one thing that matters most.
    pub standing: Standing,
    /// Its connection; of a join that is not verified yet, the one that its token names.
    pub connection: Option<ConnectionId>,
    /// Its subflow.
    pub subflow: Option<SubflowId>,
    /// No handshake of its flow is under way: its subflow is there and open, or the flow is unknown.
    pub settled: bool,
    /// The version in its MP_CAPABLE, else that of its connection.
    pub version: Option<u8>,
    /// What was decided of its flow with the SYN.
    pub decided: Option<Course>,
    /// Both hosts have acknowledged data at the data level on this subflow (law 4).
    pub both_acked: bool,
    /// Its connection was accepted with a single path.
    pub single_path: bool,
    /// It announces an address that its sender has not announced before.
    pub announces_anew: bool,
    /// Which host of the connection sent it.
    pub sender: Option<Side>,
    pub(super) lesson: Lesson,
    /// The connection's place, once its handshake is over.
    pub(super) known: Option<Known>,
}

/// What was decided of a flow with its SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It speaks MPTCP.
    Accepted,
    /// It speaks plain TCP.
    Stripped,
}

impl Finding {
    const fn new(standing: Standing) -> Self {
        Self {
            standing,
            connection: None,
            subflow: None,
            settled: false,
            version: None,
            decided: None,
            both_acked: false,
            single_path: false,
            announces_anew: false,
            sender: None,
            lesson: Lesson::Nothing,
            known: None,
        }
    }

    fn accepted(standing: Standing) -> Self {
        Self { decided: Some(Course::Accepted), ..Self::new(standing) }
    }

    fn stripped(standing: Standing) -> Self {
        Self { decided: Some(Course::Stripped), ..Self::new(standing) }
    }

    fn of(self, connection: ConnectionId) -> Self {
        Self { connection: Some(connection), ..self }
    }

    /// It ended the handshake of its flow, and no connection or subflow came of it.
    pub(crate) const fn leads_nowhere(&self) -> bool {
        matches!(self.lesson, Lesson::Forget)
    }

    /// Nothing is to be remembered of it.
    pub(crate) const fn teaches_nothing(&self) -> bool {
        matches!(self.lesson, Lesson::Nothing)
    }

    fn of_known(self, known: Known) -> Self {
        Self { known: Some(known), ..self.of(known.id()) }
    }

    fn of_first(self, connection: ConnectionId) -> Self {
        Self { subflow: Some(SubflowId(0)), ..self.of(connection) }
    }

    fn version(self, version: u8) -> Self {
        Self { version: Some(version), ..self }
    }

    fn from(self, sender: Side) -> Self {
        Self { sender: Some(sender), ..self }
    }

    fn teaches(self, lesson: Lesson) -> Self {
        Self { lesson, ..self }
    }
}

/// The segment that is looked at.
struct View<'v> {
    now: Timestamp,
    packet: &'v Packet<'v>,
    signals: &'v Signals,
    at: At,
    /// At which end of its pair its sender sits.
    end: End,
}

impl Tracker {
    /// How a segment with these options, which stands at that spot, stands to what is remembered. Changes nothing; a join's
    /// third ACK costs most, one HMAC for each connection that its token can name.
    pub fn inspect(&self, now: Timestamp, packet: &Packet<'_>, signals: &Signals, spot: Spot) -> Finding {
        let Spot { at, end, .. } = spot;
        let view = View { now, packet, signals, at, end };
        match signals.step(packet.segment) {
            Step::Offer(capable) => self.offer(&view, capable).version(capable.version),
            Step::Answer(capable) => self.answer(&view, capable).version(capable.version),
            Step::Keys(capable) => self.keys(&view, capable).version(capable.version),
            Step::JoinOffer { token, nonce } => self.join_offer(&view, token, nonce),
            Step::JoinAnswer { hmac, nonce } => self.join_answer(&view, &hmac, nonce),
            Step::JoinProof { hmac } => self.join_proof(&view, &hmac),
            Step::Other if packet.segment != Segment::Syn => self.later(&view, Standing::UnknownConnection),
            Step::Other | Step::Plain => self.later(&view, Standing::Plain),
        }
    }

    fn handshake(&self, view: &View<'_>) -> Option<Handshake> {
        self.handshakes.read(view.at.hash, view.at.pair, Handshake::clone)
    }
}

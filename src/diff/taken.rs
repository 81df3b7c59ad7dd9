//! A capture, read into conversations, as much of it as fits.

use std::collections::HashMap;

use crate::capture::{Found, Frame, Other};
use crate::diff::Direction;
use crate::diff::sight::Sight;
use crate::time::Timestamp;
use crate::track::Sides;
use crate::wire::{End, Endpoint, Flow, Packet, Pair, Segment};

/// Conversations that are remembered of a capture; the segments of later ones are only counted.
pub const FLOWS_MAX: usize = 10_000;

/// Segments that are remembered of a capture, at about 150 bytes each; what comes later is only counted.
pub const SEGMENTS_MAX: usize = 500_000;

/// What was read of a capture.
#[derive(Debug, Default)]
pub struct Taken {
    /// Frames of any kind.
    pub frames: u64,
    /// TCP segments that are remembered.
    pub segments: usize,
    /// In the order of their first segments.
    pub conversations: Vec<Conversation>,
    /// When the first frame was captured.
    pub first: Timestamp,
    /// When the last frame was captured of which all is remembered.
    pub last: Timestamp,
    /// Segments whose payload the capture cut.
    pub cut_payloads: u64,
    /// TCP segments that were cut before the end of their header, or are malformed.
    pub unreadable: u64,
    /// Segments of conversations beyond [`FLOWS_MAX`].
    pub beyond_flows: u64,
    /// Segments beyond [`SEGMENTS_MAX`].
    pub beyond_segments: u64,
    current: HashMap<Pair, usize>,
}

/// All segments between two endpoints, from one opening to the next.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// Who opened it; the higher port, where the opening was not seen.
    pub client: Endpoint,
    /// Its peer.
    pub server: Endpoint,
    /// Whether its opening was seen.
    pub opened: bool,
    /// Its segments, in the order of their frames.
    pub sights: Sides<Vec<Sight>>,
}

impl Taken {
    /// Takes the next frame in.
    pub fn take(&mut self, frame: &Frame) {
        self.frames += 1;
        if self.frames == 1 {
            self.first = frame.at;
        }
        if self.beyond_segments == 0 {
            self.last = self.last.max(frame.at);
        }
        match frame.packet() {
            Ok(Found { packet: Ok(packet), .. }) => self.place(frame, &packet),
            Ok(Found { packet: Err(_), .. }) => self.unreadable += 1,
            Err(Other::CutByCapture) => self.unreadable += 1,
            Err(Other::NotIp | Other::NotTcp(_) | Other::LaterFragment | Other::UnknownLink(_)) => {}
        }
    }

    fn place(&mut self, frame: &Frame, packet: &Packet<'_>) {
        if self.segments >= SEGMENTS_MAX {
            self.beyond_segments += 1;
            return;
        }
        let sight = Sight::of(frame.number, frame.at, packet);
        let Some(conversation) = self.conversation(packet.flow, &sight) else {
            self.beyond_flows += 1;
            return;
        };
        self.cut_payloads += u64::from(sight.payload.is_none());
        self.segments += 1;
        if let Some(conversation) = self.conversations.get_mut(conversation) {
            conversation.push(packet.flow, sight);
        }
    }

    /// Where a segment belongs; `None` when there is no room for its conversation.
    fn conversation(&mut self, flow: Flow, sight: &Sight) -> Option<usize> {
        let (pair, _) = flow.pair();
        let current = self.current.get(&pair).copied();
        let goes_on =
            |&at: &usize| self.conversations.get(at).is_some_and(|known| !known.is_left_by(flow, sight));
        if let Some(current) = current.filter(goes_on) {
            return Some(current);
        }
        if self.conversations.len() >= FLOWS_MAX {
            return None;
        }
        let at = self.conversations.len();
        self.conversations.push(Conversation::new(flow, sight.segment));
        self.current.insert(pair, at);
        Some(at)
    }
}

impl Conversation {
    fn new(flow: Flow, segment: Segment) -> Self {
        let opened = matches!(segment, Segment::Syn | Segment::SynAck);
        let from_client = match segment {
            Segment::Syn => true,
            Segment::SynAck => false,
            Segment::Ack | Segment::Data | Segment::Fin | Segment::Rst => {
                (flow.src.port, flow.src) > (flow.dst.port, flow.dst)
            }
        };
        let (client, server) = if from_client { (flow.src, flow.dst) } else { (flow.dst, flow.src) };
        Self { client, server, opened, sights: Sides::default() }
    }

    /// The endpoints, as those of the capture's first direction.
    pub fn pair(&self) -> (Pair, End) {
        self.flow().pair()
    }

    /// From the client to the server.
    pub const fn flow(&self) -> Flow {
        Flow { src: self.client, dst: self.server }
    }

    /// The initial sequence number of who sends in that direction, where its SYN was seen.
    pub fn isn(&self, direction: Direction) -> Option<u32> {
        let is_syn = |sight: &&Sight| matches!(sight.segment, Segment::Syn | Segment::SynAck);
        self.sights.at(direction.sender()).iter().find(is_syn).map(|syn| syn.seq)
    }

    /// How many segments it has.
    pub fn len(&self) -> usize {
        self.sights.opener.len() + self.sights.acceptor.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When its first segment was captured.
    pub fn start(&self) -> Timestamp {
        let starts =
            Direction::BOTH.map(|direction| self.sights.at(direction.sender()).first().map(|sight| sight.at));
        starts.into_iter().flatten().min().unwrap_or_default()
    }

    /// Nobody but resets ever answered its SYNs.
    pub fn is_unanswered(&self) -> bool {
        self.opened
            && self.sights.opener.first().is_some_and(|first| first.segment == Segment::Syn)
            && self.sights.acceptor.iter().all(|sight| sight.segment == Segment::Rst)
    }

    /// The segment opens another conversation between the same endpoints.
    fn is_left_by(&self, flow: Flow, sight: &Sight) -> bool {
        if sight.segment != Segment::Syn {
            return false;
        }
        let from_client = flow.src == self.client;
        let isn = self.isn(if from_client { Direction::ToServer } else { Direction::ToClient });
        isn.is_none_or(|isn| isn != sight.seq)
    }

    fn push(&mut self, flow: Flow, sight: Sight) {
        let direction = if flow.src == self.client { Direction::ToServer } else { Direction::ToClient };
        self.sights.at_mut(direction.sender()).push(sight);
    }
}

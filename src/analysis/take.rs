//! What one segment adds to what is known.

use crate::analysis::connection::{Announcement, Removal, Span};
use crate::analysis::half::Heard;
use crate::analysis::series::{Carried, What};
use crate::analysis::{
    ADDRESSES_MAX, ANOMALIES_OF_SEGMENT, Analysis, Anomaly, AnomalyKind, CONNECTIONS_MAX, Connection, Half,
    JoinResult, Place, STRAYS_MAX, SUBFLOWS_MAX, Series, Sight, Stray, Stream, Subflow,
};
use crate::mptcp::option::{AddAddr, Capable, Dss, Join, Proof};
use crate::mptcp::{MptcpOption, Subtype, Version};
use crate::track::{ConnectionId, FallbackCause, Finding, Side, Sides, Standing};
use crate::wire::Segment;

/// What the segment shows: nothing mostly, so it has no place of its own.
type Told = Vec<Anomaly>;

impl Analysis {
    /// Where a segment belongs, of what was seen: a SYN to where its flow began, others to where it stands.
    pub(super) fn known(&self, sight: &Sight<'_>) -> Option<Place> {
        let known = self.flows.get(&sight.packet.flow.pair().0).copied();
        let is_again = |known: &Place| self.at(*known).is_some_and(|subflow| subflow.is_opened_by(sight));
        known.filter(|known| sight.packet.segment != Segment::Syn || is_again(known))
    }

    /// Whether the handshake of that place has led to what its SYN asked for.
    pub(super) fn is_done(&self, place: Place) -> bool {
        let established =
            |place: Place| self.connections.get(place.connection).is_some_and(|c| c.established);
        self.at(place).is_some_and(|subflow| {
            subflow.join == JoinResult::Verified || (subflow.join == JoinResult::First && established(place))
        })
    }

    /// Makes the place of a SYN that none is known of, where it has MP_CAPABLE, or MP_JOIN to a known connection.
    pub(super) fn make_place(
        &mut self,
        sight: &Sight<'_>,
        finding: &Finding,
        id: Option<ConnectionId>,
    ) -> Option<Place> {
        if sight.packet.segment != Segment::Syn {
            return None;
        }
        let pair = sight.packet.flow.pair().0;
        let place = if finding.standing == Standing::NewConnection {
            self.opened(sight, id?)
        } else if finding.standing == Standing::JoinKnown {
            self.asked(sight, finding)
        } else {
            None
        };
        match place {
            Some(place) => self.flows.insert(pair, place),
            None => self.flows.remove(&pair),
        };
        place
    }

    fn opened(&mut self, sight: &Sight<'_>, id: ConnectionId) -> Option<Place> {
        if self.connections.len() >= CONNECTIONS_MAX {
            self.left_out.connections += 1;
            return None;
        }
        let connection = self.connections.len();
        self.connections.push(Connection::new(id, sight));
        Some(Place { connection, subflow: 0 })
    }

    fn asked(&mut self, sight: &Sight<'_>, finding: &Finding) -> Option<Place> {
        let connection = *self.places.get(&finding.connection?)?;
        let subflows = &mut self.connections.get_mut(connection)?.subflows;
        if subflows.len() >= SUBFLOWS_MAX {
            self.left_out.subflows += 1;
            return None;
        }
        subflows.push(Subflow::new(sight, finding.sender?, JoinResult::Unanswered));
        Some(Place { connection, subflow: subflows.len() - 1 })
    }

    fn at(&self, place: Place) -> Option<&Subflow> {
        self.connections.get(place.connection)?.subflows.get(place.subflow)
    }

    /// A segment of a connection.
    pub(super) fn take(&mut self, sight: &Sight<'_>, finding: &Finding, place: Place) -> Told {
        let mut told = Told::new();
        let Some(connection) = self.connections.get_mut(place.connection) else { return told };
        let was_established = connection.established;
        let taken = connection.take(sight, finding, place.subflow, &mut |kind| {
            tell(&mut told, sight, kind);
        });
        if let (Some((id, series)), Some(taken)) = (&mut self.followed, &taken)
            && *id == connection.id
        {
            let series = series.get_or_insert_with(|| Series::new(sight.at));
            follow(series, sight, taken, (finding.standing, place.subflow));
        }
        if let (false, true, Some(id)) = (was_established, connection.established, finding.connection) {
            // Under another id than the first one, where the tracker had forgotten its SYN when it came again.
            self.places.insert(id, place.connection);
        }
        let subflow = taken.map(|_| place.subflow);
        for anomaly in &mut told {
            anomaly.connection = Some(connection.id);
            anomaly.subflow = subflow;
        }
        told
    }

    /// A segment of no connection.
    pub(super) fn take_stray(&mut self, sight: &Sight<'_>, finding: &Finding) -> Told {
        let mut told = Told::new();
        if sight.signals.list.is_empty() {
            return told;
        }
        if let Some(malformed) = sight.signals.malformed() {
            tell(&mut told, sight, AnomalyKind::Malformed(malformed));
        }
        let token = sight.signals.list.iter().find_map(|signal| match &signal.option {
            Ok(MptcpOption::Join(Join::Syn { token, .. })) => Some(*token),
            _ => None,
        });
        let kind = if finding.standing == Standing::JoinUnknown {
            AnomalyKind::JoinUnknown(token)
        } else if finding.standing == Standing::UnknownConnection {
            AnomalyKind::BeginningUnseen
        } else {
            return told;
        };
        let pair = sight.packet.flow.pair().0;
        if self.strays.len() < STRAYS_MAX && self.strays.insert(pair, Stray).is_none() {
            tell(&mut told, sight, kind);
        }
        told
    }
}

/// What a segment was to its connection.
struct Taken {
    side: Side,
    carried: Carried,
    /// Up to where the other host's data is acknowledged.
    acked: u64,
}

/// Writes a segment down where its connection is followed over time.
fn follow(series: &mut Series, sight: &Sight<'_>, taken: &Taken, (standing, subflow): (Standing, usize)) {
    series.carry(sight.at, (subflow, taken.side), &taken.carried);
    series.acknowledge(sight.at, taken.side.other(), taken.acked);
    if standing == Standing::JoinVerified {
        series.happen(sight.at, subflow, What::Joined);
    } else if let Standing::Fallback(_) = standing {
        series.happen(sight.at, subflow, What::Fallback);
    }
    if sight.packet.segment == Segment::Rst {
        series.happen(sight.at, subflow, What::Reset);
    } else if sight.packet.segment == Segment::Fin {
        series.happen(sight.at, subflow, What::Fin);
    }
}

/// A segment of a connection, and who said it where.
#[derive(Clone, Copy)]
struct Said<'s> {
    sight: Sight<'s>,
    side: Side,
    subflow: usize,
    standing: Standing,
}

/// One that there is no room for adds nothing: the others say enough.
fn tell(told: &mut Told, sight: &Sight<'_>, kind: AnomalyKind) {
    let anomaly = Anomaly {
        frame: Some(sight.frame),
        at: sight.at,
        flow: sight.packet.flow,
        connection: None,
        subflow: None,
        kind,
    };
    if told.len() < ANOMALIES_OF_SEGMENT {
        told.push(anomaly);
    }
}

fn is_unanswered(subflow: &Subflow) -> bool {
    subflow.halves.at(subflow.initiator.other()).segments == 0
}

impl Subflow {
    fn new(sight: &Sight<'_>, initiator: Side, join: JoinResult) -> Self {
        Self {
            flow: sight.packet.flow,
            initiator,
            address_ids: Sides::default(),
            backup: Sides::default(),
            join,
            halves: Sides::default(),
            reset: None,
            span: Span::from(sight.frame, sight.at),
        }
    }

    /// Whether its SYN is this one: a retransmission has the same number, another connection by the same ports another.
    fn is_opened_by(&self, sight: &Sight<'_>) -> bool {
        self.flow.src == sight.packet.flow.src && self.halves.at(self.initiator).isn == Some(sight.packet.seq)
    }

    /// Who sent the segment.
    fn sender(&self, sight: &Sight<'_>) -> Side {
        if sight.packet.flow.src == self.flow.src { self.initiator } else { self.initiator.other() }
    }

    fn take_join(&mut self, join: &Join, side: Side) {
        let (Join::Syn { backup, address_id, .. } | Join::SynAck { backup, address_id, .. }) = join else {
            return;
        };
        *self.address_ids.at_mut(side) = Some(*address_id);
        *self.backup.at_mut(side) = *backup;
    }

    /// How the handshake of a join goes on.
    fn take_answer(&mut self, sight: &Sight<'_>, standing: Standing) -> Option<AnomalyKind> {
        let waits = matches!(self.join, JoinResult::Unanswered | JoinResult::Unverified);
        let plain_answer = sight.packet.segment == Segment::SynAck
            && self.join == JoinResult::Unanswered
            && !sight.signals.subtypes.contains(Subtype::MpJoin);
        let (join, anomaly) = if standing == Standing::JoinAnswered {
            (JoinResult::Unverified, None)
        } else if standing == Standing::JoinVerified {
            (JoinResult::Verified, None)
        } else if standing == Standing::JoinForgedAnswer {
            (JoinResult::Forged, Some(AnomalyKind::JoinForgedAnswer))
        } else if standing == Standing::JoinForgedProof {
            (JoinResult::Forged, Some(AnomalyKind::JoinForgedProof))
        } else if let (Standing::Reset(reason), true) = (standing, waits) {
            (JoinResult::Refused, Some(AnomalyKind::JoinReset(reason)))
        } else if plain_answer {
            (JoinResult::PlainAnswer, Some(AnomalyKind::JoinPlainAnswer))
        } else {
            return None;
        };
        // What came before a third ACK that is lost may be said again behind it.
        if self.join != JoinResult::Verified {
            self.join = join;
        }
        anomaly
    }
}

impl Connection {
    fn new(id: ConnectionId, sight: &Sight<'_>) -> Self {
        let mut first = Subflow::new(sight, Side::Opener, JoinResult::First);
        first.address_ids = Sides { opener: Some(0), acceptor: Some(0) };
        Self {
            id,
            version: 0,
            checksum: false,
            tokens: Sides::default(),
            established: false,
            subflows: vec![first],
            announced: Vec::new(),
            removed: Vec::new(),
            fallback: None,
            fastclosed: None,
            data: Sides::default(),
            span: Span::from(sight.frame, sight.at),
            offers: 0,
        }
    }

    /// Takes a segment of one of its subflows in.
    fn take(
        &mut self,
        sight: &Sight<'_>,
        finding: &Finding,
        subflow: usize,
        tell: &mut impl FnMut(AnomalyKind),
    ) -> Option<Taken> {
        self.span.extend(sight.at);
        let place = self.subflows.get_mut(subflow)?;
        place.span.extend(sight.at);
        let side = place.sender(sight);
        let mut ours = place.take_answer(sight, finding.standing);
        if let (Segment::Rst, None) = (sight.packet.segment, place.reset) {
            let reason = if let Standing::Reset(reason) = finding.standing { reason } else { None };
            place.reset = Some((side, reason));
        }
        if let Some(malformed) = sight.signals.malformed() {
            tell(AnomalyKind::Malformed(malformed));
        }
        let said = Said { sight: *sight, side, subflow, standing: finding.standing };
        for option in sight.signals.list.iter().filter_map(|signal| signal.option.as_ref().ok()) {
            self.take_option(&said, option, tell);
        }
        self.take_silence(sight, tell);
        ours = ours.or_else(|| self.take_standing(finding.standing, side));
        if let Some(kind) = ours {
            tell(kind);
        }
        let before = self.subflows.get(subflow).map_or(0, |subflow| subflow.halves.at(side).bytes);
        let heard = self.take_data(sight, (side, subflow), tell)?;
        let after = self.subflows.get(subflow)?.halves.at(side).bytes;
        let carried = Carried { bytes: after - before, data: heard.data, reinjected: heard.reinjected > 0 };
        Some(Taken { side, carried, acked: self.data.at(side.other()).acked() })
    }

    /// What the tracker makes of the segment.
    fn take_standing(&mut self, standing: Standing, side: Side) -> Option<AnomalyKind> {
        match standing {
            Standing::Fallback(cause) => {
                let first = self.fallback.is_none();
                self.fallback.get_or_insert(cause);
                first.then_some(AnomalyKind::Fallback(cause))
            }
            Standing::Mirrored => {
                self.fallback.get_or_insert(FallbackCause::PlainAnswer);
                Some(AnomalyKind::Mirrored)
            }
            Standing::KeyChanged => Some(AnomalyKind::KeyChanged),
            Standing::AnnouncementForged => Some(AnomalyKind::AnnouncementForged),
            Standing::AnnouncementUnproven => Some(AnomalyKind::AnnouncementUnproven),
            Standing::AddressIdConflict => Some(AnomalyKind::IdConflict),
            Standing::Fastclose => {
                // It is said on each subflow.
                let first = self.fastclosed.is_none();
                self.fastclosed.get_or_insert(side);
                first.then_some(AnomalyKind::Fastclose)
            }
            Standing::Reset(Some(reason)) => Some(AnomalyKind::Reset(reason)),
            Standing::Plain
            | Standing::NewConnection
            | Standing::KnownConnection
            | Standing::UnknownConnection
            | Standing::JoinKnown
            | Standing::JoinUnknown
            | Standing::JoinAnswered
            | Standing::JoinVerified
            | Standing::JoinForgedAnswer
            | Standing::JoinForgedProof
            | Standing::AddressAnnounced
            | Standing::AddressRemoved
            | Standing::PriorityChanged
            | Standing::Reset(None) => None,
        }
    }

    /// SYNs of the first subflow that nobody answers.
    fn take_silence(&mut self, sight: &Sight<'_>, tell: &mut impl FnMut(AnomalyKind)) {
        if sight.packet.segment != Segment::Syn || !self.subflows.first().is_some_and(is_unanswered) {
            return;
        }
        if sight.signals.subtypes.contains(Subtype::MpCapable) {
            self.offers += 1;
        } else if self.fallback.is_none() && sight.signals.list.is_empty() {
            self.fallback = Some(FallbackCause::PlainAnswer);
            tell(AnomalyKind::SynUnanswered(self.offers));
        }
    }

    fn take_option(&mut self, said: &Said<'_>, option: &MptcpOption, tell: &mut impl FnMut(AnomalyKind)) {
        let Said { sight, side, standing, .. } = *said;
        match option {
            MptcpOption::Capable(capable) => self.take_capable(capable, sight.packet.segment, standing),
            MptcpOption::Join(join) => {
                if let Some(subflow) = self.subflows.get_mut(said.subflow) {
                    subflow.take_join(join, side);
                }
            }
            MptcpOption::Dss(Dss { data_ack: Some(ack), .. }) => {
                if let Some(unseen) = self.data.at_mut(side.other()).acknowledge(*ack) {
                    tell(AnomalyKind::AckedUnseen(unseen));
                }
            }
            MptcpOption::AddAddr(add) => self.take_announcement(sight.frame, add, side, standing),
            MptcpOption::RemoveAddr(ids) => {
                let room = ADDRESSES_MAX.saturating_sub(self.removed.len());
                let removals =
                    ids.iter().map(|&address_id| Removal { frame: sight.frame, by: side, address_id });
                self.removed.extend(removals.take(room));
            }
            MptcpOption::Prio(prio) => {
                if let Some(subflow) = self.subflows.get_mut(said.subflow) {
                    *subflow.backup.at_mut(side) = prio.backup;
                }
            }
            MptcpOption::Dss(Dss { data_ack: None, .. })
            | MptcpOption::Fail(_)
            | MptcpOption::Fastclose(_)
            | MptcpOption::Tcprst(_)
            | MptcpOption::Unassigned { .. } => {}
        }
    }

    /// RFC 8684 3.1: checksums are on where either host asks for them; the data starts behind the keys' hashes.
    fn take_capable(&mut self, capable: &Capable, segment: Segment, standing: Standing) {
        if matches!(standing, Standing::Mirrored | Standing::KeyChanged) {
            return;
        }
        self.checksum |= capable.flags.checksum();
        self.version = capable.version;
        let Some(version) = Version::from_number(capable.version) else { return };
        let from = if segment == Segment::SynAck { Side::Acceptor } else { Side::Opener };
        for (side, key) in [(from, capable.sender_key), (from.other(), capable.receiver_key)] {
            if let Some(key) = key.filter(|_| self.tokens.at(side).is_none()) {
                *self.tokens.at_mut(side) = Some(key.token(version));
                self.data.at_mut(side).starts_at(key.idsn(version).0.wrapping_add(1));
            }
        }
        self.established |= capable.receiver_key.is_some();
    }

    fn take_announcement(&mut self, frame: u64, add: &AddAddr, side: Side, standing: Standing) {
        let announced = add.announced;
        if add.proof == Proof::Echo {
            let echoed = self.announced.iter_mut().filter(|known| known.by != side);
            for known in echoed.filter(|known| known.announced == announced) {
                known.echoed = true;
            }
            return;
        }
        let again = self.announced.iter().any(|known| known.by == side && known.announced == announced);
        if !again && self.announced.len() < ADDRESSES_MAX {
            let proven = !matches!(standing, Standing::AnnouncementForged | Standing::AnnouncementUnproven);
            self.announced.push(Announcement { frame, by: side, announced, proven, echoed: false });
        }
    }

    fn take_data(
        &mut self,
        sight: &Sight<'_>,
        (side, subflow): (Side, usize),
        tell: &mut impl FnMut(AnomalyKind),
    ) -> Option<Heard> {
        let Self { subflows, data, fallback, .. } = self;
        let subflow = subflows.get_mut(subflow)?;
        let half: &mut Half = subflow.halves.at_mut(side);
        let stream: &mut Stream = data.at_mut(side);
        let heard = half.hear(stream, sight.packet, sight.signals);
        if heard.checksum_wrong {
            tell(AnomalyKind::ChecksumWrong);
        }
        if let Some(bytes) = heard.unmapped.filter(|_| fallback.is_none()) {
            tell(AnomalyKind::Unmapped(bytes));
        }
        Some(heard)
    }

    /// What is missing at the data level when the capture ends.
    pub(super) fn gaps(&self) -> impl Iterator<Item = Anomaly> {
        let first = self.subflows.first();
        let gap = move |side: Side| {
            let missing = self.data.at(side).gap();
            let flow =
                first.map(|first| if side == Side::Opener { first.flow } else { first.flow.reversed() })?;
            (missing > 0 && self.fallback.is_none()).then_some(Anomaly {
                frame: None,
                at: self.span.last,
                flow,
                connection: Some(self.id),
                subflow: None,
                kind: AnomalyKind::Gap(missing),
            })
        };
        [Side::Opener, Side::Acceptor].into_iter().filter_map(gap)
    }
}

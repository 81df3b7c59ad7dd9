//! The kinds of TCP options: their names (IANA "TCP Option Kind Numbers"), and where one can be taken out without a host
//! counting on it.

use crate::wire::options::{END, MPTCP, NOP};
use crate::wire::{OptionMask, Packet, RawOption, Segment};

/// The name of a kind, as rule files write it.
const NAMES: [(u8, &str); 18] = [
    (2, "mss"),
    (3, "window_scale"),
    (4, "sack_permitted"),
    (5, "sack"),
    (6, "echo"),
    (7, "echo_reply"),
    (8, "timestamps"),
    (11, "cc"),
    (14, "alternate_checksum"),
    (19, "md5"),
    (27, "quick_start"),
    (28, "user_timeout"),
    (29, "ao"),
    (30, "mptcp"),
    (34, "fast_open"),
    (69, "eno"),
    (253, "exp_1"),
    (254, "exp_2"),
];

/// Experiments in the kinds 253 and 254, by their identifier (IANA "TCP Experimental Option Experiment Identifiers").
const EXPERIMENTS: [(u16, &str); 4] =
    [(0xf989, "exp_fast_open"), (0x454e, "exp_eno"), (0xe2d4, "exp_smc"), (0xacce, "exp_accecn")];

/// Which options are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OptionKind {
    /// All of a kind.
    Kind(u8),
    /// Those of the kinds 253 and 254 that bear this experiment's identifier (RFC 6994).
    Experiment(u16),
}

/// What tells an option from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenKind {
    /// Its kind.
    pub kind: u8,
    /// The experiment's identifier, of the kinds 253 and 254.
    pub experiment: Option<u16>,
}

impl From<&RawOption<'_>> for SeenKind {
    fn from(option: &RawOption<'_>) -> Self {
        let named = option.bytes.get(2..4).and_then(|bytes| bytes.first_chunk());
        let experiment = named.filter(|_| matches!(option.kind, 253 | 254)).map(|id| u16::from_be_bytes(*id));
        Self { kind: option.kind, experiment }
    }
}

/// Where an option can be taken out so that neither host counts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removable {
    /// In the SYN alone: both hosts use what SYN and SYN/ACK agree on.
    Offer,
    /// In SYN and SYN/ACK: each speaks for its sender alone.
    EachHandshake,
    /// Anywhere: it only gives advice.
    Anywhere,
    /// Nowhere: it is what a host counts on after the handshake agreed on it.
    Agreed,
    /// Nowhere: its absence ends the connection.
    Nowhere,
}

impl OptionKind {
    /// Every name.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(_, name)| *name).chain(EXPERIMENTS.iter().map(|(_, name)| *name))
    }

    /// What that option is.
    pub fn of(option: &RawOption<'_>) -> Self {
        let SeenKind { kind, experiment } = SeenKind::from(option);
        experiment.map_or(Self::Kind(kind), Self::Experiment)
    }

    /// The options of that name.
    pub fn named(name: &str) -> Option<Self> {
        let kind = NAMES.iter().find(|(_, known)| *known == name).map(|&(kind, _)| Self::Kind(kind));
        let experiment = || EXPERIMENTS.iter().find(|(_, known)| *known == name);
        kind.or_else(|| experiment().map(|&(id, _)| Self::Experiment(id)))
    }

    /// What it is called; its number where it has no name.
    pub fn label(self) -> String {
        let name = match self {
            Self::Kind(kind) => NAMES.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name),
            Self::Experiment(id) => EXPERIMENTS.iter().find(|(known, _)| *known == id).map(|(_, name)| *name),
        };
        match (self, name) {
            (_, Some(name)) => name.to_owned(),
            (Self::Kind(kind), None) => kind.to_string(),
            (Self::Experiment(id), None) => format!("exp_{id:#06x}"),
        }
    }

    /// Whether it means that option.
    pub fn means(self, option: SeenKind) -> bool {
        match self {
            Self::Kind(kind) => option.kind == kind,
            Self::Experiment(id) => option.experiment == Some(id),
        }
    }

    /// Whether a host goes on well when it is taken out of a segment of that kind.
    pub const fn is_removable(self, segment: Segment) -> bool {
        match (self.removable(), segment) {
            (Removable::Anywhere, _)
            | (Removable::EachHandshake, Segment::Syn | Segment::SynAck)
            | (Removable::Offer, Segment::Syn) => true,
            (Removable::EachHandshake | Removable::Offer | Removable::Agreed | Removable::Nowhere, _) => {
                false
            }
        }
    }

    /// Whether connections that use it end when it is taken out, wherever.
    pub const fn is_vital(self) -> bool {
        matches!(self.removable(), Removable::Nowhere)
    }

    const fn removable(self) -> Removable {
        match self {
            // RFC 2385 2.0, RFC 5925 7.3: a segment without the signature is dropped.
            Self::Kind(19 | 29) => Removable::Nowhere,
            // RFC 9293 3.7.1: without MSS a host assumes 536 or 1220. RFC 7413 4.1: a cookie is asked for and given apart.
            Self::Kind(2 | 34) | Self::Experiment(0xf989) => Removable::EachHandshake,
            // RFC 5482 3: advisory, in any segment. RFC 4782 4.1: whoever does not get it does not take part.
            Self::Kind(27 | 28) => Removable::Anywhere,
            // RFC 2018 4: what is lost is told by SACK alone, once it was agreed on.
            Self::Kind(5) => Removable::Agreed,
            // RFC 7323 1.3, 3.2; RFC 2018 2; what nobody knows is best treated like these.
            Self::Kind(_) | Self::Experiment(_) => Removable::Offer,
        }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindSet([u64; 4]);

impl KindSet {
    /// With that kind.
    #[must_use]
    pub fn and(mut self, kind: u8) -> Self {
        if let Some(word) = self.0.get_mut(usize::from(kind / 64)) {
            *word |= 1 << (kind % 64);
        }
        self
    }

    /// Whether it has that kind.
    pub fn contains(&self, kind: u8) -> bool {
        self.0.get(usize::from(kind / 64)).is_some_and(|word| word >> (kind % 64) & 1 == 1)
    }
}

/// What is odd about a list of options, whatever they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// A length field that cannot be true.
    pub malformed: bool,
    /// A kind other than MPTCP's that stands twice.
    pub duplicate: bool,
    /// An option of SYNs elsewhere, or one that a SYN cannot have.
    pub wrong_segment: bool,
}

/// Looks for oddities, in one walk.
pub fn oddities(packet: &Packet<'_>) -> Oddities {
    let mut seen = KindSet::default();
    let mut odd = Oddities::default();
    let handshake = matches!(packet.segment, Segment::Syn | Segment::SynAck);
    for option in packet.options() {
        odd.malformed |= option.broken;
        odd.duplicate |= option.kind != MPTCP && seen.contains(option.kind);
        odd.wrong_segment |= match option.kind {
            // RFC 9293 3.2, RFC 7323 2.2, RFC 2018 2, RFC 7413 4.1.1: in SYNs alone.
            2 | 3 | 4 | 34 => !handshake,
            // RFC 2018 3: reports what came, and with a SYN nothing came.
            5 => handshake,
            _ => false,
        };
        seen = seen.and(option.kind);
    }
    odd
}

/// The bytes of the options that are not among `allowed` and that the segment can do without. MPTCP is left out: it has
/// rules of its own, and so is a segment whose options are signed (TCP-AO, RFC 5925 5.1) where that is allowed.
pub fn unwanted(packet: &Packet<'_>, allowed: &[OptionKind]) -> OptionMask {
    const AO: u8 = 29;
    if allowed.contains(&OptionKind::Kind(AO)) && packet.options().any(|option| option.kind == AO) {
        return OptionMask::EMPTY;
    }
    let unwanted = packet.options().filter(|option| {
        let kind = OptionKind::Kind(option.kind);
        !matches!(option.kind, MPTCP | END | NOP)
            && !option.broken
            && !allowed.iter().any(|allowed| allowed.means(option.into()))
            && (kind.is_removable(packet.segment) || (kind.is_vital() && packet.segment == Segment::Syn))
    });
    unwanted.fold(OptionMask::EMPTY, |mask, option| mask.and(OptionMask::of(&option)))
}

/// The bytes of the options that one of `kinds` means.
pub fn mask(packet: &Packet<'_>, kinds: impl Fn(SeenKind) -> bool) -> OptionMask {
    let meant = packet.options().filter(|option| kinds(option.into()));
    meant.fold(OptionMask::EMPTY, |mask, option| mask.and(OptionMask::of(&option)))
}

//! All options of kind 30 in one segment: whoever stops at the first one is fooled by a decoy.

use std::iter;

use arrayvec::ArrayVec;

use crate::mptcp::{Malformed, MptcpOption, Subtype, codec};
use crate::wire::options::MPTCP;
use crate::wire::{OptionKind, OptionMask, Packet, RawOption};

/// As many options as fit: the shortest whole one (MP_PRIO) takes 3 of 40 bytes. Shorter ones are malformed and would
/// make more; they fall together in the last place.
pub const SIGNALS_MAX: usize = 13;

/// One option of kind 30.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// The bytes that it takes in the option area.
    pub span: OptionMask,
    /// The third byte's high half says so, whether or not the rest is well-formed.
    pub subtype: Subtype,
    /// What it says, or why it cannot be said.
    pub option: Result<MptcpOption, Malformed>,
}

/// A set of subtypes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubtypeSet(u16);

/// What a segment says about MPTCP.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// The options, in their order.
    pub list: ArrayVec<Signal, SIGNALS_MAX>,
    /// Their subtypes.
    pub subtypes: SubtypeSet,
}

/// What an option is called: those of MPTCP by their subtype.
pub fn option_name(option: &RawOption<'_>) -> String {
    let subtype = option.bytes.get(2).filter(|_| option.kind == MPTCP);
    subtype.map_or_else(
        || OptionKind::of(option).label(),
        |third| Subtype::from_number(third >> 4).label().to_owned(),
    )
}

impl SubtypeSet {
    /// No subtype.
    pub const EMPTY: Self = Self(0);

    /// That one alone.
    pub const fn only(subtype: Subtype) -> Self {
        Self(1 << subtype.number())
    }

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it has that subtype.
    pub const fn contains(self, subtype: Subtype) -> bool {
        self.0 >> subtype.number() & 1 == 1
    }

    /// Whether the two have one in common.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its members, by number.
    pub fn iter(self) -> impl Iterator<Item = Subtype> {
        let mut left = self.0;
        iter::from_fn(move || {
            let number = u8::try_from(left.trailing_zeros()).ok().filter(|_| left != 0)?;
            left &= left.wrapping_sub(1);
            Some(Subtype::from_number(number))
        })
    }
}

impl Signals {
    /// The first malformed option.
    pub fn malformed(&self) -> Option<Malformed> {
        self.list.iter().find_map(|signal| signal.option.as_ref().err().copied())
    }

    /// The bytes of all options whose subtype is in `subtypes`.
    pub fn mask(&self, subtypes: SubtypeSet) -> OptionMask {
        let chosen = self.list.iter().filter(|signal| subtypes.contains(signal.subtype));
        chosen.fold(OptionMask::EMPTY, |mask, signal| mask.and(signal.span))
    }
}

/// Reads all options of kind 30.
pub fn signals(packet: &Packet<'_>) -> Signals {
    let mut signals = Signals::default();
    signals.read(packet);
    signals
}

impl Signals {
    /// Reads all options of kind 30 in one walk, behind what was read before. In place: a thousand bytes are not moved so.
    pub fn read(&mut self, packet: &Packet<'_>) {
        for raw in packet.options().filter(|raw| raw.kind == MPTCP) {
            let option = if raw.broken {
                let len = raw.bytes.get(1).copied().unwrap_or(0);
                Err(Malformed::Length {
                    subtype: Subtype::Unassigned,
                    len,
                    right: "one that ends in the option area",
                })
            } else {
                codec::parse(raw.bytes, packet.segment)
            };
            self.push(&raw, option);
        }
    }

    fn push(&mut self, raw: &RawOption<'_>, option: Result<MptcpOption, Malformed>) {
        let subtype = raw.bytes.get(2).map_or(Subtype::Unassigned, |third| Subtype::from_number(third >> 4));
        // RFC 8684 3.1, 3.2: a segment opens a connection or joins one, once. Tried: Linux falls back to plain TCP.
        let opens = SubtypeSet::only(Subtype::MpCapable).and(SubtypeSet::only(Subtype::MpJoin));
        let twice = opens.contains(subtype) && self.subtypes.meets(opens);
        let option = if twice { option.and(Err(Malformed::Twice { subtype })) } else { option };
        self.subtypes = self.subtypes.and(SubtypeSet::only(subtype));
        let signal = Signal { span: OptionMask::of(raw), subtype, option };
        if !self.list.is_full() {
            self.list.push(signal);
        } else if let Some(last) = self.list.last_mut() {
            last.span = last.span.and(signal.span);
            last.option = signal.option.and(Err(Malformed::Length { subtype, len: 2, right: "3 and more" }));
        }
    }
}

//! How the options of a segment differ on both sides of a box.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::diff::numbers::Numbers;
use crate::diff::sight::Sight;
use crate::fields::Fields;
use crate::mptcp::option::Capable;
use crate::mptcp::refusal::Part;
use crate::mptcp::signals::Signal;
use crate::mptcp::{Key, MptcpOption, Subtype, codec};
use crate::wire::kinds::SeenKind;
use crate::wire::options::{MPTCP, NOP};
use crate::wire::{OptionKind, OptionMask, RawOption, Segment};

const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

/// One difference between two option areas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The option, or `None` where the area as a whole is meant.
    pub option: Option<Name>,
    /// What was done.
    pub change: Change,
}

/// What an option is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// Of kind 30.
    Mptcp(Subtype),
    /// Any other.
    Other(OptionKind),
}

/// What was done to an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is gone.
    Removed(Gap),
    /// It was not there.
    Added,
    /// It says something else.
    Changed {
        /// The fields, in their order.
        fields: Vec<FieldChange>,
        /// Whether a secret or a proof is among them.
        part: Part,
    },
    /// The options stand in another order.
    Reordered,
    /// The padding between or behind them is another.
    Padding,
}

/// What stands in the place of a removed option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gap {
    /// NOPs.
    Nops,
    /// Nothing: the header is shorter, or what was behind it moved up.
    Closed,
}

/// A field that says something else. Those of secrets have no values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldChange {
    /// As Wireshark calls it.
    pub name: String,
    /// What it said.
    pub from: Option<String>,
    /// What it says.
    pub to: Option<String>,
}

impl Name {
    /// Of an option.
    pub fn of(option: &RawOption<'_>) -> Self {
        let SeenKind { kind, experiment } = SeenKind::from(option);
        match option.bytes.get(2) {
            Some(third) if kind == MPTCP => Self::Mptcp(Subtype::from_number(third >> 4)),
            _ => Self::Other(experiment.map_or(OptionKind::Kind(kind), OptionKind::Experiment)),
        }
    }

    /// As other commands spell it.
    pub fn label(self) -> String {
        match self {
            Self::Mptcp(subtype) => subtype.label().to_owned(),
            Self::Other(kind) => kind.label(),
        }
    }

    /// As RFC 8684 spells it.
    pub fn title(self) -> String {
        match self {
            Self::Mptcp(subtype) => subtype.label().to_uppercase(),
            Self::Other(kind) => kind.label(),
        }
    }
}

/// An option beside those of its name.
struct Listed<'o> {
    name: Name,
    /// Counts those of the same name.
    nth: usize,
    raw: RawOption<'o>,
}

fn listed(sight: &Sight) -> Vec<Listed<'_>> {
    let mut list: Vec<Listed<'_>> = Vec::new();
    for raw in sight.options() {
        let name = Name::of(&raw);
        let nth = list.iter().filter(|listed| listed.name == name).count();
        list.push(Listed { name, nth, raw });
    }
    list
}

/// What was done to the options of `up` until they became those of `down`; `acked` are the numbers that SACK blocks
/// speak of, and tell what they are in BEFORE.
pub fn differences(up: &Sight, down: &Sight, acked: &impl Fn(Way, u32) -> u32) -> Vec<Difference> {
    if up.options == down.options && acked(Way::Up, 0) == acked(Way::Down, 0) {
        return Vec::new();
    }
    let (of_up, of_down) = (listed(up), listed(down));
    let mut found = Vec::new();
    let mut resized = false;
    for one in &of_up {
        let twin = of_down.iter().find(|other| (other.name, other.nth) == (one.name, one.nth));
        let change = match twin {
            None => Some(Change::Removed(gap(&one.raw, down, up.options.len()))),
            Some(other) => {
                resized |= one.raw.bytes.len() != other.raw.bytes.len();
                changed(one, other, up.segment, acked)
            }
        };
        found.extend(change.map(|change| Difference { option: Some(one.name), change }));
    }
    for other in &of_down {
        if !of_up.iter().any(|one| (one.name, one.nth) == (other.name, other.nth)) {
            found.push(Difference { option: Some(other.name), change: Change::Added });
        }
    }
    found
        .extend(moved(&of_up, &of_down, up, down, resized).map(|change| Difference { option: None, change }));
    found
}

/// Which of the two sights a number stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The one upstream.
    Up,
    /// The one downstream.
    Down,
}

impl Way {
    /// The numbers of BEFORE for those of a side, where `up_is_before`.
    pub fn to_before(self, up_is_before: bool, numbers: &Numbers, number: u32) -> u32 {
        if (self == Self::Up) == up_is_before { number } else { numbers.to_before(number) }
    }
}

fn gap(option: &RawOption<'_>, down: &Sight, len: usize) -> Gap {
    let place = down.options.get(option.at..option.at + option.bytes.len());
    let blank = place.is_some_and(|place| place.iter().all(|byte| *byte == NOP));
    if blank && down.options.len() == len { Gap::Nops } else { Gap::Closed }
}

/// The order of what both have; the padding, where nothing else explains it.
fn moved(
    of_up: &[Listed<'_>],
    of_down: &[Listed<'_>],
    up: &Sight,
    down: &Sight,
    resized: bool,
) -> Option<Change> {
    let common = |list: &[Listed<'_>], other: &[Listed<'_>]| -> Vec<(Name, usize)> {
        let names = list.iter().map(|one| (one.name, one.nth));
        names.filter(|name| other.iter().any(|other| (other.name, other.nth) == *name)).collect()
    };
    let (order_up, order_down) = (common(of_up, of_down), common(of_down, of_up));
    if order_up != order_down {
        return Some(Change::Reordered);
    }
    let all_common = order_up.len() == of_up.len() && order_down.len() == of_down.len();
    // Where the padding stands, not what the options say.
    let spans = |list: &[Listed<'_>]| {
        list.iter().fold(OptionMask::EMPTY, |mask, one| mask.and(OptionMask::of(&one.raw)))
    };
    let padding = |sight: &Sight, mask: OptionMask| -> Vec<Option<u8>> {
        sight.options.iter().enumerate().map(|(at, byte)| (!mask.contains(at)).then_some(*byte)).collect()
    };
    let differs = padding(up, spans(of_up)) != padding(down, spans(of_down));
    (all_common && !resized && differs).then_some(Change::Padding)
}

fn changed(
    one: &Listed<'_>,
    other: &Listed<'_>,
    segment: Segment,
    acked: &impl Fn(Way, u32) -> u32,
) -> Option<Change> {
    let (from, to) = (one.raw.bytes, other.raw.bytes);
    let is_sack = one.name == Name::Other(OptionKind::Kind(SACK));
    if is_sack && edges(from, Way::Up, acked) == edges(to, Way::Down, acked) {
        return None;
    }
    if from == to && !is_sack {
        return None;
    }
    let (mut fields, mut part) = match one.name {
        Name::Mptcp(_) => mptcp_fields(from, to, segment),
        Name::Other(OptionKind::Kind(kind)) => (plain_fields(kind, from, to), Part::Wish),
        Name::Other(OptionKind::Experiment(_)) => (Vec::new(), Part::Wish),
    };
    if fields.is_empty() {
        let name = if is_sack { "sack (not rewritten with the sequence numbers)" } else { "content" };
        fields.push(FieldChange { name: name.to_owned(), from: None, to: None });
        part = part.max(Part::Wish);
    }
    Some(Change::Changed { fields, part })
}

/// The edges of SACK blocks, by the numbers of BEFORE.
fn edges(bytes: &[u8], way: Way, acked: &impl Fn(Way, u32) -> u32) -> Vec<u32> {
    let edges = bytes.get(2..).unwrap_or_default().chunks(4);
    let numbers = edges.filter_map(|edge| edge.first_chunk()).map(|edge| u32::from_be_bytes(*edge));
    numbers.map(|number| acked(way, number)).collect()
}

fn plain_fields(kind: u8, from: &[u8], to: &[u8]) -> Vec<FieldChange> {
    let word = |bytes: &[u8], at: usize| -> Option<u32> {
        bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|word| u32::from_be_bytes(*word))
    };
    let mut fields = Vec::new();
    let mut put = |name: &str, from: Option<u32>, to: Option<u32>| {
        if from != to {
            let text = |number: Option<u32>| number.map(|number| number.to_string());
            fields.push(FieldChange { name: name.to_owned(), from: text(from), to: text(to) });
        }
    };
    match kind {
        MSS => {
            let mss = |bytes: &[u8]| -> Option<u32> {
                bytes.get(2..).and_then(|rest| rest.first_chunk()).map(|mss| u16::from_be_bytes(*mss).into())
            };
            put("mss_val", mss(from), mss(to));
        }
        WINDOW_SCALE => {
            let shift = |bytes: &[u8]| bytes.get(2).map(|shift| u32::from(*shift));
            put("wscale.shift", shift(from), shift(to));
        }
        SACK => {
            put("sack_le", word(from, 2), word(to, 2));
            put("sack_re", word(from, 6), word(to, 6));
        }
        TIMESTAMPS => {
            put("timestamp.tsval", word(from, 2), word(to, 2));
            put("timestamp.tsecr", word(from, 6), word(to, 6));
        }
        _ => {}
    }
    fields
}

/// Fields by the names of [`Fields`]; keys are told without what they are.
fn mptcp_fields(from: &[u8], to: &[u8], segment: Segment) -> (Vec<FieldChange>, Part) {
    let [one, other] = [from, to].map(|bytes| {
        let option = codec::parse(bytes, segment);
        let subtype = bytes.get(2).map_or(Subtype::Unassigned, |third| Subtype::from_number(third >> 4));
        Signal { span: OptionMask::EMPTY, subtype, option }
    });
    let [values, others] =
        [&one, &other].map(|signal| serde_json::to_value(Fields::of(signal)).unwrap_or_default());
    let names = [&values, &others].into_iter().filter_map(Value::as_object).flat_map(|object| object.keys());
    // A token is what a key is hashed to: it changes with the key, which is told.
    let names: BTreeSet<&String> = names.filter(|name| *name != "expected_token").collect();
    let mut fields = Vec::new();
    let mut part = Part::Wish;
    for name in names {
        let (from, to) = (values.get(name), others.get(name));
        if from != to {
            let proof = ["addaddrtrunchmac", "recvtok", "sendrand", "sendtrunchmac", "sendhmac"];
            part = part.max(if proof.contains(&name.as_str()) { Part::Proof } else { Part::Wish });
            fields.push(FieldChange { name: name.clone(), from: from.map(word), to: to.map(word) });
        }
    }
    if keys(&one) != keys(&other) {
        part = Part::Proof;
        fields.push(FieldChange { name: "key".to_owned(), from: None, to: None });
    }
    (fields, part)
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn keys(signal: &Signal) -> Vec<Option<Key>> {
    match &signal.option {
        Ok(MptcpOption::Capable(Capable { sender_key, receiver_key, .. })) => {
            vec![*sender_key, *receiver_key]
        }
        Ok(MptcpOption::Fastclose(key)) => vec![Some(*key)],
        _ => Vec::new(),
    }
}

//! Finds the rules that a segment can match without walking the others.
//!
//! Each rule has a bit. A property of a segment (an option, a port, an address) has a row: the bits of the rules that ask
//! for it. Rules are grouped by which properties they ask of, so that in a group no rule is indifferent, and rows
//! stay as sparse as what the rules say; what a group answers is what its properties' rows have in common.

mod rows;
mod intervals;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::mptcp::{Subtype, SubtypeSet};
use crate::rules::Facts;
use crate::rules::condition::{Bounds, Condition, Named, Side};
use crate::rules::ranges::{Addresses, Prefixes, Ranges};
use crate::wire::{Flow, Segment};
use intervals::{Intervals, Part};
use rows::{BITS, Row, Rows, ones};

/// Each property is asked of or not.
const GROUPS_MAX: usize = 1 << PROPERTIES;

const PROPERTIES: usize = Property::ALL.len();

/// What a rule asks of the properties that the index knows; `None` where it does not ask.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asks<'r> {
    pub(super) from: Option<&'r Addresses>,
    pub(super) to: Option<&'r Addresses>,
    pub(super) from_port: Option<&'r Ranges<u16>>,
    pub(super) port: Option<&'r Ranges<u16>>,
    pub(super) option: Option<Named>,
}

impl<'r> Asks<'r> {
    /// Whether the index sees to such a condition.
    pub(super) const fn knows(condition: &Condition) -> bool {
        matches!(condition, Condition::Option(_)) || condition.bounds().is_some()
    }

    /// With that condition, if the index knows such.
    pub(super) const fn with(self, condition: &'r Condition) -> Self {
        match condition.bounds() {
            Some(Bounds::Addresses(Side::From, from)) => Self { from: Some(from), ..self },
            Some(Bounds::Addresses(Side::To, to)) => Self { to: Some(to), ..self },
            Some(Bounds::Ports(Side::From, from_port)) => Self { from_port: Some(from_port), ..self },
            Some(Bounds::Ports(Side::To, port)) => Self { port: Some(port), ..self },
            None if let Condition::Option(named) = condition => Self { option: Some(*named), ..self },
            None => self,
        }
    }
}

/// Rules by what they ask.
///
/// Costs memory for each different set of rules that a port or an address can meet (at most one for each prefix and
/// for each block of ports): 16 bytes for each 4096 rules, and 8 bytes for each 64 rules of a group that are among them.
#[derive(Debug, Default)]
pub(super) struct Index {
    groups: ArrayVec<Group, GROUPS_MAX>,
    /// The place of the rule that has a bit.
    places: Vec<usize>,
    rows: Rows,
    in_syn: OptionRows,
    later: OptionRows,
    from: AddressRows,
    to: AddressRows,
    from_port: Intervals<u16>,
    port: Intervals<u16>,
}

/// Rules that ask of the same properties: the bits `start..end`. No word has bits of two groups.
#[derive(Debug)]
struct Group {
    properties: ArrayVec<Property, PROPERTIES>,
    start: usize,
    end: usize,
}

/// The cheapest to look up come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Property {
    Option,
    Port,
    FromPort,
    To,
    From,
}

/// The rows of the subtypes that some rule names.
type OptionRows = ArrayVec<(Subtype, Row), { Subtype::ALL.len() }>;

#[derive(Debug, Default)]
struct AddressRows {
    v4: Intervals<u32>,
    v6: Intervals<u128>,
}

/// The places of the rules that the indexed properties do not exclude, ascending.
#[derive(Debug)]
pub(super) struct Candidates<'i> {
    index: &'i Index,
    flow: Flow,
    options: ArrayVec<Row, { Subtype::ALL.len() }>,
    port: Option<Row>,
    from_port: Option<Row>,
    to: Option<Row>,
    from: Option<Row>,
    cursors: ArrayVec<Cursor<'i>, GROUPS_MAX>,
}

/// How far a group was searched.
#[derive(Debug)]
struct Cursor<'i> {
    group: &'i Group,
    /// Which word; those before it have no candidates any more.
    word: usize,
    /// Its candidates; none while it is still to be searched.
    bits: u64,
    /// The place of the first candidate, or the least that it can have.
    place: usize,
}

impl Index {
    /// The index of `rules`, which are known by their places in it.
    pub(super) fn build(rules: &[Asks<'_>]) -> Self {
        let mut members: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (place, rule) in rules.iter().enumerate() {
            members.entry(rule.properties()).or_default().push(place);
        }
        let mut groups = ArrayVec::new();
        let mut places = Vec::new();
        for (properties, members) in members {
            let start = places.len();
            places.extend(members);
            groups.push(Group { properties, start, end: places.len() });
            places.resize(places.len().next_multiple_of(BITS), usize::MAX);
        }
        let asks: Vec<_> =
            places.iter().enumerate().filter_map(|(bit, &place)| Some((bit, rules.get(place)?))).collect();
        let mut rows = Rows::new(places.len());
        let options: Vec<_> = asks.iter().filter_map(|(bit, rule)| Some((*bit, rule.option?))).collect();
        Self {
            in_syn: option_rows(&options, |named| named.in_syn, &mut rows),
            later: option_rows(&options, |named| named.later, &mut rows),
            from: AddressRows::build(
                asks.iter().filter_map(|(bit, rule)| Some((*bit, rule.from?))),
                &mut rows,
            ),
            to: AddressRows::build(asks.iter().filter_map(|(bit, rule)| Some((*bit, rule.to?))), &mut rows),
            from_port: port_rows(
                asks.iter().filter_map(|(bit, rule)| Some((bit, rule.from_port?))),
                &mut rows,
            ),
            port: port_rows(asks.iter().filter_map(|(bit, rule)| Some((bit, rule.port?))), &mut rows),
            groups,
            places,
            rows,
        }
    }

    /// The places of the rules that meet all that the index knows of `facts`, ascending, each found when it is asked for.
    pub(super) fn candidates(&self, facts: &Facts) -> Candidates<'_> {
        let rows = if facts.segment == Segment::Syn { &self.in_syn } else { &self.later };
        let mut candidates = Candidates {
            index: self,
            flow: facts.flow,
            options: ArrayVec::new(),
            port: None,
            from_port: None,
            to: None,
            from: None,
            cursors: ArrayVec::new(),
        };
        for &(subtype, row) in rows {
            if facts.subtypes.contains(subtype) {
                candidates.options.push(row);
            }
        }
        for group in &self.groups {
            let hopeless = candidates.options.is_empty() && group.asks_of_options();
            if let Some(cursor) = self.cursor(group, group.start / BITS, 0).filter(|_| !hopeless) {
                candidates.cursors.push(cursor);
            }
        }
        candidates
    }

    /// `None` behind the end of the group.
    fn cursor<'i>(&self, group: &'i Group, word: usize, bits: u64) -> Option<Cursor<'i>> {
        let at = word * BITS + ones(bits).next().unwrap_or(0);
        let place = *self.places.get(at).filter(|_| at < group.end)?;
        Some(Cursor { group, word, bits, place })
    }
}

impl Group {
    fn asks_of_options(&self) -> bool {
        self.properties.first() == Some(&Property::Option)
    }
}

impl Asks<'_> {
    fn properties(&self) -> ArrayVec<Property, PROPERTIES> {
        let asked = Property::ALL.into_iter().filter(|property| match property {
            Property::Option => self.option.is_some(),
            Property::Port => self.port.is_some(),
            Property::FromPort => self.from_port.is_some(),
            Property::To => self.to.is_some(),
            Property::From => self.from.is_some(),
        });
        asked.collect()
    }
}

impl Property {
    const ALL: [Self; 5] = [Self::Option, Self::Port, Self::FromPort, Self::To, Self::From];
}

impl AddressRows {
    /// A set that many rules name is one part.
    fn build<'r>(asked: impl Iterator<Item = (usize, &'r Addresses)>, rows: &mut Rows) -> Self {
        let mut numbers = HashMap::new();
        let mut parts: Vec<(&Prefixes, Vec<usize>)> = Vec::new();
        for (bit, addresses) in asked {
            for part in &addresses.0 {
                let number = *numbers.entry(Arc::as_ptr(part)).or_insert(parts.len());
                match parts.get_mut(number) {
                    Some((_, bits)) => bits.push(bit),
                    None => parts.push((part, vec![bit])),
                }
            }
        }
        let v4: Vec<_> = parts.iter().map(|(prefixes, bits)| Part { ranges: &prefixes.v4, bits }).collect();
        let v6: Vec<_> = parts.iter().map(|(prefixes, bits)| Part { ranges: &prefixes.v6, bits }).collect();
        Self { v4: Intervals::build(&v4, rows), v6: Intervals::build(&v6, rows) }
    }

    fn row(&self, addr: IpAddr) -> Row {
        match addr {
            IpAddr::V4(addr) => self.v4.row(Ipv4Addr::to_bits(addr)),
            IpAddr::V6(addr) => self.v6.row(Ipv6Addr::to_bits(addr)),
        }
    }
}

fn port_rows<'r>(
    asked: impl Iterator<Item = (&'r usize, &'r Ranges<u16>)>,
    rows: &mut Rows,
) -> Intervals<u16> {
    let parts: Vec<_> = asked.map(|(bit, ranges)| Part { ranges, bits: std::slice::from_ref(bit) }).collect();
    Intervals::build(&parts, rows)
}

fn option_rows(asked: &[(usize, Named)], counts: fn(Named) -> SubtypeSet, rows: &mut Rows) -> OptionRows {
    let row = |subtype| {
        let bits = asked.iter().filter(|(_, named)| counts(*named).contains(subtype)).map(|&(bit, _)| bit);
        (subtype, rows.extend(Rows::EMPTY, bits))
    };
    Subtype::ALL.map(row).into_iter().filter(|&(_, row)| !rows.is_empty(row)).collect()
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            let nearest = self.cursors.iter().enumerate().min_by_key(|(_, cursor)| cursor.place);
            let (nearest, &Cursor { group, word, bits, place }) = nearest?;
            let next = match bits {
                0 => self.search(group, word).and_then(|(word, bits)| self.index.cursor(group, word, bits)),
                _ => match bits & (bits - 1) {
                    0 => self.index.cursor(group, word + 1, 0),
                    rest => self.index.cursor(group, word, rest),
                },
            };
            match (self.cursors.get_mut(nearest), next) {
                (Some(cursor), Some(next)) => *cursor = next,
                (Some(_) | None, _) => {
                    self.cursors.swap_remove(nearest);
                }
            }
            if bits != 0 {
                return Some(place);
            }
        }
    }
}

impl Candidates<'_> {
    /// The first word of a group, from `first` on, that has candidates.
    fn search(&mut self, group: &Group, first: usize) -> Option<(usize, u64)> {
        let last_bit = group.end.checked_sub(1)?;
        let last = last_bit / BITS;
        for block in first / BITS..=last / BITS {
            let mut words = between(first, last, block);
            for &property in &group.properties {
                if words == 0 {
                    break;
                }
                words &= self.part(property, |rows, row| rows.summary(row, block));
            }
            for word in ones(words).map(|word| block * BITS + word) {
                let mut bits = between(word * BITS, last_bit, word);
                for &property in &group.properties {
                    bits &= self.part(property, |rows, row| rows.word(row, word));
                }
                if bits != 0 {
                    return Some((word, bits));
                }
            }
        }
        None
    }

    /// The part `of` a property's row, which is looked up once; several options can be in a segment, and one is enough.
    fn part(&mut self, property: Property, of: impl Fn(&Rows, Row) -> u64) -> u64 {
        let Self { index, flow: Flow { src, dst }, .. } = *self;
        let row = match property {
            Property::Option => {
                return self.options.iter().fold(0, |any, &row| any | of(&index.rows, row));
            }
            Property::Port => self.port.get_or_insert_with(|| index.port.row(dst.port)),
            Property::FromPort => self.from_port.get_or_insert_with(|| index.from_port.row(src.port)),
            Property::To => self.to.get_or_insert_with(|| index.to.row(dst.addr)),
            Property::From => self.from.get_or_insert_with(|| index.from.row(src.addr)),
        };
        of(&index.rows, *row)
    }
}

/// Which of the 64 places from `chunk * 64` on lie between `first` and `last`.
const fn between(first: usize, last: usize, chunk: usize) -> u64 {
    let mut bits = u64::MAX;
    if chunk == first / BITS {
        bits &= u64::MAX << (first % BITS);
    }
    if chunk == last / BITS {
        bits &= u64::MAX >> (BITS - 1 - last % BITS);
    }
    bits
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::{Index as Choice, select};

    use super::*;
    use crate::rules::condition::subtype_set;
    use crate::wire::Endpoint;

    /// What a rule asks, with the lists that [`Asks`] borrows.
    #[derive(Clone, Debug, Default)]
    struct Owned {
        from: Option<Addresses>,
        to: Option<Addresses>,
        from_port: Option<Ranges<u16>>,
        port: Option<Ranges<u16>>,
        option: Option<Named>,
    }

    impl Owned {
        fn asks(&self) -> Asks<'_> {
            Asks {
                from: self.from.as_ref(),
                to: self.to.as_ref(),
                from_port: self.from_port.as_ref(),
                port: self.port.as_ref(),
                option: self.option,
            }
        }

        fn meets(&self, facts: &Facts) -> bool {
            let Flow { src, dst } = facts.flow;
            let named =
                |option: Named| if facts.segment == Segment::Syn { option.in_syn } else { option.later };
            self.from.as_ref().is_none_or(|from| from.contains(src.addr))
                && self.to.as_ref().is_none_or(|to| to.contains(dst.addr))
                && self.from_port.as_ref().is_none_or(|ports| ports.contains(src.port))
                && self.port.as_ref().is_none_or(|ports| ports.contains(dst.port))
                && self.option.is_none_or(|option| named(option).meets(facts.subtypes))
        }
    }

    /// The corners of the number line, and a corner of it where prefixes nest and touch.
    fn addr() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            4 => (0_u32..64).prop_map(|low| IpAddr::from((0x0a00_0000 + low).to_be_bytes())),
            4 => (0_u128..64).prop_map(|low| IpAddr::from(((0x2001_0db8 << 96) + low).to_be_bytes())),
            1 => select(vec!["0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"])
                .prop_map(|addr| addr.parse().unwrap()),
        ]
    }

    fn net() -> impl Strategy<Value = IpNet> {
        (addr(), 0_u8..8, 0_u8..12).prop_map(|(addr, wide, shorter)| {
            let width = if addr.is_ipv4() { 32 } else { 128 };
            IpNet::new(addr, if wide == 0 { shorter } else { width - shorter % 7 }).unwrap()
        })
    }

    fn prefixes() -> impl Strategy<Value = Arc<Prefixes>> {
        vec(net(), 0..6).prop_map(|nets| Arc::new(Prefixes::union(&nets, &[])))
    }

    fn addresses(sets: Vec<Arc<Prefixes>>) -> impl Strategy<Value = Addresses> {
        (option::of(prefixes()), vec(any::<Choice>(), 0..3)).prop_map(move |(own, shared)| {
            let shared = shared.iter().map(|choice| Arc::clone(choice.get(&sets)));
            Addresses(own.into_iter().chain(shared).collect())
        })
    }

    fn port() -> impl Strategy<Value = u16> {
        prop_oneof![0_u16..20, 65_520_u16..=65_535]
    }

    fn ports() -> impl Strategy<Value = Ranges<u16>> {
        vec((port(), port()), 0..4).prop_map(|ranges| {
            let ranges = ranges.into_iter().map(|(one, other)| (one.min(other), one.max(other)));
            Ranges::union(ranges.collect(), |last| last.checked_add(1))
        })
    }

    fn subtypes() -> impl Strategy<Value = SubtypeSet> {
        vec(select(Subtype::ALL.to_vec()), 0..4).prop_map(subtype_set)
    }

    fn rule(sets: &[Arc<Prefixes>]) -> impl Strategy<Value = Owned> + use<> {
        (
            option::weighted(0.3, addresses(sets.to_vec())),
            option::weighted(0.3, addresses(sets.to_vec())),
            option::weighted(0.3, ports()),
            option::weighted(0.3, ports()),
            option::of((subtypes(), subtypes()).prop_map(|(in_syn, later)| Named { in_syn, later })),
        )
            .prop_map(|(from, to, from_port, port, option)| Owned {
                from,
                to,
                from_port,
                port,
                option,
            })
    }

    fn rules(count: usize) -> impl Strategy<Value = Vec<Owned>> {
        vec(prefixes(), 1..4).prop_flat_map(move |sets| vec(rule(&sets), 0..count))
    }

    fn facts() -> impl Strategy<Value = Facts> {
        let end = || (addr(), port()).prop_map(|(addr, port)| Endpoint { addr, port });
        let segment = select(vec![Segment::Syn, Segment::SynAck, Segment::Data]);
        (end(), end(), segment, subtypes()).prop_map(|(src, dst, segment, subtypes)| Facts {
            subtypes,
            ..Facts::of(Flow { src, dst }, segment)
        })
    }

    fn check(rules: &[Owned], facts: &[Facts]) {
        let asks: Vec<_> = rules.iter().map(Owned::asks).collect();
        let index = Index::build(&asks);
        for facts in facts {
            let found: Vec<_> = index.candidates(facts).collect();
            let met: Vec<_> = (0..rules.len()).filter(|&place| rules[place].meets(facts)).collect();
            assert_eq!(found, met, "{facts:?}");
        }
    }

    proptest! {
        #[test]
        fn candidates_are_the_rules_that_facts_meet(rules in rules(300), facts in vec(facts(), 1..30)) {
            check(&rules, &facts);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { max_shrink_iters: 50, ..ProptestConfig::with_cases(16) })]

        /// Rows of several blocks: 4096 bits are one.
        #[test]
        fn so_are_they_among_many(
            rules in rules(60),
            picks in vec(any::<Choice>(), 4_000..14_000),
            facts in vec(facts(), 1..10),
        ) {
            prop_assume!(!rules.is_empty());
            let many: Vec<_> = picks.iter().map(|pick| pick.get(&rules).clone()).collect();
            check(&many, &facts);
        }
    }

    #[test]
    fn an_empty_index_has_no_candidates() {
        let flow = Flow {
            src: Endpoint { addr: [10, 0, 0, 1].into(), port: 0 },
            dst: Endpoint { addr: [10, 0, 0, 2].into(), port: 65_535 },
        };
        let facts = Facts { subtypes: SubtypeSet::only(Subtype::Dss), ..Facts::of(flow, Segment::Data) };
        assert_eq!(Index::default().candidates(&facts).count(), 0);
        assert_eq!(Index::build(&[]).candidates(&facts).count(), 0);
        assert_eq!(Index::build(&[Asks::default(); 2]).candidates(&facts).collect::<Vec<_>>(), [0, 1]);
    }
}

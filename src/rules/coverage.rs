//! What earlier rules leave of a later one, over addresses and ports.

use std::collections::HashMap;
use std::sync::Arc;

use crate::mptcp::SubtypeSet;
use crate::rules::Facts;
use crate::rules::condition::{Bounds, Condition, Side};
use crate::rules::index::Index;
use crate::rules::matcher::Rule;
use crate::rules::ranges::{Addresses, Prefixes, Ranges};
use crate::wire::{Endpoint, Flow, Segment};

/// Pieces that a rule's region may be cut into before it counts as reachable; people write rules that shadow another with
/// a handful.
const PIECES_MAX: usize = 64;

/// Steps over ranges that all searches together may take: some 10 ms. A set of 100 000 prefixes takes so many steps each
/// time; beyond, rules count as reachable.
const WORK_MAX: usize = 4_000_000;

/// Segments by address and port.
#[derive(Clone, Debug)]
struct Region {
    from: Arc<Prefixes>,
    to: Arc<Prefixes>,
    from_port: Ranges<u16>,
    port: Ranges<u16>,
}

/// Searches rules for those that are never reached.
#[derive(Debug)]
pub(super) struct Search<'r> {
    rules: &'r [Rule],
    index: &'r Index,
    regions: Vec<Region>,
    everywhere: Arc<Prefixes>,
    work: usize,
}

impl<'r> Search<'r> {
    pub(super) fn new(rules: &'r [Rule], index: &'r Index) -> Self {
        let mut maps = Maps { everywhere: Arc::new(Prefixes::all()), outside: HashMap::new() };
        let regions = rules.iter().map(|rule| maps.region(rule)).collect();
        Self { rules, index, regions, everywhere: maps.everywhere, work: 0 }
    }

    /// Whether the conditions of the rule at `place` on addresses and ports leave nothing of each other.
    pub(super) fn is_empty(&self, place: usize) -> bool {
        self.regions.get(place).is_some_and(Region::is_empty)
    }

    /// The earlier rules that together speak first on all that the rule at `place` matches.
    ///
    /// Takes a point that the rule matches and asks which earlier rules match it. Where none does, the rule is reached;
    /// else what that one takes is cut off, and the rest asked again.
    pub(super) fn shadows(&mut self, place: usize) -> Option<Vec<&'r Rule>> {
        let rule = self.rules.get(place)?;
        let mut pieces = vec![self.regions.get(place)?.clone()];
        let mut shadows: Vec<usize> = Vec::new();
        while let Some(piece) = pieces.pop() {
            let Some(point) = piece.point() else { continue };
            let earlier = self.taker(place, rule, point)?;
            let taken = self.regions.get(earlier)?;
            if pieces.len() > PIECES_MAX || self.work > WORK_MAX {
                return None;
            }
            self.work += piece.cost() + taken.cost();
            pieces.extend(piece.without(taken, &self.everywhere));
            if !shadows.contains(&earlier) {
                shadows.push(earlier);
            }
        }
        Some(shadows.into_iter().filter_map(|earlier| self.rules.get(earlier)).collect())
    }

    /// The first rule before `place` that matches whatever `rule` matches, at that point.
    fn taker(&self, place: usize, rule: &Rule, point: Flow) -> Option<usize> {
        let facts = sample(rule, point);
        let before = self.index.candidates(&facts).take_while(|&earlier| earlier < place);
        let takes = |earlier: &Rule| {
            earlier.rate.is_none()
                && !earlier.effect.observe
                && earlier.conditions.iter().all(|asked| {
                    if asked.condition.bare().0.bounds().is_some() {
                        asked.condition.holds(&facts)
                    } else {
                        rule.conditions.iter().any(|theirs| asked.condition.covers(&theirs.condition))
                    }
                })
        };
        before.into_iter().find(|&earlier| self.rules.get(earlier).is_some_and(takes))
    }
}

/// Makes regions of rules; what many rules have in common is made once.
#[derive(Debug)]
struct Maps {
    everywhere: Arc<Prefixes>,
    /// What is outside of a set, which many rules can leave out; by the set's address.
    outside: HashMap<*const Prefixes, Arc<Prefixes>>,
}

impl Maps {
    fn region(&mut self, rule: &Rule) -> Region {
        let all = || (Arc::clone(&self.everywhere), Ranges::all());
        let ((from, from_port), (to, port)) = (all(), all());
        let mut region = Region { from, to, from_port, port };
        for asked in &rule.conditions {
            let (condition, negated) = asked.condition.bare();
            match (condition.bounds(), negated) {
                (Some(Bounds::Addresses(side, addresses)), _) => {
                    let part = region.addresses(side);
                    let within = if negated { self.outside(addresses) } else { addresses.whole() };
                    *part = self.common(part, within);
                }
                (Some(Bounds::Ports(side, ports)), false) => {
                    let part = region.ports(side);
                    *part = part.common(ports);
                }
                (Some(Bounds::Ports(side, ports)), true) => {
                    let part = region.ports(side);
                    *part = part.without(ports);
                }
                (None, _) => {}
            }
        }
        region
    }

    fn outside(&mut self, addresses: &Addresses) -> Arc<Prefixes> {
        let whole = addresses.whole();
        let everywhere = &self.everywhere;
        // Only what is shared can be asked for again: what `whole` made itself has an address that is used again.
        if addresses.0.len() != 1 {
            return Arc::new(everywhere.without(&whole));
        }
        let outside = self.outside.entry(Arc::as_ptr(&whole));
        Arc::clone(outside.or_insert_with(|| Arc::new(everywhere.without(&whole))))
    }

    fn common(&self, part: &Arc<Prefixes>, within: Arc<Prefixes>) -> Arc<Prefixes> {
        if Arc::ptr_eq(part, &self.everywhere) { within } else { Arc::new(part.common(&within)) }
    }
}

/// A segment at `point` on which an earlier rule must speak if it speaks on all that `rule` does.
fn sample(rule: &Rule, point: Flow) -> Facts {
    let named = rule
        .conditions
        .iter()
        .find_map(|asked| if let Condition::Option(named) = asked.condition { Some(named) } else { None });
    let syn = named.and_then(|named| named.in_syn.iter().next());
    let later = named.and_then(|named| named.later.iter().next());
    let (segment, option) = match (syn, later) {
        (Some(option), _) => (Segment::Syn, Some(option)),
        (None, option) => (Segment::Ack, option),
    };
    Facts { subtypes: option.map_or(SubtypeSet::EMPTY, SubtypeSet::only), ..Facts::of(point, segment) }
}

impl Region {
    const fn addresses(&mut self, side: Side) -> &mut Arc<Prefixes> {
        match side {
            Side::From => &mut self.from,
            Side::To => &mut self.to,
        }
    }

    const fn ports(&mut self, side: Side) -> &mut Ranges<u16> {
        match side {
            Side::From => &mut self.from_port,
            Side::To => &mut self.port,
        }
    }

    fn is_empty(&self) -> bool {
        self.point().is_none()
    }

    /// A segment in it: both ends of one family, as packets are.
    fn point(&self) -> Option<Flow> {
        let (from_port, _) = self.from_port.iter().next()?;
        let (port, _) = self.port.iter().next()?;
        let one_family = self.from.v4.is_empty() || self.to.v4.is_empty();
        let v6_only =
            |prefixes: &Prefixes| Prefixes { v4: Ranges::default(), v6: prefixes.v6.clone() }.first();
        let (src, dst) = if one_family {
            (v6_only(&self.from)?, v6_only(&self.to)?)
        } else {
            (self.from.first()?, self.to.first()?)
        };
        Some(Flow { src: Endpoint { addr: src, port: from_port }, dst: Endpoint { addr: dst, port } })
    }

    fn cost(&self) -> usize {
        self.from.len() + self.to.len()
    }

    /// What is left of it, in pieces that do not overlap.
    fn without(&self, taken: &Self, everywhere: &Arc<Prefixes>) -> Vec<Self> {
        let rest = |ours: &Arc<Prefixes>, theirs: &Arc<Prefixes>| {
            let nothing = Arc::ptr_eq(ours, theirs) || Arc::ptr_eq(theirs, everywhere);
            if nothing { Arc::default() } else { Arc::new(ours.without(theirs)) }
        };
        let both = |ours: &Arc<Prefixes>, theirs: &Arc<Prefixes>| {
            let all = Arc::ptr_eq(ours, theirs) || Arc::ptr_eq(theirs, everywhere);
            if all { Arc::clone(ours) } else { Arc::new(ours.common(theirs)) }
        };
        let mut inside = self.clone();
        let mut pieces = vec![Self { port: self.port.without(&taken.port), ..self.clone() }];
        inside.port = self.port.common(&taken.port);
        pieces.push(Self { from_port: self.from_port.without(&taken.from_port), ..inside.clone() });
        inside.from_port = self.from_port.common(&taken.from_port);
        pieces.push(Self { to: rest(&self.to, &taken.to), ..inside.clone() });
        inside.to = both(&self.to, &taken.to);
        pieces.push(Self { from: rest(&self.from, &taken.from), ..inside });
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }
}

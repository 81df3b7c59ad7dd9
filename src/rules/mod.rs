//! Floor 3: what the operator wants.
//!
//! Files are read by `file`, `values` and the tables of keys in `keys`, `policy` and `settings`; `compile` makes rules of
//! them, as narrow as `laws` demand; `index` finds those that a segment may meet, and `matcher` asks them in turn. What is
//! wrong on the way goes to a `report`, under one of the `codes`; what is sound and yet not meant is found by `lint`.
//! A new condition is a row in `keys` and a variant of `condition::Condition`.

pub mod facts;
pub mod action;
pub mod codes;
pub mod diagnostic;
mod report;
mod echoes;
mod words;
mod ranges;
mod condition;
mod index;
mod matcher;
mod values;
mod members;
mod numbers;
mod file;
mod sets;
mod policy;
mod settings;
mod keys;
mod laws;
mod feasible;
mod coverage;
mod lint;
mod compile;
pub mod trace;
mod reference;
pub mod schema;

use std::fmt;
use std::sync::Arc;

pub use action::{Action, Caps, Policy, Refusal};
pub use compile::{compile, compile_with};
pub use condition::Mark;
pub use diagnostic::{Diagnostic, Severity, Source};
pub use facts::Facts;
pub use reference::reference;

use crate::mptcp::SubtypeSet;
use crate::rules::condition::Kinds;
use crate::time::Timestamp;
use crate::track::{Rates, RuleKey};
pub use crate::wire::InterfaceName;
use crate::wire::kinds::SeenKind;
use crate::wire::{OptionKind, Segment};

/// What logs, metrics and reports say of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleLabel {
    /// Its name, unique in a rule set.
    pub name: String,
    /// Why it is there, in the operator's words.
    pub comment: Option<String>,
    /// The file that it stands in.
    pub path: Arc<str>,
    /// The line of that file, from 1.
    pub line: usize,
}

/// As a person finds it: name, file and line.
impl fmt::Display for RuleLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}:{}", self.name, self.path, self.line)
    }
}

/// A rule that matches a segment.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'r> {
    /// Which rule.
    pub label: &'r Arc<RuleLabel>,
    /// By which connections remember it.
    pub key: RuleKey,
    /// What it does.
    pub action: Action,
    /// The subtypes that its condition named and the segment has; all that it has where it named no option.
    pub subtypes: SubtypeSet,
    kinds: Option<&'r Kinds>,
    /// Whether to log it.
    pub log: bool,
    /// The operator insists, whatever it does to connections.
    pub break_connections: bool,
    /// How it changes the packet's mark.
    pub set_mark: Option<Mark>,
    /// The bits that a join takes from the mark of the first subflow.
    pub inherit_mark: Option<u32>,
}

impl Hit<'_> {
    /// Whether it is about that TCP option, beside those of MPTCP.
    pub fn names(&self, option: SeenKind, segment: Segment) -> bool {
        self.kinds.is_some_and(|kinds| kinds.contains(option, segment))
    }

    /// Whether it names TCP options, beside those of MPTCP.
    pub const fn names_kinds(&self) -> bool {
        self.kinds.is_some()
    }
}

/// What the rules say of a segment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Matched<'r> {
    /// The first rule that matches.
    pub hit: Option<Hit<'r>>,
    /// The first rule before it that matches and only observes.
    pub observed: Option<Hit<'r>>,
}

/// Which facts the rules ask for, of those that cost something to find out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// [`Facts::parent`].
    pub parent: bool,
    /// The same, of joins and announcements alone: limits, and marks that joins take from the first subflow.
    pub bound: bool,
    /// [`Facts::kinds`] and what is odd about them.
    pub kinds: bool,
    /// [`Facts::source_connections`].
    pub source_connections: bool,
    /// All facts of segments with no option of MPTCP but DSS, which say nothing new: a rule may speak on such, or `[normalize]`.
    pub routine: bool,
}

/// A set of rules, compiled.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// What is done where no rule speaks.
    pub policy: Policy,
    /// What one connection may have.
    pub caps: Caps,
    /// The TCP options that `[normalize]` allows, if there is one.
    pub allowed: Option<Box<[OptionKind]>>,
    /// How many sets its files name.
    pub sets: usize,
    /// What its rules ask for.
    pub needs: Needs,
    rules: Vec<matcher::Rule>,
    index: index::Index,
}

impl RuleSet {
    /// The first rule that matches. Whoever asks may use up tokens of rates.
    pub fn first_match(&self, now: Timestamp, facts: &Facts, rates: &Rates) -> Matched<'_> {
        let mut matched = Matched::default();
        if self.rules.is_empty() {
            return matched;
        }
        // By reference: the candidates are a kilobyte, and would be moved.
        let mut candidates = self.index.candidates(facts);
        for place in &mut candidates {
            let Some(rule) = self.rules.get(place).filter(|rule| rule.speaks(now, facts, rates)) else {
                continue;
            };
            let hit = Some(rule.hit(facts));
            if !rule.effect.observe {
                return Matched { hit, ..matched };
            }
            matched.observed = matched.observed.or(hit);
        }
        matched
    }

    /// The rules' labels, in order.
    pub fn labels(&self) -> impl Iterator<Item = &Arc<RuleLabel>> {
        self.rules.iter().map(|rule| &rule.label)
    }
}

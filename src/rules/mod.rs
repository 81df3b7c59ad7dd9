//! Floor 3: what the operator wants.
//!
//! Files are read by `file`, `values` and the tables in `keys` and `policy`; `compile` makes rules of them, as narrow as
//! `laws` demand, and `matcher` holds them against a segment's facts. What is wrong on the way goes to a `report`.
//! A new condition is a row in `keys` and a variant of `matcher::Condition`.

pub mod facts;
pub mod action;
pub mod diagnostic;
mod report;
mod echoes;
mod words;
mod ranges;
mod matcher;
mod values;
mod file;
mod sets;
mod policy;
mod keys;
mod laws;
mod lint;
mod compile;
mod reference;

use std::sync::Arc;

pub use action::{Action, Policy};
pub use compile::compile;
pub use diagnostic::{Diagnostic, Severity, Source};
pub use facts::{Facts, InterfaceName};
pub use reference::reference;

/// What logs, metrics and reports say of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleLabel {
    /// Its name, unique in a rule set.
    pub name: String,
    /// Why it is there, in the operator's words.
    pub comment: Option<String>,
}

/// The first rule that matches a segment.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'r> {
    /// Which rule.
    pub label: &'r Arc<RuleLabel>,
    /// What it does.
    pub action: Action,
    /// The subtypes that its condition named and the segment has; all that it has where it named none.
    pub subtypes: crate::mptcp::SubtypeSet,
    /// Whether to log it.
    pub log: bool,
    /// The operator insists, whatever it does to connections.
    pub break_connections: bool,
}

/// A set of rules, compiled.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// What is done where no rule speaks.
    pub policy: Policy,
    /// How many sets its files name.
    pub sets: usize,
    rules: Vec<matcher::Rule>,
}

impl RuleSet {
    /// The first rule that matches.
    pub fn first_match(&self, facts: &Facts) -> Option<Hit<'_>> {
        let rule = self.rules.iter().find(|rule| rule.matches(facts))?;
        Some(Hit {
            label: &rule.label,
            action: rule.action,
            subtypes: rule.subtypes(facts),
            log: rule.log,
            break_connections: rule.break_connections,
        })
    }

    /// The rules' labels, in order.
    pub fn labels(&self) -> impl Iterator<Item = &Arc<RuleLabel>> {
        self.rules.iter().map(|rule| &rule.label)
    }
}

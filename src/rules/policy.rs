//! `[policy]`: what is done where no rule speaks.

use std::collections::BTreeMap;

use crate::rules::codes::Code;
use crate::rules::file::File;
use crate::rules::lint;
use crate::rules::report::{Finding, Report};
use crate::rules::sets::Sets;
use crate::rules::settings::once;
use crate::rules::values::{Key, Reader, Shape, Value};
use crate::rules::{Action, Policy};

type Row = Key<Policy>;

/// The keys of `[policy]`.
pub(super) const KEYS: [Key<Policy>; 9] = [
    Row::value(
        "default",
        "connections and joins that no rule matches",
        Shape::Word,
        |reader, policy, value| {
            if !refuses_connections(reader, value) {
                assign(&mut policy.default, reader, value);
            }
        },
    )
    .of(|| vec!["accept", "strip"]),
    Row::value(
        "unknown_join",
        "a join whose token was never seen here",
        Shape::Word,
        |reader, policy, value| {
            assign(&mut policy.unknown_join, reader, value);
        },
    )
    .of(refusable),
    Row::value("forged_join", "a join whose HMAC does not verify", Shape::Word, |reader, policy, value| {
        assign(&mut policy.forged_join, reader, value);
    })
    .of(refusable),
    Row::value(
        "malformed",
        "options that no stack may send, and packets that cannot be read",
        Shape::Word,
        |reader, policy, value| assign(&mut policy.malformed, reader, value),
    )
    .of(|| vec!["accept", "strip", "drop"]),
    Row::value(
        "forged_announcement",
        "ADD_ADDR whose HMAC does not verify",
        Shape::Word,
        |reader, policy, value| assign(&mut policy.forged_announcement, reader, value),
    )
    .of(losable),
    Row::value(
        "unproven_announcement",
        "ADD_ADDR of version 0, which has no HMAC",
        Shape::Word,
        |reader, policy, value| {
            assign(&mut policy.unproven_announcement, reader, value);
            if policy.unproven_announcement == Action::Accept {
                let at = reader.at(value.span());
                reader.add(lint::unproven(at));
            }
        },
    )
    .of(losable),
    Row::value(
        "key_changed",
        "a third ACK that names other keys than the handshake did",
        Shape::Word,
        |reader, policy, value| assign(&mut policy.key_changed, reader, value),
    )
    .of(refusable),
    Row::value(
        "id_conflict",
        "ADD_ADDR that gives a known id another address",
        Shape::Word,
        |reader, policy, value| assign(&mut policy.id_conflict, reader, value),
    )
    .of(losable),
    Row::value(
        "inherit_mark",
        "bits that joins take from the first subflow's mark, where their rule does not say",
        Shape::Mask,
        |reader, policy, value| policy.inherit_mark = reader.mask(value).unwrap_or(0),
    ),
];

/// The policy of all files together; each key may stand in one of them.
pub(super) fn read(files: &[File<'_>], sets: &mut Sets, report: &mut Report<'_>) -> Policy {
    let mut policy = Policy::default();
    let mut seen = BTreeMap::new();
    for file in files {
        let mut reader = Reader::new(file.index, sets, report);
        once(&mut reader, "policy", &file.policy, &mut seen);
        reader.section("[policy]", &KEYS, &file.policy, &mut policy);
    }
    policy
}

fn refusable() -> Vec<&'static str> {
    vec!["accept", "reject", "drop"]
}

fn losable() -> Vec<&'static str> {
    vec!["accept", "drop"]
}

fn assign(policy: &mut Action, reader: &mut Reader<'_, '_>, value: &Value<'_>) {
    let allowed = reader.allowed();
    // A policy's reject is about a bad HMAC, token or key, and nothing else.
    let mut actions = [Action::Accept, Action::Strip, Action::DISBELIEVE, Action::Drop].into_iter();
    let known = |label: &str| actions.find(|action| action.label() == label && allowed.contains(&label));
    if let Some(action) = reader.word(value, known) {
        *policy = action.value;
    }
}

/// Whether `[policy] default` says what law 7 forbids; then the report has it.
fn refuses_connections(reader: &mut Reader<'_, '_>, value: &Value<'_>) -> bool {
    let Some(refusal @ ("drop" | "reject")) = value.get_ref().as_str() else { return false };
    let message =
        format!("default = \"{refusal}\" would refuse each SYN with MP_CAPABLE, not only its MPTCP");
    let remedy = "law 7: `default = \"strip\"` makes these connections plain TCP; \
                  to refuse the connections themselves, write a rule with `break_connections = true`";
    reader.add(Finding::error(Code::Law7, reader.at(value.span()), message).remedy(remedy));
    true
}

//! `[policy]`: what is done where no rule speaks.

use std::collections::BTreeMap;

use crate::mptcp::ResetReason;
use crate::rules::diagnostic::Code;
use crate::rules::file::File;
use crate::rules::report::{Finding, Report, quote};
use crate::rules::sets::Sets;
use crate::rules::values::{Key, Reader, Value};
use crate::rules::{Action, Policy};

/// A bad HMAC or token is answered with this reason, as is a policy's reject, which is about nothing else.
const REJECT: Action = Action::Reject { reason: ResetReason::MPTCP_ERROR };

/// The keys of `[policy]`.
pub(super) const KEYS: [Key<Policy>; 7] = [
    Key {
        name: "default",
        about: "connections and joins that no rule matches",
        takes: "an action",
        words: || vec!["accept", "strip"],
        read: |reader, policy, value| {
            if !refuses_connections(reader, value) {
                assign(&mut policy.default, reader, value);
            }
        },
    },
    Key {
        name: "unknown_join",
        about: "a join whose token was never seen here",
        takes: "an action",
        words: refusable,
        read: |reader, policy, value| assign(&mut policy.unknown_join, reader, value),
    },
    Key {
        name: "forged_join",
        about: "a join whose HMAC does not verify",
        takes: "an action",
        words: refusable,
        read: |reader, policy, value| assign(&mut policy.forged_join, reader, value),
    },
    Key {
        name: "malformed",
        about: "options that no stack may send, and packets that cannot be read",
        takes: "an action",
        words: || vec!["accept", "strip", "drop"],
        read: |reader, policy, value| assign(&mut policy.malformed, reader, value),
    },
    Key {
        name: "forged_announcement",
        about: "ADD_ADDR whose HMAC does not verify",
        takes: "an action",
        words: || vec!["accept", "drop"],
        read: |reader, policy, value| assign(&mut policy.forged_announcement, reader, value),
    },
    Key {
        name: "key_changed",
        about: "a third ACK that names other keys than the handshake did",
        takes: "an action",
        words: refusable,
        read: |reader, policy, value| assign(&mut policy.key_changed, reader, value),
    },
    Key {
        name: "id_conflict",
        about: "ADD_ADDR that gives a known id another address",
        takes: "an action",
        words: || vec!["accept", "drop"],
        read: |reader, policy, value| assign(&mut policy.id_conflict, reader, value),
    },
];

/// The policy of all files together; each key may stand in one of them.
pub(super) fn read(files: &[File<'_>], sets: &mut Sets, report: &mut Report<'_>) -> Policy {
    let mut policy = Policy::default();
    let mut seen = BTreeMap::new();
    for file in files {
        let mut reader = Reader::new(file.index, sets, report);
        for key in file.policy.keys() {
            let at = reader.at(key.span());
            let first = *seen.entry(key.get_ref().to_string()).or_insert(at);
            if first != at {
                let message = format!("the policy {} stands in two files", quote(key.get_ref()));
                let finding = Finding::error(Code::Duplicate, at, message).related(first, "first here");
                reader.add(finding.remedy("keep one of them: which one would speak is nobody's guess"));
            }
        }
        reader.section("[policy]", &KEYS, &file.policy, &mut policy);
    }
    policy
}

fn refusable() -> Vec<&'static str> {
    vec!["accept", "reject", "drop"]
}

fn assign(policy: &mut Action, reader: &mut Reader<'_, '_>, value: &Value<'_>) {
    let allowed = reader.allowed();
    let mut actions = [Action::Accept, Action::Strip, REJECT, Action::Drop].into_iter();
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

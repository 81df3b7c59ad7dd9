//! Closet: what the comment on a frame says of its decision, in live evidence and in captures.

use crate::engine::{Decision, Reason, ResetPlan, Verdict};
use crate::mptcp::option_name;
use crate::rules::Refusal;
use crate::track::{ConnectionId, Standing};
use crate::wire::{OptionMask, Packet, Segment};

/// Wireshark shows a comment on one line, and pcapng holds 64 KiB; the names of a rule and its file can be of any length.
const CHARS_MAX: usize = 500;

/// By which numbers a comment names a connection and its subflow: by those of whatever its reader looks them up in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// The connection's.
    pub connection: Option<ConnectionId>,
    /// The subflow's, of which the first is 0.
    pub subflow: Option<usize>,
}

impl Numbers {
    /// The engine's own, as logs have them.
    pub fn of(decision: &Decision) -> Self {
        let findings = decision.findings.as_ref();
        Self {
            connection: findings.and_then(|findings| findings.connection),
            subflow: findings.and_then(|findings| findings.subflow).map(|id| usize::from(id.0)),
        }
    }
}

/// What was done with a packet that was not simply accepted, or would have been where a gate or a rule only observes; on one
/// line that starts with `mpgate: `. `bytes` is the packet as it came, of which the headers suffice.
pub fn comment(decision: &Decision, bytes: &[u8], numbers: Numbers) -> Option<String> {
    let packet = Packet::parse(bytes).ok();
    let why = || match &decision.rule {
        Some(rule) if decision.reason == Reason::Rule => format!("rule {rule}"),
        _ => decision.reason.label().to_owned(),
    };
    let spoken = match decision.observed {
        Some(verdict) => deed(verdict, why, packet.as_ref()).map(|deed| format!("would {deed}")),
        None => deed(decision.verdict, why, packet.as_ref()),
    };
    let trial = decision.trial.as_ref().and_then(|trial| {
        let deed = deed(trial.verdict, || format!("rule {}", trial.rule), packet.as_ref())?;
        Some(format!("would {deed}"))
    });
    let mut parts: Vec<_> = spoken.into_iter().chain(trial).collect();
    if parts.is_empty() {
        return None;
    }
    parts.extend(decision.findings.as_ref().map(|findings| standing(findings.standing, numbers)));
    Some(on_one_line(&format!("mpgate: {}", parts.join("; "))))
}

/// Nothing where the packet goes on as it is.
fn deed(verdict: Verdict, why: impl Fn() -> String, packet: Option<&Packet<'_>>) -> Option<String> {
    let how = match verdict {
        Verdict::Accept => return None,
        Verdict::Drop => String::new(),
        Verdict::Strip(mask) => packet.map(|packet| blanked(packet, mask)).unwrap_or_default(),
        Verdict::Reject(plan) => reset(plan, packet),
    };
    Some(format!("{} ({}){how}", verdict.label(), why()))
}

fn blanked(packet: &Packet<'_>, mask: OptionMask) -> String {
    let options = packet.options().filter(|option| OptionMask::of(option).meets(mask));
    let names: Vec<_> = options.map(|option| option_name(&option)).collect();
    if names.is_empty() { String::new() } else { format!(", {} blanked", names.join(" and ")) }
}

fn reset(plan: ResetPlan, packet: Option<&Packet<'_>>) -> String {
    let ResetPlan { both_sides, refusal: Refusal { reason, .. } } = plan;
    match (packet.map(|packet| packet.segment), both_sides) {
        (Some(Segment::Rst), _) => ", nobody answers a RST".to_owned(),
        (_, false) => format!(", RST with MP_TCPRST {reason}"),
        (_, true) => format!(", RST to both hosts with MP_TCPRST {reason}"),
    }
}

fn standing(standing: Standing, numbers: Numbers) -> String {
    let connection = numbers.connection.map(|id| format!(", connection {}", id.0)).unwrap_or_default();
    let subflow = numbers.subflow.map(|number| format!(" subflow {number}")).unwrap_or_default();
    format!("{}{connection}{subflow}", standing.label())
}

/// A rule and its file are named as the operator likes.
fn on_one_line(text: &str) -> String {
    let printed = |char: char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char };
    match text.char_indices().nth(CHARS_MAX) {
        None => text.chars().map(printed).collect(),
        Some((cut, _)) => text.get(..cut).unwrap_or_default().chars().map(printed).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{RuleSet, Source, compile};
    use crate::script::Script;
    use crate::script::play::play;

    const OPEN: &str = "c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack mp_capable\n";

    fn compiled(text: &str) -> RuleSet {
        compile(&[Source { path: "rules/border.toml".to_owned(), text: text.to_owned() }]).unwrap().0
    }

    /// The comments on the packets of a conversation, under a rule.
    fn comments(rule: &str, script: &str) -> Vec<Option<String>> {
        let script = format!("rules\n{rule}\nend\n{script}");
        let played = play(Script::parse(&script).unwrap(), compiled);
        let told = |decision: &Decision, bytes: &[u8]| comment(decision, bytes, Numbers::of(decision));
        played.iter().map(|played| told(&played.decision, &played.line.bytes)).collect()
    }

    fn last(rule: &str, script: &str) -> String {
        comments(rule, script).pop().unwrap().unwrap()
    }

    #[test]
    fn what_goes_on_as_it_is_has_no_comment() {
        let log = "[[rule]]\nname = \"seen\"\noption = \"mp_capable\"\naction = \"accept\"\nlog = true";
        assert!(comments(log, OPEN).iter().all(Option::is_none));
    }

    #[test]
    fn a_refused_join_is_told_with_its_rule_and_its_reset() {
        let rule = "\n[[rule]]\nname = \"no-joins\"\noption = \"mp_join\"\naction = \"reject\"";
        let join = format!("{OPEN}c2>s syn mp_join");
        let told = "mpgate: reject (rule no-joins, rules/border.toml:3), RST with MP_TCPRST 0x03; join_known, connection 1";
        assert_eq!(last(rule, &join), told);
    }

    #[test]
    fn a_forged_join_is_told_by_its_reason() {
        let join = format!("{OPEN}c2>s syn mp_join\ns>c2 syn_ack mp_join\nc2>s ack mp_join hmac bad");
        let told = "mpgate: reject (forged_join), RST to both hosts with MP_TCPRST 0x01; join_forged_proof, connection 1";
        assert_eq!(last("", &join), told);
    }

    #[test]
    fn a_strip_names_what_is_blanked() {
        let rule = "[[rule]]\nname = \"plain\"\noption = \"mp_capable\"\naction = \"strip\"";
        let told = "mpgate: strip (rule plain, rules/border.toml:2), mp_capable blanked; new_connection";
        assert_eq!(last(rule, "c>s syn mss + mp_capable"), told);
        let normalized = last(
            "[normalize]\nallow = [\"mss\"]\nbreak_connections = true",
            "c>s syn timestamps + sack_permitted",
        );
        assert_eq!(normalized, "mpgate: strip (normalized), timestamps and sack_permitted blanked; plain");
    }

    #[test]
    fn what_was_only_observed_is_told_as_what_would_be() {
        let rule = "[[rule]]\nname = \"idea\"\noption = \"mp_capable\"\naction = \"strip\"\nobserve = true";
        let told = "mpgate: would strip (rule idea, rules/border.toml:2), mp_capable blanked; new_connection, connection 1 subflow 0";
        assert_eq!(last(rule, "c>s syn mp_capable"), told);
        let told = "mpgate: would reject (unknown_join), RST with MP_TCPRST 0x01; join_unknown";
        assert_eq!(last("", "observe\nc>s syn mp_join token 0x1"), told);
    }

    #[test]
    fn what_cannot_be_read_is_told_without_a_standing() {
        let cut = "bytes 4500001400000000400600000a0000010a000002";
        assert_eq!(last("", cut), "mpgate: drop (unreadable)");
    }

    #[test]
    fn a_comment_is_one_line_of_bounded_length_whatever_a_file_is_called() {
        let rule = "[[rule]]\nname = \"plain\"\noption = \"mp_capable\"\naction = \"strip\"";
        let path = format!("a\nb\u{7}{}", "é".repeat(100_000));
        let named = |text: &str| compile(&[Source { path: path.clone(), text: text.to_owned() }]).unwrap().0;
        let script = format!("rules\n{rule}\nend\nc>s syn mp_capable");
        let played = play(Script::parse(&script).unwrap(), named).remove(0);
        let told = comment(&played.decision, &played.line.bytes, Numbers::default()).unwrap();
        assert!(told.starts_with("mpgate: strip (rule plain, a\u{fffd}b\u{fffd}éé"), "{told}");
        assert!(told.chars().count() == CHARS_MAX + 1 && told.ends_with('…'));
    }
}

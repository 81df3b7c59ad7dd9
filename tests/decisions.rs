//! Decision scripts: each line of each case gets the decision that it names, and every reason is reached.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;

use mpgate::engine::{Reason, enforce};
use mpgate::mptcp::{Subtype, signals};
use mpgate::rules::{self, RuleSet, Source};
use mpgate::script::Script;
use mpgate::script::play::{Played, outcome, play};
use mpgate::wire::Packet;

fn compile(text: &str) -> RuleSet {
    let source = Source { path: "script".to_owned(), text: text.to_owned() };
    rules::compile(&[source]).unwrap_or_else(|errors| panic!("{errors:?}\n{text}")).0
}

fn played(text: &str) -> Vec<Played> {
    let script = Script::parse(text).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"));
    play(script, compile)
}

fn scripts() -> Vec<Played> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/decisions");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| played(&fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_line_gets_its_decision() {
    let wrong: Vec<_> = scripts()
        .into_iter()
        .filter_map(|played| {
            let Played { case, line, decision, .. } = played;
            let got = outcome(&decision);
            let wrong = line.wanted.is_some_and(|wanted| wanted != got);
            wrong.then(|| format!("{case}, line {}: {}\n    got {got}", line.number, line.text))
        })
        .collect();
    assert!(wrong.is_empty(), "{} lines:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_reason_is_reached() {
    let reached: BTreeSet<_> = scripts().iter().map(|played| played.decision.reason).collect();
    let missing: Vec<_> = Reason::ALL.into_iter().filter(|reason| !reached.contains(reason)).collect();
    assert!(missing.is_empty(), "no case reaches {missing:?}");
}

#[test]
fn what_holds_a_connection_together_stays_when_something_malformed_goes() {
    let script = "rules\n[policy]\nmalformed = \"strip\"\nend\n\
        c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack mp_capable\n\
        c>s data dss ack map + raw 1e0550ffff + mp_prio";
    let mut last = played(script).pop().unwrap();
    enforce(&last.decision, &mut last.line.bytes);
    let packet = Packet::parse(&last.line.bytes).unwrap();
    let left: Vec<_> = signals(&packet).subtypes.iter().collect();
    assert_eq!(left, [Subtype::Dss]);
}

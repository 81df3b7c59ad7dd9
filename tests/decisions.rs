//! Decision scripts: each line of each case gets the decision that it names, and every reason is reached.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;

use mpgate::engine::Reason;
use mpgate::rules::{self, RuleSet, Source};
use mpgate::testkit::script::{Played, play};

fn compile(text: &str) -> RuleSet {
    let source = Source { path: "script".to_owned(), text: text.to_owned() };
    rules::compile(&[source]).unwrap_or_else(|errors| panic!("{errors:?}\n{text}")).0
}

fn scripts() -> Vec<Played> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/decisions");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().flat_map(|path| play(&fs::read_to_string(path).unwrap(), compile)).collect()
}

#[test]
fn every_line_gets_its_decision() {
    let wrong: Vec<_> = scripts()
        .into_iter()
        .filter_map(|played| {
            let wanted = played.wanted.clone()?;
            (wanted != played.got).then(|| format!("{}\n    got {}", played.place, played.got))
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

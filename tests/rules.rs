//! Rule files from the outside: what they mean, and what is said of bad ones, word for word.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use mpgate::live::load::{LoadError, load, read};
use mpgate::mptcp::{ResetReason, Subtype, SubtypeSet};
use mpgate::rules::diagnostic::{Look, render};
use mpgate::rules::{
    Action, Diagnostic, Facts, Hit, InterfaceName, Policy, Refusal, RuleSet, Severity, Source, compile,
    reference,
};
use mpgate::time::Timestamp;
use mpgate::track::{JoinTo, Parent, Rates, RuleKey, Standing, Terms};
use mpgate::wire::kinds::{Oddities, SeenKind};
use mpgate::wire::{Endpoint, Flow, Segment};
use proptest::prelude::*;

fn source(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned() }
}

fn rules(text: &str) -> RuleSet {
    let sources = [source("rules.toml", text)];
    match compile(&sources) {
        Ok((rules, _)) => rules,
        Err(errors) => panic!("{text}\n{}", render(&errors, Look::Plain)),
    }
}

/// All that is said of some files, each of which must have something said of it.
fn said(sources: &[Source]) -> String {
    let diagnostics = compile(sources).map_or_else(|errors| errors, |(_, warnings)| warnings);
    assert!(!diagnostics.is_empty(), "nothing is said of {sources:?}");
    check_places(&diagnostics, sources);
    render(&diagnostics, Look::Plain)
}

/// The same for a list of files that have nothing to do with each other.
fn said_of_each(cases: &[&str]) -> String {
    let texts = cases.iter().map(|text| said(&[source("bad.toml", text)]));
    texts.collect::<Vec<_>>().join("\n================\n\n")
}

fn check_places(diagnostics: &[Diagnostic], sources: &[Source]) {
    for diagnostic in diagnostics {
        let place = &diagnostic.place;
        let text = &sources.iter().find(|source| source.path == place.path).unwrap().text;
        let line =
            text.split('\n').nth(place.line - 1).unwrap_or_else(|| panic!("no such line: {diagnostic:?}"));
        assert!((1..=line.chars().count() + 1).contains(&place.column), "no such column: {diagnostic:?}");
        assert!(text.get(place.span.clone()).is_some(), "no such span: {diagnostic:?}");
    }
}

fn subtypes(list: &[Subtype]) -> SubtypeSet {
    list.iter().fold(SubtypeSet::EMPTY, |set, &subtype| set.and(SubtypeSet::only(subtype)))
}

fn end(text: &str) -> Endpoint {
    text.parse::<std::net::SocketAddr>().unwrap().into()
}

/// A SYN with MP_CAPABLE of version 1.
fn syn() -> Facts {
    let flow = Flow { src: end("10.0.1.2:4000"), dst: end("192.0.2.10:443") };
    Facts {
        input: InterfaceName::new("eth0"),
        output: InterfaceName::new("eth1"),
        subtypes: SubtypeSet::only(Subtype::MpCapable),
        version: Some(1),
        standing: Standing::NewConnection,
        ..Facts::of(flow, Segment::Syn)
    }
}

fn segment(segment: Segment, list: &[Subtype], standing: Standing) -> Facts {
    Facts { segment, subtypes: subtypes(list), standing, ..syn() }
}

fn hit(rules: &RuleSet, facts: &Facts) -> Option<&'static str> {
    spoken(rules, facts).map(|hit| hit.action.label())
}

/// The rule that speaks, with full buckets.
fn spoken<'r>(rules: &'r RuleSet, facts: &Facts) -> Option<Hit<'r>> {
    rules.first_match(Timestamp::ZERO, facts, &Rates::default()).hit
}

/// The join of a second address to a connection from 10.0.1.2 to 192.0.2.10:443, which the rule "web" let pass.
fn join() -> Facts {
    let parent = Parent {
        first: syn().flow,
        terms: Terms { rule: key_of("web"), ..Terms::default() },
        near: InterfaceName::new("eth0"),
        far: InterfaceName::new("eth1"),
        subflows: 2,
        pending_joins: 1,
        announced: 0,
        goes_to: JoinTo::First,
    };
    Facts {
        flow: Flow { src: end("10.0.2.2:4001"), dst: end("192.0.2.10:443") },
        parent: Some(parent),
        join_to: Some(JoinTo::First),
        ..segment(Segment::Syn, &[Subtype::MpJoin], Standing::JoinKnown)
    }
}

/// By which connections remember a rule: what a hit of it says.
fn key_of(name: &str) -> Option<RuleKey> {
    let rules = rules(&format!("[[rule]]\nname = \"{name}\"\naction = \"accept\"\n"));
    spoken(&rules, &syn()).map(|hit| hit.key)
}

fn with_parent(change: impl FnOnce(&mut Parent)) -> Facts {
    let mut facts = join();
    facts.parent.as_mut().map(change);
    facts
}

fn announcing(addr: &str) -> Facts {
    let standing = Standing::AddressAnnounced;
    Facts {
        announced: [addr.parse().unwrap()].into_iter().collect(),
        ..segment(Segment::Ack, &[Subtype::AddAddr], standing)
    }
}

fn with_kind(kind: u8, experiment: Option<u16>) -> Facts {
    Facts { kinds: [SeenKind { kind, experiment }].into_iter().collect(), ..syn() }
}

/// Each condition with a segment that meets it, and one that does not. The negation is the other way round.
#[test]
#[expect(clippy::too_many_lines, reason = "a catalogue")]
fn each_condition_holds_or_not() {
    let v6 =
        || Facts { flow: Flow { src: end("[2001:db8::1]:4000"), dst: end("[2001:db8::2]:443") }, ..syn() };
    let back = || Facts { flow: syn().flow.reversed(), ..syn() };
    let no_interface = || Facts { input: None, output: None, ..syn() };
    let answer = || segment(Segment::SynAck, &[Subtype::MpCapable], Standing::KnownConnection);
    let plain = || Facts { subtypes: SubtypeSet::EMPTY, standing: Standing::Plain, version: None, ..syn() };
    let marked = |mark| Facts { mark, ..syn() };
    let many = |source_connections| Facts { source_connections, ..syn() };
    let odd = |odd| Facts { odd, ..syn() };
    let cases = [
        ("from = \"10.0.0.0/8\"", syn(), v6()),
        ("from = \"10.0.1.2\"", syn(), back()),
        ("from = \"10.0.1.1-10.0.1.9\"", syn(), back()),
        ("from = \"private\"", syn(), v6()),
        ("to = [\"2001:db8::/32\", \"198.51.100.1\"]", v6(), syn()),
        ("to = \"::/0\"", v6(), syn()),
        ("to = \"bogon\"", syn(), back_to_public()),
        ("to = \"@servers\"", syn(), v6()),
        ("to = [\"@outer\", \"203.0.113.0/24\"]", syn(), v6()),
        ("from_port = \"3999-4001\"", syn(), back()),
        ("port = [80, \"443\"]", syn(), back()),
        ("port = \"@web\"", syn(), back()),
        ("in_interface = \"eth0\"", syn(), no_interface()),
        ("in_interface = \"@lans\"", syn(), no_interface()),
        ("out_interface = [\"wan\", \"eth1\"]", syn(), no_interface()),
        ("mark = 16", marked(16), marked(17)),
        ("mark = [\"0x10/0xf0\", 3]", marked(0x1f), marked(0x20)),
        ("option = \"mp_capable\"", syn(), plain()),
        ("kind = \"fast_open\"", with_kind(34, None), with_kind(2, None)),
        ("kind = [\"exp_fast_open\", 69]", with_kind(254, Some(0xf989)), with_kind(254, Some(1))),
        ("kind = \"exp_0x0001\"", with_kind(253, Some(1)), with_kind(253, None)),
        ("kind = 254", with_kind(254, Some(9)), with_kind(253, Some(9))),
        ("version = [0, 1]", syn(), plain()),
        ("version = 1", syn(), Facts { version: Some(0), ..syn() }),
        ("segment = [\"syn\", \"data\"]", syn(), answer()),
        ("standing = \"new_connection\"", syn(), answer()),
        ("announces = \"private\"", announcing("10.9.9.9"), announcing("198.18.0.1")),
        ("announces = \"multicast\"", announcing("ff02::1"), announcing("fe80::1")),
        ("join_to = \"first\"", join(), Facts { join_to: Some(JoinTo::Other), ..join() }),
        (
            "join_to = [\"announced\", \"other\"]",
            Facts { join_to: Some(JoinTo::Announced), ..join() },
            join(),
        ),
        (
            "parent_from = \"10.0.1.0/24\"",
            join(),
            with_parent(|parent| parent.first = parent.first.reversed()),
        ),
        ("parent_to = \"@servers\"", join(), with_parent(|parent| parent.first = parent.first.reversed())),
        ("parent_port = 443", join(), with_parent(|parent| parent.first = parent.first.reversed())),
        ("parent_rule = \"web\"", join(), with_parent(|parent| parent.terms.rule = key_of("other"))),
        ("parent_rule = \"@rules\"", join(), with_parent(|parent| parent.terms.rule = None)),
        ("subflows = \"> 1\"", join(), with_parent(|parent| parent.subflows = 1)),
        ("subflows = [2, \"5-7\"]", join(), with_parent(|parent| parent.subflows = 8)),
        ("pending_joins = \">= 1\"", join(), with_parent(|parent| parent.pending_joins = 0)),
        ("connections_per_source = \"> 1000\"", many(1001), many(1000)),
    ];
    for (condition, inside, outside) in &cases {
        let with = |line: &str| {
            rules(&format!(
                "[sets]\nservers = [\"192.0.2.0/24\"]\nouter = \"@servers\"\nweb = [443, \"8000-8099\"]\nlans = \"eth0\"\n\
                 rules = \"web\"\n[[rule]]\nname = \"r\"\naction = \"accept\"\n{line}\n[[rule]]\nname = \"web\"\n\
                 from = \"127.0.0.1\"\naction = \"accept\"\n"
            ))
        };
        let does = with(condition);
        assert_eq!((hit(&does, inside), hit(&does, outside)), (Some("accept"), None), "{condition}");
        let does_not = with(&condition.replacen(" =", "_not =", 1));
        assert_eq!(
            (hit(&does_not, inside), hit(&does_not, outside)),
            (None, Some("accept")),
            "not {condition}"
        );
    }
    let sound = Oddities::default();
    for (key, oddity) in [
        ("malformed", Oddities { malformed: true, ..sound }),
        ("duplicate_option", Oddities { duplicate: true, ..sound }),
        ("wrong_segment", Oddities { wrong_segment: true, ..sound }),
    ] {
        let says = |flag| rules(&format!("[[rule]]\nname = \"r\"\naction = \"accept\"\n{key} = {flag}\n"));
        let (odd, even) = (odd(oddity), odd(sound));
        assert_eq!((hit(&says(true), &odd), hit(&says(true), &even)), (Some("accept"), None), "{key}");
        assert_eq!((hit(&says(false), &odd), hit(&says(false), &even)), (None, Some("accept")), "no {key}");
    }
}

fn back_to_public() -> Facts {
    Facts { flow: Flow { src: end("10.0.1.2:4000"), dst: end("1.1.1.1:443") }, ..syn() }
}

#[test]
fn a_join_has_the_same_interface_on_the_side_of_its_sender() {
    let same = rules("[[rule]]\nname = \"r\"\naction = \"accept\"\nsame_interface = true\n");
    let other = rules("[[rule]]\nname = \"r\"\naction = \"accept\"\nsame_interface = false\n");
    let through = |input, output| Facts {
        input: InterfaceName::new(input),
        output: InterfaceName::new(output),
        ..join()
    };
    let sent_here = |output| Facts {
        input: None,
        output: InterfaceName::new(output),
        ..with_parent(|parent| (parent.near, parent.far) = (None, InterfaceName::new("tun0")))
    };
    for (facts, is_same) in [
        (through("eth0", "eth1"), true),
        (through("eth0", "eth9"), true),
        (through("eth2", "eth1"), false),
        (sent_here("tun0"), true),
        (sent_here("wlan0"), false),
    ] {
        let spoke = (hit(&same, &facts).is_some(), hit(&other, &facts).is_some());
        assert_eq!(spoke, (is_same, !is_same), "{:?} {:?}", facts.input, facts.output);
    }
    assert_eq!((hit(&same, &syn()), hit(&other, &syn())), (None, None), "no connection, no answer");
}

#[test]
fn a_rate_counts_by_host_and_says_what_keeps_to_it_or_what_does_not() {
    let within = rules("[[rule]]\nname = \"r\"\naction = \"accept\"\nrate = \"3/s per source\"\n");
    let beyond = rules("[[rule]]\nname = \"r\"\naction = \"accept\"\nrate = \"> 3/s per source\"\n");
    let together = rules("[[rule]]\nname = \"r\"\naction = \"accept\"\nrate = \"3/s\"\n");
    let other = Facts { flow: Flow { src: end("10.0.1.3:4000"), ..syn().flow }, ..syn() };
    let spoke = |rules: &RuleSet| {
        let rates = Rates::default();
        let ask = |facts: &Facts| rules.first_match(Timestamp::ZERO, facts, &rates).hit.is_some();
        let first = (0..5).filter(|_| ask(&syn())).count();
        (first, (0..5).filter(|_| ask(&other)).count())
    };
    assert_eq!((spoke(&within), spoke(&beyond), spoke(&together)), ((3, 3), (2, 2), (3, 0)));
}

#[test]
fn a_rule_that_observes_leaves_the_word_to_the_next_one() {
    let rules = rules(
        "[[rule]]\nname = \"try\"\noption = \"mp_capable\"\naction = \"strip\"\nobserve = true\n\
         [[rule]]\nname = \"web\"\nport = 443\naction = \"accept\"\n",
    );
    let facts = syn();
    let matched = rules.first_match(Timestamp::ZERO, &facts, &Rates::default());
    let names = [matched.hit, matched.observed].map(|hit| hit.map(|hit| hit.label.name.as_str()));
    assert_eq!(names, [Some("web"), Some("try")]);
}

#[test]
fn keys_that_are_no_conditions_are_kept() {
    let rules = rules(
        "[[rule]]\nname = \"no-joins\"\ncomment = \"why\"\noption = \"mp_join\"\naction = \"reject\"\nreason = 2\nlog = true\n\
         [[rule]]\nname = \"second\"\naction = \"reject\"\nreason = \"middlebox\"\nbreak_connections = true\n",
    );
    let join = segment(Segment::Syn, &[Subtype::MpJoin], Standing::JoinKnown);
    let first = spoken(&rules, &join).unwrap();
    assert_eq!(first.label.name, "no-joins");
    assert_eq!(first.label.comment.as_deref(), Some("why"));
    assert_eq!(first.action, Action::Reject(Refusal { reason: ResetReason::NO_RESOURCES, transient: true }));
    assert!(first.log && !first.break_connections);
    let second = spoken(&rules, &syn()).unwrap();
    assert_eq!(second.action, Action::Reject(Refusal { reason: ResetReason::MIDDLEBOX, transient: false }));
    assert!(!second.log && second.break_connections);
    assert_eq!(rules.labels().map(|label| label.name.as_str()).collect::<Vec<_>>(), ["no-joins", "second"]);
}

#[test]
fn a_reject_without_reason_is_administrative() {
    let rules = rules("[[rule]]\nname = \"r\"\noption = \"mp_join\"\naction = \"reject\"\n");
    let join = segment(Segment::Syn, &[Subtype::MpJoin], Standing::JoinKnown);
    assert_eq!(spoken(&rules, &join).unwrap().action, Action::PROHIBIT);
}

#[test]
fn each_policy_is_set_and_the_others_stay() {
    let error = Action::DISBELIEVE;
    let default = Policy::default();
    assert_eq!(rules("").policy, default);
    let cases = [
        ("default = \"strip\"", Policy { default: Action::Strip, ..default }),
        ("unknown_join = \"accept\"", Policy { unknown_join: Action::Accept, ..default }),
        ("forged_join = \"drop\"", Policy { forged_join: Action::Drop, ..default }),
        ("malformed = \"strip\"", Policy { malformed: Action::Strip, ..default }),
        ("forged_announcement = \"accept\"", Policy { forged_announcement: Action::Accept, ..default }),
        ("unproven_announcement = \"accept\"", Policy { unproven_announcement: Action::Accept, ..default }),
        ("inherit_mark = 0xff", Policy { inherit_mark: 0xff, ..default }),
        ("key_changed = \"reject\"", Policy { key_changed: error, ..default }),
        ("id_conflict = \"drop\"", Policy { id_conflict: Action::Drop, ..default }),
    ];
    for (line, policy) in cases {
        assert_eq!(rules(&format!("[policy]\n{line}\n")).policy, policy, "{line}");
    }
}

#[test]
fn the_first_rule_that_matches_speaks_over_files_too() {
    let one = source("1.toml", "[[rule]]\nname = \"a\"\nfrom = \"10.0.1.0/24\"\naction = \"accept\"\n");
    let two = source("2.toml", "[[rule]]\nname = \"b\"\noption = \"mp_capable\"\naction = \"strip\"\n");
    let (forth, _) = compile(&[one.clone(), two.clone()]).unwrap();
    let (back, _) = compile(&[two, one]).unwrap();
    assert_eq!((hit(&forth, &syn()), hit(&back, &syn())), (Some("accept"), Some("strip")));
}

#[test]
fn a_hit_names_the_options_that_it_is_about() {
    let both = [Subtype::Dss, Subtype::AddAddr];
    let data = segment(Segment::Data, &both, Standing::AddressAnnounced);
    let named = rules("[[rule]]\nname = \"r\"\noption = [\"add_addr\", \"mp_prio\"]\naction = \"strip\"\n");
    assert_eq!(spoken(&named, &data).unwrap().subtypes, subtypes(&[Subtype::AddAddr]));
    let unnamed = rules("[[rule]]\nname = \"r\"\naction = \"accept\"\n");
    assert_eq!(spoken(&unnamed, &data).unwrap().subtypes, subtypes(&both));
}

#[test]
fn a_strip_without_option_speaks_on_syns_that_ask_for_mptcp() {
    let rules = rules("[[rule]]\nname = \"r\"\naction = \"strip\"\n");
    assert_eq!(hit(&rules, &syn()), Some("strip"));
    assert_eq!(hit(&rules, &segment(Segment::Syn, &[Subtype::MpJoin], Standing::JoinKnown)), Some("strip"));
    assert_eq!(hit(&rules, &segment(Segment::Syn, &[], Standing::Plain)), None);
    assert_eq!(
        hit(&rules, &segment(Segment::SynAck, &[Subtype::MpCapable], Standing::KnownConnection)),
        None
    );
    assert_eq!(hit(&rules, &segment(Segment::Data, &[Subtype::Dss], Standing::KnownConnection)), None);
}

#[test]
fn a_strip_of_mp_capable_is_silent_behind_the_syn() {
    let rules =
        rules("[[rule]]\nname = \"r\"\noption = [\"mp_capable\", \"add_addr\"]\naction = \"strip\"\n");
    assert_eq!(hit(&rules, &syn()), Some("strip"));
    let third = segment(Segment::Ack, &[Subtype::MpCapable], Standing::KnownConnection);
    assert_eq!(hit(&rules, &third), None);
    let both = segment(Segment::Ack, &[Subtype::MpCapable, Subtype::AddAddr], Standing::AddressAnnounced);
    assert_eq!(spoken(&rules, &both).unwrap().subtypes, subtypes(&[Subtype::AddAddr]));
}

#[test]
fn an_accept_lets_nothing_suspect_pass_unless_it_says_so() {
    let all = rules("[[rule]]\nname = \"r\"\naction = \"accept\"\n");
    let insists = rules("[[rule]]\nname = \"r\"\naction = \"accept\"\nbreak_connections = true\n");
    for (standing, label) in SUSPECT {
        let facts = Facts { standing, ..syn() };
        let says = rules(&format!("[[rule]]\nname = \"r\"\nstanding = \"{label}\"\naction = \"accept\"\n"));
        assert_eq!((hit(&all, &facts), hit(&says, &facts)), (None, Some("accept")), "{label}");
        assert_eq!(hit(&insists, &facts), Some("accept"), "{label}");
    }
}

const SUSPECT: [(Standing, &str); 5] = [
    (Standing::JoinUnknown, "join_unknown"),
    (Standing::JoinForgedAnswer, "join_forged_answer"),
    (Standing::JoinForgedProof, "join_forged_proof"),
    (Standing::AnnouncementForged, "announcement_forged"),
    (Standing::KeyChanged, "key_changed"),
];

const UNLAWFUL: &[&str] = &[
    "option = \"mp_capable\"\nsegment = [\"syn\", \"syn_ack\"]\naction = \"strip\"",
    "segment = \"data\"\naction = \"strip\"",
    "standing = \"announcement_forged\"\naction = \"strip\"",
    "option = \"dss\"\naction = \"strip\"",
    "option = [\"mp_capable\", \"mp_fail\", \"mp_fastclose\"]\naction = \"strip\"",
    "option = \"dss\"\naction = \"reject\"",
    "option = \"mp_fastclose\"\naction = \"drop\"",
    "from = \"192.0.2.1\"\nsegment = [\"ack\", \"data\"]\naction = \"drop\"",
    "standing = \"unknown_connection\"\nsegment = \"data\"\naction = \"reject\"",
    "option = \"mp_join\"\naction = \"strip\"",
    "option = \"mp_join\"\naction = \"drop\"",
    "standing = \"join_verified\"\naction = \"drop\"",
    "option = \"add_addr\"\naction = \"reject\"",
    "option = [\"remove_addr\", \"mp_prio\"]\naction = \"reject\"",
    "option = \"mp_capable\"\naction = \"drop\"",
    "option = \"mp_capable\"\nsegment = \"syn_ack\"\naction = \"drop\"",
    "option = \"mp_capable\"\nversion = 0\naction = \"reject\"",
    "from = \"192.0.2.1\"\naction = \"reject\"",
];

const LAWFUL: &[&str] = &[
    "option = \"mp_capable\"\nsegment = \"syn\"\naction = \"strip\"",
    "option = [\"add_addr\", \"remove_addr\", \"mp_prio\", \"mp_tcprst\", \"unassigned\"]\naction = \"strip\"",
    "option = \"add_addr\"\naction = \"drop\"",
    "option = \"mp_join\"\naction = \"reject\"",
    "option = \"mp_join\"\nstanding = [\"join_unknown\", \"join_forged_proof\"]\naction = \"drop\"",
    "standing = \"join_unknown\"\naction = \"drop\"",
    "standing = \"key_changed\"\naction = \"reject\"",
    "option = \"mp_capable\"\nstanding = \"key_changed\"\naction = \"reject\"",
    "standing = \"announcement_forged\"\naction = \"drop\"",
    "option = \"dss\"\naction = \"accept\"",
    "action = \"accept\"",
    "action = \"strip\"",
];

#[test]
fn laws_are_kept() {
    let cases: Vec<_> = UNLAWFUL.iter().map(|body| format!("[[rule]]\nname = \"r\"\n{body}\n")).collect();
    let cases: Vec<_> = cases.iter().map(String::as_str).chain(["[policy]\ndefault = \"drop\"\n"]).collect();
    insta::assert_snapshot!(said_of_each(&cases));
}

#[test]
fn whoever_insists_may_break_each_law_of_rules() {
    for body in UNLAWFUL {
        rules(&format!("[[rule]]\nname = \"r\"\nbreak_connections = true\n{body}\n"));
    }
}

#[test]
fn nothing_is_said_against_lawful_rules() {
    for body in LAWFUL {
        let (_, warnings) =
            compile(&[source("r.toml", &format!("[[rule]]\nname = \"r\"\n{body}\n"))]).unwrap();
        assert_eq!(warnings, [], "{body}");
    }
}

#[test]
fn each_key_says_what_it_takes() {
    let lines = [
        "from = 3",
        "from = \"10.0.0.0/33\"",
        "from = \"10.0.0.1/8\"",
        "to = []",
        "to = \"@servrs\"",
        "from_not = [\"::1\", true]",
        "to_not = \"host.example\"",
        "from_port = \"9-3\"",
        "port = 70000",
        "port = [443, \"http\", -1]",
        "in_interface = \"a-name-that-is-too-long\"",
        "out_interface = [\"eth 0\", 1]",
        "option = \"mp-capable\"",
        "option = [\"window_scale\", \"mp_jion\"]",
        "version = 16",
        "version = \"1\"",
        "segment = \"syn/ack\"",
        "standing = \"join_forged\"",
        "standing = 2024-02-29",
        "reason = 256",
        "reason = \"prohibitted\"",
        "log = \"yes\"",
        "break_connections = 1.5",
        "comment = [\"a\"]",
        "prot = 443",
        "protocol = \"tcp\"",
    ];
    let mut text = "[sets]\nservers = \"192.0.2.0/24\"\n".to_owned();
    for (number, line) in lines.iter().enumerate() {
        text +=
            &format!("\n[[rule]]\nname = \"{number}\"\n{line}\naction = \"reject\"\noption = \"mp_join\"\n")
                .replace(if line.starts_with("option") { "\noption = \"mp_join\"" } else { "\0" }, "");
    }
    insta::assert_snapshot!(said(&[source("keys.toml", &text)]));
}

#[test]
fn each_rule_has_a_name_and_an_action() {
    insta::assert_snapshot!(said_of_each(&[
        "[[rule]]\naction = \"accept\"\n",
        "[[rule]]\nname = \"r\"\n",
        "[[rule]]\nname = \" \"\naction = \"allow\"\n",
        "[[rule]]\nname = \"r\"\naction = \"strip\"\nreason = \"prohibited\"\n",
        "[[rule]]\nname = \"r\"\naction = \"accept\"\n[[rule]]\nname = \"r\"\naction = \"strip\"\n",
    ]));
}

#[test]
fn sections_are_told_from_each_other() {
    insta::assert_snapshot!(said_of_each(&[
        "[rule]\nname = \"r\"\n",
        "[[policy]]\n",
        "sets = 3\n",
        "[rules]\n",
        "[logging]\n",
        "rule = [1]\n",
        "[policy]\ndefualt = \"strip\"\nmalformed = \"reject\"\nid_conflict = 3\nunknown_join = \"strip\"\n",
        "# nothing\n",
    ]));
}

#[test]
fn sets_are_found_and_do_not_go_round() {
    insta::assert_snapshot!(said_of_each(&[
        "[sets]\na = \"@b\"\nb = [\"@c\"]\nc = [\"::1\", \"@a\"]\n",
        "[sets]\na = \"@a\"\n",
        "[sets]\nerp = \"192.0.2.1\"\nother = \"@epr\"\n",
        "[sets]\nerp = [\"192.0.2.300\", 4]\n\"@x\" = \"::1\"\n",
    ]));
}

#[test]
fn what_is_surely_not_meant_is_a_warning() {
    insta::assert_snapshot!(said_of_each(&[
        "[sets]\nlonely = \"::1\"\n",
        "[[rule]]\nname = \"r\"\nfrom = \"10.1.0.0/16\"\nfrom_not = [\"10.0.0.0/9\", \"10.128.0.0/9\"]\naction = \"accept\"\n",
        "[[rule]]\nname = \"wide\"\nport = \"1-1024\"\naction = \"accept\"\n\
         [[rule]]\nname = \"narrow\"\nport = 443\nfrom = \"::1\"\naction = \"accept\"\n",
        "[[rule]]\nname = \"r\"\nfrom = \"10.0.0.1/8\"\naction = \"accept\"\n",
    ]));
}

#[test]
fn a_rule_that_can_speak_is_not_called_unreachable() {
    for (earlier, later) in [
        ("port = 443", "port = \"443-444\""),
        ("port = 443", "from_port = 443"),
        ("from = \"10.0.0.0/8\"", "from_not = \"10.0.0.0/8\""),
        ("", "standing = \"join_unknown\""),
        ("from_not = \"10.0.0.0/8\"", "from_not = \"10.1.0.0/16\""),
        ("segment = \"syn\"", "segment = [\"syn\", \"ack\"]"),
    ] {
        let text = format!(
            "[[rule]]\nname = \"a\"\n{earlier}\naction = \"accept\"\n[[rule]]\nname = \"b\"\n{later}\naction = \"accept\"\n"
        );
        let (_, warnings) = compile(&[source("r.toml", &text)]).unwrap();
        assert_eq!(warnings, [], "{text}");
    }
}

#[test]
fn what_is_no_toml_is_said_once() {
    insta::assert_snapshot!(said_of_each(&[
        "[policy]\ndefault = \"strip\n\n[[rule]\nname = \"r\"\naction = drop\n",
        "[sets]\na = [\"192.0.2.1\", \"::1\"\n\n[[rule]]\nname = \"r\"\nto = \"@a\"\naction = \"accept\"\n\n[[rule]]\nname = \"r2\"\nx = 1\naction = \"accept\"\n",
        "[[rule]]\nname = \"a\"\nname = \"b\"\n",
        "default = \"accept",
    ]));
}

#[test]
fn all_errors_of_all_files_come_at_once() {
    insta::assert_snapshot!(said(&[
        source(
            "10-policy.toml",
            "[policy]\ndefault = \"accept\"\n[sets]\nerp = \"192.0.2.1\"\n[[rule]]\nname = \"r\"\nx = 1\n"
        ),
        source(
            "20-rules.toml",
            "[policy]\ndefault = \"strip\"\n[sets]\nerp = \"::1\"\n[[rule]]\nname = \"r\"\nto = \"@epr\"\naction = \"accept\"\n"
        ),
    ]));
}

#[test]
fn a_broken_file_does_not_hide_what_is_wrong_in_another() {
    insta::assert_snapshot!(said(&[
        source("broken.toml", "[sets]\nerp = [\"::1\"\n"),
        source(
            "sound.toml",
            "[[rule]]\nname = \"r\"\nto = \"@erp\"\naction = \"drop\"\n[[rule]]\nname = \"s\"\n"
        ),
    ]));
}

#[test]
fn a_file_that_is_all_errors_is_not_read_to_the_end() {
    let text = "x = 1\n[[rule]]\ny = 1\n".repeat(2) + &"[[rule]]\nz = 1\n".repeat(2000);
    let errors = compile(&[source("r.toml", &text)]).unwrap_err();
    assert_eq!(errors.len(), 501);
    assert!(errors[500].message.starts_with("and "), "{:?}", errors[500]);
}

#[test]
fn hostile_text_does_not_reach_the_terminal() {
    let text = "[[rule]]\n\"\\u001b[31mred\" = 1\nname = \"\\u0007\"\n# \u{1b}[31m\n";
    let said = said(&[source("r.toml", text)]);
    assert!(!said.contains(['\u{1b}', '\u{7}']), "{said}");
}

#[test]
fn diagnostics_keep_their_json() {
    let errors = compile(&[source("r.toml", "[[rule]]\nname = \"r\"\naction = \"drop\"\n")]).unwrap_err();
    insta::assert_snapshot!(serde_json::to_string_pretty(&errors).unwrap());
}

#[test]
fn the_reference_has_every_key() {
    insta::assert_snapshot!(reference());
}

fn shipped() -> Vec<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("rules");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect()
}

#[test]
fn shipped_files_are_clean() {
    let names: BTreeSet<_> = shipped().iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(
        names,
        ["border.toml", "default.toml", "proxy-only.toml", "strict.toml", "strip-all.toml"]
            .map(Into::into)
            .into()
    );
    for path in shipped() {
        let (_, warnings) = load(std::slice::from_ref(&path)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(warnings, [], "{}", path.display());
    }
}

#[test]
fn the_shipped_default_is_the_built_in_one() {
    let path = shipped().into_iter().find(|path| path.ends_with("default.toml")).unwrap();
    let (rules, _) = load(&[path]).unwrap();
    assert_eq!((rules.policy, rules.labels().count()), (Policy::default(), 0));
}

#[test]
fn the_shipped_border_lets_joins_in_because_of_their_connection() {
    let path = shipped().into_iter().find(|path| path.ends_with("border.toml")).unwrap();
    let (rules, _) = load(&[path]).unwrap();
    let wan = InterfaceName::new("wan");
    let outwards = Facts { output: wan, ..syn() };
    let inwards =
        |to: &str| Facts { input: wan, flow: Flow { src: end("198.51.100.7:4000"), dst: end(to) }, ..syn() };
    let join_of = |rule: &str, join_to| {
        let parent = with_parent(|parent| parent.terms.rule = key_of(rule));
        Facts { input: wan, join_to: Some(join_to), ..parent }
    };
    let announced = |addr| Facts { output: wan, ..announcing(addr) };
    for (facts, spoke) in [
        (outwards.clone(), Some("outbound")),
        (Facts { version: Some(0), ..outwards }, Some("no-version-0")),
        (inwards("192.0.2.10:443"), Some("inbound")),
        (inwards("192.0.2.10:22"), None),
        (inwards("192.0.2.11:443"), None),
        (join_of("inbound", JoinTo::First), Some("joins-of-known-connections")),
        (join_of("outbound", JoinTo::Announced), Some("joins-of-known-connections")),
        (join_of("inbound", JoinTo::Other), Some("no-joins-elsewhere")),
        (join_of("another", JoinTo::First), None),
        (announced("10.9.9.9"), Some("inside-stays-inside")),
        (announced("192.0.2.10"), None),
    ] {
        let said = spoken(&rules, &facts).map(|hit| hit.label.name.as_str());
        assert_eq!(said, spoke, "{facts:?}");
    }
    assert_eq!(rules.policy.default, Action::Strip);
}

#[test]
fn a_directory_is_read_in_name_order_and_hidden_files_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let rule =
        |name: &str| format!("[[rule]]\nname = \"{name}\"\noption = \"mp_join\"\naction = \"accept\"\n");
    for (file, name) in
        [("20.toml", "b"), ("10.toml", "a"), ("9.toml", "c"), (".0.toml", "hidden"), ("0.bak", "old")]
    {
        fs::write(directory.path().join(file), rule(name)).unwrap();
    }
    fs::create_dir(directory.path().join("sub.toml")).unwrap();
    let (rules, _) = load(&[directory.path().to_owned()]).unwrap();
    assert_eq!(rules.labels().map(|label| label.name.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
}

#[test]
fn what_cannot_be_read_says_where_and_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let refusal = |path: PathBuf| {
        let error = load(&[path]).unwrap_err().to_string();
        error.replace(&directory.path().display().to_string(), "DIR")
    };
    fs::create_dir(path("empty")).unwrap();
    fs::write(path("latin1.toml"), b"# one\n# two \xfc\n").unwrap();
    fs::write(path("empty.toml"), "").unwrap();
    fs::File::create(path("huge.toml")).unwrap().set_len((8 << 20) + 1).unwrap();
    std::os::unix::fs::symlink(path("nowhere"), path("dangling.toml")).unwrap();
    let refusals = ["missing.toml", "empty", "latin1.toml", "huge.toml", "dangling.toml"]
        .map(|name| refusal(path(name)));
    insta::assert_snapshot!(refusals.join("\n") + "\n" + &refusal("/dev/null".into()));
    assert!(load(&[path("empty.toml")]).is_ok(), "an empty file is the default policy");
    assert!(load(&[]).is_ok());
}

#[test]
fn a_refused_load_says_all_that_check_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bad.toml");
    fs::write(&path, "[policy]\ndefault = 1\nx = 2\n").unwrap();
    let error = load(std::slice::from_ref(&path)).unwrap_err();
    let sources = read(&[path]).unwrap();
    assert!(matches!(error, LoadError::Refused { errors: 2, .. }));
    assert_eq!(error.to_string(), format!("2 errors in the rules\n{}", said(&sources)));
}

/// A file that uses the whole language, to be mutated beside the shipped ones.
const EVERYTHING: &str = include_str!("rules/everything.toml");

/// Pieces that rule files are made of, and some that they are not.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "[[rule]]\n",
        "[policy]\n",
        "[sets]\n",
        "name = ",
        "option = ",
        "action = ",
        "\"drop\"",
        "\"strip\"",
        "\"@a\"",
        "a = ",
        "\"10.0.0.0/8\"",
        "\"mp_capable\"",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'''",
        "\\u",
        "\n",
        "\r\n",
        "=",
        ",",
        ".",
        "#",
        "true",
        "0x",
        "-1",
        "99999999999999999999",
        "1979-05-27",
        "inf",
        "é",
        "\u{feff}",
        "\0",
        "\t",
        " ",
        "\"9-3\"",
        "port = ",
    ];
    prop_oneof![4 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned), 1 => ".{0,6}"]
}

fn never_panics(text: &str) {
    let sources = [source("r.toml", text)];
    let diagnostics = compile(&sources).map_or_else(|errors| errors, |(_, warnings)| warnings);
    check_places(&diagnostics, &sources);
    let _ = render(&diagnostics, Look::Coloured);
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_with_a_place(pieces in proptest::collection::vec(piece(), 0..60)) {
        never_panics(&pieces.concat());
    }

    #[test]
    fn mutated_files_are_read_or_refused_with_a_place(
        which in 0_usize..6,
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..12, piece()), 1..6),
    ) {
        let mut text = shipped().get(which).map_or(EVERYTHING.to_owned(), |path| fs::read_to_string(path).unwrap());
        for (at, len, piece) in cuts {
            let start = text.floor_char_boundary(at.index(text.len().max(1)));
            let end = text.ceil_char_boundary((start + len).min(text.len()));
            text.replace_range(start..end, &piece);
        }
        never_panics(&text);
    }
}

#[test]
fn a_file_that_uses_everything_is_clean() {
    let (rules, warnings) = compile(&[source("everything.toml", EVERYTHING)]).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert!(rules.labels().count() > 3);
    assert!(warnings.iter().all(|warning| warning.severity == Severity::Warning));
}

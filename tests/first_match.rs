//! The compiled rules against a naive reading of the same rules, segment by segment.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests, which may panic, and ask after one key among many"
)]

use std::cell::Cell;
use std::fmt::Debug;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::LazyLock;

use ipnet::IpNet;
use mpgate::mptcp::{Subtype, SubtypeSet};
use mpgate::rules::{Facts, Hit, InterfaceName, Source, compile};
use mpgate::time::Timestamp;
use mpgate::track::{JoinTo, Parent, Rates, RuleKey, Standing, Terms};
use mpgate::wire::kinds::{Oddities, SeenKind};
use mpgate::wire::{Endpoint, Flow, Segment};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::Union;
use proptest::test_runner::{Config, TestRunner};

const NETS: [&str; 7] =
    ["10.0.0.0/30", "10.0.0.2/32", "10.0.0.0/31", "::/126", "::1/128", "0.0.0.0/0", "10.0.0.9/32"];
const ADDRS: [&str; 6] = ["10.0.0.1", "10.0.0.2", "10.0.0.9", "::1", "::2", "::9"];
const ACTIONS: [&str; 5] = ["accept", "strip", "reject", "drop", "single_path"];
const INTERFACES: [&str; 3] = ["eth0", "eth1", "wan"];
/// Marks as the file writes them, with their value and mask.
const MARKS: [(&str, u32, u32); 4] =
    [("0x1/0x1", 1, 1), ("2", 2, u32::MAX), ("0x10/0xf0", 0x10, 0xf0), ("0/0x3", 0, 3)];
/// Comparisons as the file writes them, with the numbers that meet them.
const COUNTS: [(&str, u32, u32); 5] =
    [("> 2", 3, u32::MAX), ("<= 1", 0, 1), ("2-4", 2, 4), ("3", 3, 3), (">= 0x5", 5, u32::MAX)];
/// TCP options as the file writes them, and the segments in which a strip may take one out without insisting.
const KINDS: [(&str, &[Segment]); 6] = [
    ("\"mss\"", &[Segment::Syn, Segment::SynAck]),
    ("\"timestamps\"", &[Segment::Syn]),
    ("\"user_timeout\"", &Segment::ALL),
    ("\"md5\"", &[]),
    ("\"exp_fast_open\"", &[Segment::Syn, Segment::SynAck]),
    ("254", &[Segment::Syn]),
];
const SEEN: [SeenKind; 6] = [
    SeenKind { kind: 2, experiment: None },
    SeenKind { kind: 8, experiment: None },
    SeenKind { kind: 28, experiment: None },
    SeenKind { kind: 19, experiment: None },
    SeenKind { kind: 254, experiment: Some(0xf989) },
    SeenKind { kind: 254, experiment: Some(7) },
];
/// Rules that `parent_rule` can name; each set has them, by the place of a rule.
const PARENTS: [&str; 3] = ["0", "1", "2"];

/// What a key asks; the indices are places in the tables above.
#[derive(Clone, Debug)]
enum Ask {
    Addresses(&'static str, Vec<&'static str>),
    Ports(&'static str, Vec<(u16, u16)>),
    Interfaces(&'static str, Vec<&'static str>),
    Mark(Vec<usize>),
    Options(Vec<Subtype>),
    Kinds(Vec<usize>),
    Versions(Vec<u8>),
    Segments(Vec<Segment>),
    Standings(Vec<Standing>),
    JoinTo(Vec<JoinTo>),
    ParentRule(Vec<usize>),
    Counts(&'static str, Vec<usize>),
    SameInterface(bool),
    Odd(&'static str, bool),
}

/// A condition as somebody thinks of it.
#[derive(Clone, Debug)]
struct Asked {
    ask: Ask,
    negated: bool,
}

/// A rule as somebody thinks of it: no two of its conditions have one key.
#[derive(Clone, Debug)]
struct Wish {
    asked: Vec<Asked>,
    action: &'static str,
    insists: bool,
    observes: bool,
}

fn some<T: Clone + Debug + 'static>(of: &[T]) -> impl Strategy<Value = Vec<T>> + use<T> {
    subsequence(of.to_vec(), 1..=of.len().min(4))
}

fn places(len: usize) -> impl Strategy<Value = Vec<usize>> {
    subsequence((0..len).collect::<Vec<_>>(), 1..=len.min(3))
}

fn ask() -> impl Strategy<Value = Ask> {
    let addresses = ["from", "to", "announces", "parent_from", "parent_to"];
    let ports = ["from_port", "port", "parent_port"];
    let range = (0_u16..6, 0_u16..3).prop_map(|(first, len)| (first, first + len));
    let kinds: Vec<BoxedStrategy<Ask>> = vec![
        (select(addresses.to_vec()), some(&NETS)).prop_map(|(key, nets)| Ask::Addresses(key, nets)).boxed(),
        (select(addresses.to_vec()), some(&NETS)).prop_map(|(key, nets)| Ask::Addresses(key, nets)).boxed(),
        (select(ports.to_vec()), proptest::collection::vec(range, 1..3))
            .prop_map(|(key, ranges)| Ask::Ports(key, ranges))
            .boxed(),
        (select(vec!["in_interface", "out_interface"]), some(&INTERFACES))
            .prop_map(|(key, names)| Ask::Interfaces(key, names))
            .boxed(),
        places(MARKS.len()).prop_map(Ask::Mark).boxed(),
        some(&Subtype::ALL).prop_map(Ask::Options).boxed(),
        some(&Subtype::ALL).prop_map(Ask::Options).boxed(),
        places(KINDS.len()).prop_map(Ask::Kinds).boxed(),
        some(&[0, 1, 2]).prop_map(Ask::Versions).boxed(),
        some(&Segment::ALL).prop_map(Ask::Segments).boxed(),
        some(&Standing::EACH).prop_map(Ask::Standings).boxed(),
        some(&JoinTo::ALL).prop_map(Ask::JoinTo).boxed(),
        places(PARENTS.len()).prop_map(Ask::ParentRule).boxed(),
        (select(vec!["subflows", "pending_joins", "connections_per_source"]), places(COUNTS.len()))
            .prop_map(|(key, counts)| Ask::Counts(key, counts))
            .boxed(),
        any::<bool>().prop_map(Ask::SameInterface).boxed(),
        (select(vec!["malformed", "duplicate_option", "wrong_segment"]), any::<bool>())
            .prop_map(|(key, flag)| Ask::Odd(key, flag))
            .boxed(),
    ];
    Union::new(kinds)
}

/// A rule of so many conditions, less those whose key stands twice.
fn wish(conditions: Range<usize>) -> impl Strategy<Value = Wish> {
    let asked = (ask(), proptest::bool::weighted(0.4)).prop_map(|(ask, negated)| {
        let can = !matches!(ask, Ask::SameInterface(_) | Ask::Odd(..));
        Asked { ask, negated: negated && can }
    });
    let asked = proptest::collection::vec(asked, conditions).prop_map(|mut asked| {
        let mut keys = Vec::new();
        asked.retain(|asked| {
            let new = !keys.contains(&asked.key());
            keys.push(asked.key());
            new
        });
        asked
    });
    let wish = (asked, select(&ACTIONS[..]), any::<bool>(), proptest::bool::weighted(0.15))
        .prop_map(|(asked, action, insists, observes)| Wish { asked, action, insists, observes });
    // Whoever may not do what he wants insists.
    wish.prop_map(|wish| if wish.lawful() { wish } else { Wish { insists: true, ..wish } })
}

fn flow() -> impl Strategy<Value = Flow> {
    let end = || {
        (select(ADDRS.to_vec()), 0_u16..8)
            .prop_map(|(addr, port)| Endpoint { addr: addr.parse().unwrap(), port })
    };
    (end(), end()).prop_map(|(src, dst)| Flow { src, dst })
}

fn interface() -> impl Strategy<Value = Option<InterfaceName>> {
    proptest::option::of(select(INTERFACES.to_vec())).prop_map(|name| name.and_then(InterfaceName::new))
}

fn parent(keys: [RuleKey; 3]) -> impl Strategy<Value = Parent> {
    let rule = proptest::option::of(select(vec![keys[0], keys[1], keys[2], RuleKey(7)]));
    (flow(), rule, interface(), interface(), 0_u16..8, 0_u16..6).prop_map(
        |(first, rule, near, far, subflows, pending_joins)| Parent {
            first,
            terms: Terms { rule, ..Terms::default() },
            near,
            far,
            subflows,
            pending_joins,
            announced: 0,
            goes_to: JoinTo::First,
        },
    )
}

fn facts(keys: [RuleKey; 3]) -> impl Strategy<Value = Facts> {
    let subtypes = prop_oneof![
        Just(Vec::new()),
        subsequence(Subtype::ALL.to_vec(), 1..3),
        Just(vec![Subtype::MpCapable]),
        Just(vec![Subtype::MpJoin])
    ];
    let segment = prop_oneof![Just(Segment::Syn), select(Segment::ALL.to_vec())];
    let parent = parent(keys);
    let announced = proptest::collection::vec(select(ADDRS.to_vec()), 0..3);
    let kinds = subsequence(SEEN.to_vec(), 0..3);
    let odd = (any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(|(malformed, duplicate, wrong_segment)| Oddities { malformed, duplicate, wrong_segment });
    let wire = (
        flow(),
        interface(),
        interface(),
        segment,
        subtypes,
        kinds,
        announced,
        odd,
        proptest::bool::weighted(0.1),
    );
    let known = (
        proptest::option::of(0_u8..3),
        select(Standing::EACH.to_vec()),
        proptest::option::of(select(JoinTo::ALL.to_vec())),
        proptest::option::of(parent),
        0_u32..8,
        select(vec![0, 1, 2, 3, 0x10, 0x13]),
    );
    (wire, known).prop_map(
        |(
            (flow, input, output, segment, subtypes, kinds, announced, odd, unsound),
            (version, standing, join_to, parent, source_connections, mark),
        )| Facts {
            input,
            output,
            mark,
            subtypes: subtypes.into_iter().fold(SubtypeSet::EMPTY, |set, one| set.and(SubtypeSet::only(one))),
            version,
            standing,
            announced: announced.into_iter().map(|addr| addr.parse().unwrap()).collect(),
            join_to,
            parent,
            source_connections,
            kinds: kinds.into_iter().collect(),
            odd,
            unsound,
            ..Facts::of(flow, segment)
        },
    )
}

fn inside(nets: &[&str], addr: IpAddr) -> bool {
    static PARSED: LazyLock<[IpNet; NETS.len()]> = LazyLock::new(|| NETS.map(|net| net.parse().unwrap()));
    NETS.iter().zip(PARSED.iter()).any(|(net, parsed)| nets.contains(net) && parsed.contains(&addr))
}

fn is_seen(kind: usize, seen: SeenKind) -> bool {
    match KINDS[kind].0 {
        "254" => seen.kind == 254,
        _ => SEEN[kind] == seen,
    }
}

impl Asked {
    fn key(&self) -> String {
        let key = match &self.ask {
            Ask::Addresses(key, _)
            | Ask::Ports(key, _)
            | Ask::Interfaces(key, _)
            | Ask::Counts(key, _)
            | Ask::Odd(key, _) => key,
            Ask::Mark(_) => "mark",
            Ask::Options(_) => "option",
            Ask::Kinds(_) => "kind",
            Ask::Versions(_) => "version",
            Ask::Segments(_) => "segment",
            Ask::Standings(_) => "standing",
            Ask::JoinTo(_) => "join_to",
            Ask::ParentRule(_) => "parent_rule",
            Ask::SameInterface(_) => "same_interface",
        };
        format!("{key}{}", if self.negated { "_not" } else { "" })
    }

    fn written(&self) -> String {
        let labels = |labels: Vec<&str>| format!("{labels:?}");
        let value = match &self.ask {
            Ask::Addresses(_, words) | Ask::Interfaces(_, words) => labels(words.clone()),
            Ask::Ports(_, ranges) => {
                format!(
                    "{:?}",
                    ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect::<Vec<_>>()
                )
            }
            Ask::Mark(places) => labels(places.iter().map(|&place| MARKS[place].0).collect()),
            Ask::Counts(_, places) => labels(places.iter().map(|&place| COUNTS[place].0).collect()),
            Ask::Kinds(places) => {
                format!("[{}]", places.iter().map(|&place| KINDS[place].0).collect::<Vec<_>>().join(", "))
            }
            Ask::ParentRule(places) => labels(places.iter().map(|&place| PARENTS[place]).collect()),
            Ask::Options(options) => labels(options.iter().map(|option| option.label()).collect()),
            Ask::Versions(versions) => format!("{versions:?}"),
            Ask::Segments(segments) => labels(segments.iter().map(|segment| segment.label()).collect()),
            Ask::Standings(standings) => labels(standings.iter().map(|standing| standing.label()).collect()),
            Ask::JoinTo(places) => labels(places.iter().map(|place| place.label()).collect()),
            Ask::SameInterface(flag) | Ask::Odd(_, flag) => flag.to_string(),
        };
        format!("{} = {value}\n", self.key())
    }

    /// Whether the segment is so. What `option` and `kind` of a strip leave alone is the rule's matter.
    fn holds(&self, facts: &Facts, keys: [RuleKey; 3]) -> bool {
        self.holds_plainly(facts, keys) != self.negated
    }

    fn holds_plainly(&self, facts: &Facts, keys: [RuleKey; 3]) -> bool {
        let first = facts.parent.map(|parent| parent.first);
        match &self.ask {
            Ask::Addresses("announces", nets) => facts.announced.iter().any(|&addr| inside(nets, addr)),
            Ask::Addresses(key, nets) => {
                let addr = match *key {
                    "from" => Some(facts.flow.src.addr),
                    "to" => Some(facts.flow.dst.addr),
                    "parent_from" => first.map(|flow| flow.src.addr),
                    "parent_to" => first.map(|flow| flow.dst.addr),
                    other => panic!("{other}"),
                };
                addr.is_some_and(|addr| inside(nets, addr))
            }
            Ask::Ports(key, ranges) => {
                let port = match *key {
                    "from_port" => Some(facts.flow.src.port),
                    "port" => Some(facts.flow.dst.port),
                    "parent_port" => first.map(|flow| flow.dst.port),
                    other => panic!("{other}"),
                };
                port.is_some_and(|port| ranges.iter().any(|&(first, last)| (first..=last).contains(&port)))
            }
            Ask::Interfaces(key, names) => {
                let passed = if *key == "in_interface" { facts.input } else { facts.output };
                passed.is_some_and(|passed| names.contains(&passed.as_str()))
            }
            Ask::Mark(places) => places.iter().any(|&place| {
                let (_, value, mask) = MARKS[place];
                facts.mark & mask == value
            }),
            Ask::Counts(key, places) => {
                let count = match *key {
                    "subflows" => facts.parent.map(|parent| u32::from(parent.subflows)),
                    "pending_joins" => facts.parent.map(|parent| u32::from(parent.pending_joins)),
                    _ => Some(facts.source_connections),
                };
                let among =
                    |count| places.iter().any(|&place| (COUNTS[place].1..=COUNTS[place].2).contains(&count));
                count.is_some_and(among)
            }
            Ask::Options(options) => facts.subtypes.iter().any(|option| options.contains(&option)),
            Ask::Kinds(places) => {
                facts.kinds.iter().any(|&seen| places.iter().any(|&place| is_seen(place, seen)))
            }
            Ask::Versions(versions) => facts.version.is_some_and(|version| versions.contains(&version)),
            Ask::Segments(segments) => segments.contains(&facts.segment),
            Ask::Standings(standings) => standings.contains(&facts.standing),
            Ask::JoinTo(places) => facts.join_to.is_some_and(|place| places.contains(&place)),
            Ask::ParentRule(places) => {
                let spoke = facts.parent.and_then(|parent| parent.terms.rule);
                spoke.is_some_and(|spoke| places.iter().any(|&place| keys[place] == spoke))
            }
            Ask::SameInterface(wanted) => facts.parent.is_some_and(|parent| {
                let same = match (facts.input, parent.near) {
                    (None, None) => facts.output == parent.far,
                    (now, then) => now == then,
                };
                same == *wanted
            }),
            Ask::Odd(key, wanted) => {
                let odd = match *key {
                    "malformed" => facts.odd.malformed,
                    "duplicate_option" => facts.odd.duplicate,
                    _ => facts.odd.wrong_segment,
                };
                odd == *wanted
            }
        }
    }
}

impl Wish {
    fn written(&self, name: usize) -> String {
        let asked: String = self.asked.iter().map(Asked::written).collect();
        let flags = [("break_connections", self.insists), ("observe", self.observes)];
        let flags: String = flags.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
        format!("[[rule]]\nname = \"{name}\"\naction = \"{}\"\n{flags}{asked}", self.action)
    }

    fn lawful(&self) -> bool {
        let parents = PARENTS.map(|name| format!("[[rule]]\nname = \"{name}\"\naction = \"accept\"\n"));
        let names_parents = self.asks(|asked| matches!(asked.ask, Ask::ParentRule(_)));
        let parents = if names_parents { parents.concat() } else { String::new() };
        compile(&[Source { path: String::new(), text: parents + &self.written(9) }]).is_ok()
    }

    fn asks(&self, is: impl Fn(&Asked) -> bool) -> bool {
        self.asked.iter().any(is)
    }

    /// The MPTCP options that the rule is about: those that it names, else those that its conditions are about.
    fn options(&self) -> Vec<Subtype> {
        let named = self.asked.iter().find_map(|asked| match &asked.ask {
            Ask::Options(options) if !asked.negated => Some(options.clone()),
            _ => None,
        });
        let implied = self.asked.iter().filter(|asked| !asked.negated).filter_map(|asked| match asked.ask {
            Ask::Addresses("announces", _) => Some(Subtype::AddAddr),
            Ask::JoinTo(_) => Some(Subtype::MpJoin),
            _ => None,
        });
        named.unwrap_or_else(|| implied.collect())
    }

    /// The options that it is about in that segment, or `None` when it is silent.
    fn speaks(&self, facts: &Facts, keys: [RuleKey; 3]) -> Option<Vec<Subtype>> {
        let syn = facts.segment == Segment::Syn;
        let carried: Vec<_> = facts.subtypes.iter().collect();
        let (options, strips) = (self.options(), self.action == "strip" && !self.insists);
        let names_option = self.asks(|asked| matches!(asked.ask, Ask::Options(_)) && !asked.negated);
        let names_kind = self.asks(|asked| matches!(asked.ask, Ask::Kinds(_)) && !asked.negated);
        // A connection is decided at its SYN: behind it, MP_CAPABLE is not stripped, and no path is made single.
        let decided = |option: &Subtype| {
            !syn && (self.action == "single_path" || (strips && *option == Subtype::MpCapable))
        };
        let about: Vec<_> =
            carried.iter().copied().filter(|option| options.contains(option) && !decided(option)).collect();
        let asks_for = |wanted: &[Subtype]| syn && carried.iter().any(|option| wanted.contains(option));
        let suspect = [
            Standing::JoinUnknown,
            Standing::JoinForgedAnswer,
            Standing::JoinForgedProof,
            Standing::AnnouncementForged,
            Standing::AnnouncementUnproven,
            Standing::KeyChanged,
        ];
        let holds = |asked: &Asked| match &asked.ask {
            Ask::Options(_) if !asked.negated => !about.is_empty(),
            Ask::Kinds(places) if !asked.negated && strips => facts.kinds.iter().any(|&seen| {
                places.iter().any(|&place| is_seen(place, seen) && KINDS[place].1.contains(&facts.segment))
            }),
            _ => asked.holds(facts, keys),
        };
        let lawful = match self.action {
            "single_path" if options.is_empty() => asks_for(&[Subtype::MpCapable]),
            "strip" if strips && options.is_empty() && !names_kind => {
                asks_for(&[Subtype::MpCapable, Subtype::MpJoin])
            }
            "accept"
                if !self.insists
                    && !self.asks(|asked| matches!(asked.ask, Ask::Standings(_)) && !asked.negated) =>
            {
                !suspect.contains(&facts.standing)
            }
            _ => true,
        };
        let sound = !facts.unsound || self.asks(|asked| matches!(asked.ask, Ask::Odd(..)));
        let speaks = lawful && sound && self.asked.iter().all(holds);
        speaks.then(|| match (names_option || !options.is_empty(), names_kind) {
            (true, _) => about,
            (false, true) => Vec::new(),
            (false, false) => carried,
        })
    }
}

type Spoken = Option<(String, &'static str, Vec<Subtype>)>;

/// What the first rule that speaks says, and what the first before it says that only observes.
fn naive(wishes: &[Wish], facts: &Facts, keys: [RuleKey; 3]) -> (Spoken, Spoken) {
    let mut observed = None;
    for (name, wish) in wishes.iter().enumerate() {
        let Some(about) = wish.speaks(facts, keys) else { continue };
        let spoken = Some((name.to_string(), wish.action, about));
        if !wish.observes {
            return (spoken, observed);
        }
        observed = observed.or(spoken);
    }
    (None, observed)
}

fn told(hit: Option<Hit<'_>>) -> Spoken {
    hit.map(|hit| (hit.label.name.clone(), hit.action.label(), hit.subtypes.iter().collect()))
}

/// By which connections remember the rules that `parent_rule` can name.
fn keys() -> [RuleKey; 3] {
    PARENTS.map(|name| {
        let text = format!("[[rule]]\nname = \"{name}\"\naction = \"accept\"\nbreak_connections = true\n");
        let (rules, _) = compile(&[Source { path: String::new(), text }]).unwrap();
        let end = Endpoint { addr: ADDRS[0].parse().unwrap(), port: 0 };
        let facts = Facts::of(Flow { src: end, dst: end }, Segment::Syn);
        rules.first_match(Timestamp::ZERO, &facts, &Rates::default()).hit.unwrap().key
    })
}

/// How many pairs of a set and a segment found a rule that speaks, one behind the first 64, and one that observes.
#[derive(Default)]
struct Found {
    spoken: Cell<usize>,
    deep: Cell<usize>,
    observed: Cell<usize>,
}

impl Found {
    fn count(&self, (hit, observed): &(Spoken, Spoken)) {
        let deep = hit.as_ref().is_some_and(|(name, _, _)| name.parse::<usize>().unwrap() >= 64);
        for (count, more) in
            [(&self.spoken, hit.is_some()), (&self.deep, deep), (&self.observed, observed.is_some())]
        {
            count.set(count.get() + usize::from(more));
        }
    }
}

/// Holds so many sets of these rules against so many segments each.
fn hold(sets: u32, rules: impl Strategy<Value = Vec<Wish>>, segments: usize) -> Found {
    let (keys, found) = (keys(), Found::default());
    let cases = (rules, proptest::collection::vec(facts(keys), segments));
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(sets) });
    let outcome = runner.run(&cases, |(wishes, segments)| {
        let text: String = wishes.iter().enumerate().map(|(name, wish)| wish.written(name)).collect();
        let (rules, _) = compile(&[Source { path: String::new(), text: text.clone() }]).unwrap();
        for facts in &segments {
            let matched = rules.first_match(Timestamp::ZERO, facts, &Rates::default());
            let both = (told(matched.hit), told(matched.observed));
            found.count(&both);
            prop_assert_eq!(both, naive(&wishes, facts, keys), "{:?}\n{}", facts, &text);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    found
}

#[test]
fn first_match_is_the_naive_walk() {
    let Found { spoken, observed, .. } = hold(1000, proptest::collection::vec(wish(1..4), 3..12), 100);
    let (spoken, observed) = (spoken.get(), observed.get());
    println!("100000 pairs: {spoken} with a rule that speaks, {observed} with one that observes");
    assert!((20_000..95_000).contains(&spoken) && observed > 5_000, "{spoken} {observed}");
}

/// The index has a word for 64 rules each: rules that ask for much leave a segment many words to go through.
#[test]
fn first_match_is_the_naive_walk_over_hundreds_of_rules() {
    let found = hold(25, proptest::collection::vec(wish(4..7), 150..400), 100);
    let (spoken, deep, observed) = (found.spoken.get(), found.deep.get(), found.observed.get());
    println!("2500 pairs: {spoken} with a rule that speaks, {deep} behind the first 64, {observed} observe");
    assert!(deep > 250 && observed > 50, "{deep} {observed}");
}

//! The compiled rules against a naive reading of the same rules, segment by segment.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use std::net::IpAddr;

use mpgate::mptcp::{ResetReason, Subtype, SubtypeSet};
use mpgate::rules::{Facts, InterfaceName, Source, compile};
use mpgate::time::Timestamp;
use mpgate::track::{FallbackCause, Rates, Standing};
use mpgate::wire::{Endpoint, Flow, Segment};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

/// Rule sets by facts: more than 100 000 pairs of a rule set and a segment.
const RULE_SETS: u32 = 1100;
const FACTS_EACH: usize = 100;

const NETS: [&str; 6] = ["10.0.0.0/30", "10.0.0.2", "10.0.0.0/31", "::/126", "::1", "0.0.0.0/0"];
const ACTIONS: [&str; 4] = ["accept", "strip", "reject", "drop"];
const INTERFACES: [&str; 3] = ["eth0", "eth1", "wan"];
const STANDINGS: [Standing; 21] = [
    Standing::Plain,
    Standing::NewConnection,
    Standing::KnownConnection,
    Standing::UnknownConnection,
    Standing::Fallback(FallbackCause::PlainData),
    Standing::Mirrored,
    Standing::KeyChanged,
    Standing::JoinKnown,
    Standing::JoinUnknown,
    Standing::JoinAnswered,
    Standing::JoinVerified,
    Standing::JoinForgedAnswer,
    Standing::JoinForgedProof,
    Standing::AddressAnnounced,
    Standing::AnnouncementForged,
    Standing::AnnouncementUnproven,
    Standing::AddressIdConflict,
    Standing::AddressRemoved,
    Standing::PriorityChanged,
    Standing::Fastclose,
    Standing::Reset(Some(ResetReason::PROHIBITED)),
];

/// A rule as somebody thinks of it; an empty list is no condition.
#[derive(Clone, Debug)]
struct Wish {
    from: Vec<&'static str>,
    to_not: Vec<&'static str>,
    ports: Vec<(u16, u16)>,
    input: Vec<&'static str>,
    options: Vec<Subtype>,
    versions: Vec<u8>,
    segments: Vec<Segment>,
    standings: Vec<Standing>,
    action: &'static str,
    insists: bool,
}

fn some<T: Clone + std::fmt::Debug + 'static>(of: &[T]) -> impl Strategy<Value = Vec<T>> + use<T> {
    let most = of.len().min(4);
    prop_oneof![3 => Just(Vec::new()), 2 => subsequence(of.to_vec(), 1..=most)]
}

fn wish() -> impl Strategy<Value = Wish> {
    let ports = prop_oneof![
        Just(Vec::new()),
        proptest::collection::vec((0_u16..6, 0_u16..3).prop_map(|(first, len)| (first, first + len)), 1..3)
    ];
    let conditions = (
        some(&NETS),
        some(&NETS),
        ports,
        some(&INTERFACES),
        some(&Subtype::ALL),
        some(&[0, 1, 2]),
        some(&Segment::ALL),
    );
    (conditions, some(&STANDINGS), select(&ACTIONS[..]), any::<bool>()).prop_map(
        |((from, to_not, ports, input, options, versions, segments), standings, action, insists)| Wish {
            from,
            to_not,
            ports,
            input,
            options,
            versions,
            segments,
            standings,
            action,
            insists,
        },
    )
}

fn facts() -> impl Strategy<Value = Facts> {
    let addr = select(vec!["10.0.0.1", "10.0.0.2", "10.0.0.9", "::1", "::2", "::9"]);
    let end = (addr, 0_u16..8).prop_map(|(addr, port)| Endpoint { addr: addr.parse().unwrap(), port });
    let subtypes = prop_oneof![
        Just(Vec::new()),
        subsequence(Subtype::ALL.to_vec(), 1..3),
        Just(vec![Subtype::MpCapable]),
        Just(vec![Subtype::MpJoin])
    ];
    let segment = prop_oneof![Just(Segment::Syn), select(Segment::ALL.to_vec())];
    (
        end.clone(),
        end,
        proptest::option::of(select(INTERFACES.to_vec())),
        segment,
        subtypes,
        proptest::option::of(0_u8..3),
        select(STANDINGS.to_vec()),
    )
        .prop_map(|(src, dst, input, segment, list, version, standing)| Facts {
            input: input.and_then(InterfaceName::new),
            subtypes: list
                .into_iter()
                .fold(SubtypeSet::EMPTY, |set, subtype| set.and(SubtypeSet::only(subtype))),
            version,
            standing,
            ..Facts::of(Flow { src, dst }, segment)
        })
}

impl Wish {
    fn written(&self, name: usize) -> String {
        let quoted = |words: Vec<&str>| format!("{words:?}");
        let mut text = format!("[[rule]]\nname = \"{name}\"\naction = \"{}\"\n", self.action);
        let mut line = |key: &str, empty: bool, value: String| {
            if !empty {
                text += &format!("{key} = {value}\n");
            }
        };
        let ports = self.ports.iter().map(|(first, last)| format!("\"{first}-{last}\"")).collect::<Vec<_>>();
        line("from", self.from.is_empty(), quoted(self.from.clone()));
        line("to_not", self.to_not.is_empty(), quoted(self.to_not.clone()));
        line("port", ports.is_empty(), format!("[{}]", ports.join(",")));
        line("in_interface", self.input.is_empty(), quoted(self.input.clone()));
        line(
            "option",
            self.options.is_empty(),
            quoted(self.options.iter().map(|option| option.label()).collect()),
        );
        line("version", self.versions.is_empty(), format!("{:?}", self.versions));
        line(
            "segment",
            self.segments.is_empty(),
            quoted(self.segments.iter().map(|kind| kind.label()).collect()),
        );
        line(
            "standing",
            self.standings.is_empty(),
            quoted(self.standings.iter().map(|standing| standing.label()).collect()),
        );
        line("break_connections", !self.insists, "true".to_owned());
        text
    }

    fn lawful(&self) -> bool {
        compile(&[Source { path: String::new(), text: self.written(0) }]).is_ok()
    }

    /// The options that it is about in that segment, or `None` when it is silent.
    fn speaks(&self, facts: &Facts) -> Option<Vec<Subtype>> {
        let inside = |nets: &[&str], addr: IpAddr| {
            nets.iter().any(|net| {
                let net = net.parse().unwrap_or_else(|_| ipnet::IpNet::from(net.parse::<IpAddr>().unwrap()));
                net.contains(&addr)
            })
        };
        let port = facts.flow.dst.port;
        let carried: Vec<_> = facts.subtypes.iter().collect();
        let syn = facts.segment == Segment::Syn;
        let narrow_strip = self.action == "strip" && !self.insists;
        let about: Vec<_> = carried
            .iter()
            .copied()
            .filter(|option| self.options.is_empty() || self.options.contains(option))
            .filter(|&option| {
                self.options.is_empty() || !(narrow_strip && option == Subtype::MpCapable && !syn)
            })
            .collect();
        let suspect = [
            Standing::JoinUnknown,
            Standing::JoinForgedAnswer,
            Standing::JoinForgedProof,
            Standing::AnnouncementForged,
            Standing::AnnouncementUnproven,
            Standing::KeyChanged,
        ];
        let asks = syn && carried.iter().any(|option| [Subtype::MpCapable, Subtype::MpJoin].contains(option));
        let holds = (self.from.is_empty() || inside(&self.from, facts.flow.src.addr))
            && !inside(&self.to_not, facts.flow.dst.addr)
            && (self.ports.is_empty()
                || self.ports.iter().any(|&(first, last)| (first..=last).contains(&port)))
            && (self.input.is_empty() || facts.input.is_some_and(|name| self.input.contains(&name.as_str())))
            && (self.options.is_empty() || !about.is_empty())
            && (self.versions.is_empty()
                || facts.version.is_some_and(|version| self.versions.contains(&version)))
            && (self.segments.is_empty() || self.segments.contains(&facts.segment))
            && (self.standings.is_empty() || self.standings.contains(&facts.standing))
            && (!narrow_strip || !self.options.is_empty() || asks)
            && (self.action != "accept"
                || self.insists
                || !self.standings.is_empty()
                || !suspect.contains(&facts.standing));
        holds.then_some(about)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(RULE_SETS))]

    #[test]
    fn first_match_is_the_naive_walk(
        wishes in proptest::collection::vec(wish().prop_filter("unlawful", Wish::lawful), 0..12),
        segments in proptest::collection::vec(facts(), FACTS_EACH),
    ) {
        let text: String = wishes.iter().enumerate().map(|(name, wish)| wish.written(name)).collect();
        let (rules, _) = compile(&[Source { path: String::new(), text }]).unwrap();
        for facts in &segments {
            let expected = wishes.iter().enumerate().find_map(|(name, wish)| {
                wish.speaks(facts).map(|about| (name.to_string(), wish.action, about))
            });
            let found = rules.first_match(Timestamp::ZERO, facts, &Rates::default()).hit.map(|hit| {
                (hit.label.name.clone(), hit.action.label(), hit.subtypes.iter().collect::<Vec<_>>())
            });
            prop_assert_eq!(found, expected, "{:?}", facts);
        }
    }
}

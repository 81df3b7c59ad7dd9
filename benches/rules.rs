//! What the number of rules costs: a decision with 10 and with 10 000 of them, in turns, and compiling 10 000 rules with
//! sets of 100 000 prefixes.
//!
//! `cargo bench --bench rules`
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench that cannot go on has failed"
)]

use std::fmt::Write as _;
use std::hint::black_box;

use mpgate::engine::{Engine, Ingress, Mode};
use mpgate::mptcp::option::{Capable, CapableFlags, DataNumber, Dss, Join, Mapping};
use mpgate::mptcp::{Key, MptcpOption, Nonce, Version};
use mpgate::rules::{RuleSet, Source, compile};
use mpgate::script::packet::Draft;
use mpgate::time::Timestamp;
use mpgate::track::Limits;
use mpgate::wire::{Endpoint, Flow, Segment};
use rustix::time::{ClockId, clock_gettime};

const FEW: usize = 10;
const MANY: usize = 10_000;
const SETS: usize = 20;
const PREFIXES: usize = 100_000;

/// Turns, of which the median counts; what else runs on the machine comes and goes within seconds.
const TURNS: usize = 15;
/// Decisions a turn: some milliseconds.
const DECISIONS: u32 = 20_000;

const RATIO_MAX: f64 = 1.5;
const COMPILE_MS_MAX: f64 = 300.0;

/// The conditions of a rule, by its number.
type Shape = fn(usize) -> String;

/// How rule files are written: which rules there are, none of which speaks on the packets but the last one.
const SHAPES: [(&str, Shape); 4] = [
    ("mixed: prefixes, ports, options, sets", mixed),
    ("a prefix each", |rule| format!("to = \"{}\"", own(rule))),
    ("networks by ports", |rule| {
        format!("from = \"10.{}.0.0/16\"\nport = {}", 100 + rule / 100 % 100, 1000 + rule % 100)
    }),
    ("alternately from and to", |rule| {
        format!("{} = \"{}\"", if rule % 2 == 0 { "from" } else { "to" }, own(rule))
    }),
];

fn mixed(rule: usize) -> String {
    match rule % 5 {
        0 => format!("to = \"{}\"\noption = \"mp_capable\"", own(rule)),
        1 => format!("from = \"{}\"\nport = [443, \"8000-8099\"]", own(rule)),
        2 => format!("option = \"mp_join\"\nfrom = \"@set{}\"\nto = \"{}\"", rule % SETS, own(rule)),
        3 => format!("port = {}\nfrom = \"@set{}\"", 10_000 + rule / 5, rule % SETS),
        _ => format!("to = \"{}\"\nfrom_not = \"@set{}\"", own(rule), rule % SETS),
    }
}

/// A prefix that only this rule names.
fn own(rule: usize) -> String {
    format!("172.{}.{}.{}/28", 16 + rule / 4096, rule / 16 % 256, rule % 16 * 16)
}

fn sets(prefixes: usize) -> String {
    let mut text = "[sets]\n".to_owned();
    for set in 0..SETS {
        let members = (0..prefixes / SETS).map(|member| {
            let number = set * prefixes / SETS + member;
            format!("\"{}.{}.{}.{}/30\"", 20 + number / 65_536, number / 256 % 256, number % 256, set * 8)
        });
        writeln!(text, "set{set} = [{}]", members.collect::<Vec<_>>().join(", ")).unwrap();
    }
    text
}

fn file(rules: usize, shape: Shape) -> String {
    let mut text = String::new();
    for rule in 0..rules - 1 {
        writeln!(text, "[[rule]]\nname = \"rule-{rule}\"\naction = \"accept\"\n{}", shape(rule)).unwrap();
    }
    text + "[[rule]]\nname = \"last\"\nto = \"192.0.2.0/24\"\naction = \"accept\"\n"
}

fn compiled(text: String) -> RuleSet {
    let source = [Source { path: "rules.toml".to_owned(), text }];
    compile(&source).unwrap_or_else(|errors| panic!("{:?}", errors.first())).0
}

fn end(addr: [u8; 4], port: u16) -> Endpoint {
    Endpoint { addr: addr.into(), port }
}

/// The packets of one connection that is known, and of a join to it.
struct Packets {
    opening: Vec<Vec<u8>>,
    rows: [(&'static str, Vec<u8>); 3],
}

impl Packets {
    fn new() -> Self {
        let (client, server) = (Key(*b"client__"), Key(*b"server__"));
        let flow = Flow { src: end([10, 0, 0, 1], 40_000), dst: end([192, 0, 2, 1], 443) };
        let capable = |segment| {
            let (sender_key, receiver_key) = match segment {
                Segment::Syn => (None, None),
                Segment::SynAck => (Some(server), None),
                Segment::Ack | Segment::Data | Segment::Fin | Segment::Rst => (Some(client), Some(server)),
            };
            let flow = if segment == Segment::SynAck { flow.reversed() } else { flow };
            let capable =
                Capable { version: 1, flags: CapableFlags(1), sender_key, receiver_key, data: None };
            Draft::new(flow, segment).with(&MptcpOption::Capable(capable)).build().unwrap()
        };
        let mapping = Mapping { dsn: DataNumber::Long(9), ssn: 1, len: 1400, checksum: None };
        let dss = Dss { data_fin: false, data_ack: Some(DataNumber::Long(7)), mapping: Some(mapping) };
        let data = Draft::new(flow, Segment::Data).with(&MptcpOption::Dss(dss)).build().unwrap();
        let join =
            Join::Syn { backup: false, address_id: 1, token: server.token(Version::V1), nonce: Nonce(1) };
        let second = Flow { src: end([10, 0, 1, 1], 40_001), ..flow };
        let join = Draft::new(second, Segment::Syn).with(&MptcpOption::Join(join)).build().unwrap();
        Self {
            opening: [Segment::Syn, Segment::SynAck, Segment::Ack].map(capable).to_vec(),
            rows: [
                ("data", data),
                ("SYN with MP_CAPABLE", capable(Segment::Syn)),
                ("SYN with MP_JOIN", join),
            ],
        }
    }
}

fn engine(rules: RuleSet, packets: &Packets) -> Engine {
    let engine = Engine::new(rules, Limits::default(), Mode::Enforce);
    for packet in &packets.opening {
        engine.decide(Timestamp::ZERO, &Ingress::default(), packet);
    }
    engine
}

/// The seconds that this thread has used: what else runs on the machine does not count.
fn used_secs() -> f64 {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    let nanos = u32::try_from(used.tv_nsec).unwrap();
    f64::from(u32::try_from(used.tv_sec).unwrap()) + f64::from(nanos) / 1e9
}

/// Nanoseconds a decision.
fn cost(engine: &Engine, packet: &[u8]) -> f64 {
    let since = used_secs();
    for _ in 0..DECISIONS {
        black_box(engine.decide(Timestamp::ZERO, &Ingress::default(), black_box(packet)));
    }
    (used_secs() - since) * 1e9 / f64::from(DECISIONS)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn decisions(packets: &Packets) {
    println!(
        "A decision, in ns of the thread's CPU time, medians of {TURNS} turns; asked: at most {RATIO_MAX} times\n"
    );
    println!("{:<40} {:<22} {:>9} {:>13} {:>7}", "rules", "packet", "10 rules", "10 000 rules", "ratio");
    for (name, shape) in SHAPES {
        let of = |rules| engine(compiled(sets(PREFIXES) + &file(rules, shape)), packets);
        let (few, many) = (of(FEW), of(MANY));
        for (what, packet) in &packets.rows {
            let turns: Vec<_> = (0..TURNS).map(|_| (cost(&few, packet), cost(&many, packet))).collect();
            let of_few = median(turns.iter().map(|turn| turn.0).collect());
            let of_many = median(turns.iter().map(|turn| turn.1).collect());
            let ratio = median(turns.iter().map(|turn| turn.1 / turn.0).collect());
            println!("{name:<40} {what:<22} {of_few:>9.0} {of_many:>13.0} {ratio:>7.2}");
        }
    }
}

fn compiling() {
    println!(
        "\nCompiling {MANY} rules with sets of {PREFIXES} prefixes, ms of CPU time; asked: at most {COMPILE_MS_MAX}\n"
    );
    for (name, shape) in SHAPES {
        let text = sets(PREFIXES) + &file(MANY, shape);
        let took = (0..5).map(|_| {
            let text = text.clone();
            let since = used_secs();
            let rules = compiled(text);
            let took = (used_secs() - since) * 1e3;
            drop(rules);
            took
        });
        println!("{name:<40} {:>7.0}", median(took.collect()));
    }
}

fn main() {
    let packets = Packets::new();
    decisions(&packets);
    compiling();
}

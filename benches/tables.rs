//! What the number of connections costs: a gate that knows 10 000 of them beside one that is filled with ten million, each
//! of a host of its own. Bytes each, a decision on data of any of them, the longest insert and the longest tick, and what
//! a second worker brings.
//!
//! `cargo bench --bench tables`, 3 GiB and two minutes; `-- --ipv6` for the other family, `-- --json` for a row a line.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a bench that cannot go on has failed"
)]

use std::env;
use std::fs;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use mpgate::engine::{Engine, Ingress, Mode};
use mpgate::mptcp::option::{Capable, CapableFlags, DataNumber, Dss, Mapping};
use mpgate::mptcp::{Key, MptcpOption};
use mpgate::rules::RuleSet;
use mpgate::script::packet::Draft;
use mpgate::time::Timestamp;
use mpgate::track::Limits;
use mpgate::wire::{Endpoint, Flow, Segment};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

const FEW: u32 = 10_000;
const FILLS: [u32; 2] = [1_000_000, 10_000_000];

/// 3 GiB, as much as the fill will take.
const FRESH_PAGES: u32 = 3 << 18;

/// One work in so many may take longer than what is said to be the longest.
const REMARKABLE: usize = 10_000;

/// Turns, of which the median counts; what else runs on the machine comes and goes within seconds.
const TURNS: usize = 15;
/// Decisions a turn: some hundredths of a second.
const DECISIONS: u32 = 100_000;
/// Turns of two workers are longer by so much: when the second one wakes up counts for less then.
const TOGETHER: u32 = 4;

/// What takes the place of keys and address in the packets.
const CLIENT: [u8; 8] = *b"client__";
const SERVER: [u8; 8] = *b"server__";

/// Both families have four bytes here, or 12 bytes before the other end's, that are the client's own: an IPv4 address, or
/// a /64 with what stands before it.
const SENDER_AT: usize = 12;

/// A packet in which a client's number and keys are put over those that it was built with.
#[derive(Clone)]
struct Template {
    bytes: Vec<u8>,
    client_at: usize,
    keys_at: [Option<usize>; 2],
}

impl Template {
    fn new(ipv6: bool, segment: Segment, option: &MptcpOption) -> Self {
        let end = |v4: [u8; 4], v6: [u16; 8], port| Endpoint {
            addr: if ipv6 { v6.into() } else { v4.into() },
            port,
        };
        let client = end([10, 0, 0, 0], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 40_000);
        let server = end([192, 0, 2, 1], [0x2001, 0xdb9, 0, 0, 0, 0, 0, 1], 443);
        let flow = Flow { src: client, dst: server };
        let answers = segment == Segment::SynAck;
        let flow = if answers { flow.reversed() } else { flow };
        let bytes = Draft::new(flow, segment).with(option).build().unwrap();
        let keys_at = [CLIENT, SERVER].map(|key| bytes.windows(8).position(|window| window == key));
        let client_at = SENDER_AT + if answers { if ipv6 { 16 } else { 4 } } else { 0 };
        Self { bytes, client_at, keys_at }
    }

    fn of(&mut self, client: u32) -> &[u8] {
        let number = 0x0a00_0000 + client;
        self.bytes[self.client_at..self.client_at + 4].copy_from_slice(&number.to_be_bytes());
        for (salt, at) in self.keys_at.into_iter().enumerate() {
            let key = scattered(u64::from(client) << 1 | u64::try_from(salt).unwrap());
            if let Some(at) = at {
                self.bytes[at..at + 8].copy_from_slice(&key.to_be_bytes());
            }
        }
        &self.bytes
    }
}

/// What clients send and get.
#[derive(Clone)]
struct Talk {
    handshake: [Template; 3],
    data: Template,
}

impl Talk {
    fn new(ipv6: bool) -> Self {
        let capable = |segment| {
            let (sender_key, receiver_key) = match segment {
                Segment::Syn => (None, None),
                Segment::SynAck => (Some(Key(SERVER)), None),
                Segment::Ack | Segment::Data | Segment::Fin | Segment::Rst => {
                    (Some(Key(CLIENT)), Some(Key(SERVER)))
                }
            };
            let capable =
                Capable { version: 1, flags: CapableFlags(1), sender_key, receiver_key, data: None };
            Template::new(ipv6, segment, &MptcpOption::Capable(capable))
        };
        let mapping = Mapping { dsn: DataNumber::Long(9), ssn: 1, len: 1400, checksum: None };
        let dss = Dss { data_fin: false, data_ack: Some(DataNumber::Long(7)), mapping: Some(mapping) };
        Self {
            handshake: [Segment::Syn, Segment::SynAck, Segment::Ack].map(capable),
            data: Template::new(ipv6, Segment::Data, &MptcpOption::Dss(dss)),
        }
    }
}

/// A number that is as good as random (splitmix64).
const fn scattered(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

fn secs(clock: ClockId) -> f64 {
    let read = clock_gettime(clock);
    Duration::new(u64::try_from(read.tv_sec).unwrap(), u32::try_from(read.tv_nsec).unwrap()).as_secs_f64()
}

/// The seconds that this thread has used: what else runs on the machine does not count.
fn used_secs() -> f64 {
    secs(ClockId::ThreadCPUTime)
}

fn resident_bytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The seconds of CPU time that the longest of some works took, and what all but one in [`REMARKABLE`] took at most. A table is
/// some hundreds of parts or more, each of which grows by itself: one handshake in thirty has a part grow, so the latter is a
/// pause of growth. The longest also has what the machine adds now and then, up to ten milliseconds where nothing grows.
fn longest(clients: std::ops::Range<u32>, mut work: impl FnMut(u32)) -> Longest {
    let mut longest = vec![0.0; clients.len() / REMARKABLE + 1];
    let mut since = used_secs();
    for client in clients {
        work(client);
        let now = used_secs();
        let took = now - std::mem::replace(&mut since, now);
        let at = longest.partition_point(|&longer| longer >= took);
        if let Some(shorter) = longest.get_mut(at..).filter(|shorter| !shorter.is_empty()) {
            shorter.rotate_right(1);
            shorter[0] = took;
        }
    }
    Longest { of_all: longest[0], but_for_few: longest[longest.len() - 1] }
}

/// The seconds that the longest first write to a page of memory takes: what the machine adds, most of all a virtual one whose
/// host has to find that page.
fn longest_touch() -> f64 {
    const PAGE: usize = 4096;
    let place = |page| usize::try_from(page).unwrap() * PAGE;
    let mut pages = vec![0_u8; place(FRESH_PAGES)];
    longest(0..FRESH_PAGES, |page| pages[place(page)] = 1).of_all
}

/// Seconds of CPU time.
struct Longest {
    of_all: f64,
    but_for_few: f64,
}

struct Gate {
    engine: Engine,
    talk: Talk,
    known: u32,
}

/// What the decisions of a turn, by each of some workers, took.
struct Together {
    /// Nanoseconds of CPU time for a decision.
    cost: f64,
    /// From start to end.
    secs: f64,
}

impl Gate {
    fn new(talk: &Talk) -> Self {
        let limits = Limits { connections_max: 16_000_000, ..Limits::default() };
        let engine = Engine::new(RuleSet::default(), limits, Mode::Enforce);
        Self { engine, talk: talk.clone(), known: 0 }
    }

    fn decide(engine: &Engine, packet: &[u8]) {
        black_box(engine.decide(Timestamp::ZERO, &Ingress::default(), black_box(packet)));
    }

    /// Opens connections until there are so many. Returns the seconds of the longest handshakes.
    fn fill(&mut self, connections: u32) -> Longest {
        let (engine, talk) = (&self.engine, &mut self.talk);
        let opening = longest(self.known..connections, |client| {
            talk.handshake.iter_mut().for_each(|template| Self::decide(engine, template.of(client)));
        });
        self.known = connections;
        // The first data of each is news, and later data is not.
        let data = (0..connections).map(|client| Self::decide(engine, talk.data.of(client)));
        data.for_each(drop);
        assert_eq!(engine.counts().connections, usize::try_from(connections).unwrap());
        opening
    }

    /// Nanoseconds of CPU time for a decision on data of any connection.
    fn cost(&self, decisions: u32, seed: u32) -> f64 {
        let mut data = self.talk.data.clone();
        let since = used_secs();
        for turn in 0..decisions {
            let number = scattered(u64::from(seed) << 32 | u64::from(turn)) >> 32;
            let client = u32::try_from((number * u64::from(self.known)) >> 32).unwrap();
            Self::decide(&self.engine, data.of(client));
        }
        (used_secs() - since) * 1e9 / f64::from(decisions)
    }

    /// What decisions cost with a worker at each of some gates at once, which may be one and the same.
    fn together(gates: &[&Self], seed: u32) -> Together {
        let start = Barrier::new(gates.len());
        let work = |gate: &Self, seed: u32| {
            start.wait();
            let since = secs(ClockId::Monotonic);
            Together { cost: gate.cost(TOGETHER * DECISIONS, seed), secs: secs(ClockId::Monotonic) - since }
        };
        let each: Vec<_> = thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> =
                gates.iter().zip(seed..).map(|(gate, seed)| scope.spawn(move || work(gate, seed))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let workers = f64::from(u32::try_from(gates.len()).unwrap());
        Together {
            cost: each.iter().map(|each| each.cost).sum::<f64>() / workers,
            secs: each.iter().map(|each| each.secs).fold(0.0, f64::max),
        }
    }

    /// Forgets everything. Returns the seconds of each tick.
    fn forget(&self) -> Vec<f64> {
        let later = Timestamp::ZERO.after(Duration::from_secs(6 * 24 * 3600));
        std::iter::from_fn(|| (self.engine.counts().connections > 0).then(|| self.tick(later))).collect()
    }

    fn tick(&self, now: Timestamp) -> f64 {
        let since = used_secs();
        self.engine.expire(now);
        used_secs() - since
    }
}

struct Report {
    json: bool,
}

impl Report {
    fn row(&self, row: &str, value: f64, unit: &str) {
        if self.json {
            println!("{}", json!({ "row": row, "value": value, "unit": unit }));
        } else {
            println!("{row:<58} {value:>10.2} {unit}");
        }
    }

    fn ticks(&self, row: &str, secs: Vec<f64>) {
        let longest = secs.iter().copied().fold(0.0, f64::max);
        self.row(&format!("{row}, median"), median(secs) * 1e6, "us");
        self.row(&format!("{row}, longest"), longest * 1e6, "us");
    }
}

fn main() {
    let has = |word: &str| env::args().any(|argument| argument == word);
    let report = Report { json: has("--json") };
    let talk = Talk::new(has("--ipv6"));

    report.row("longest first write to a page, nothing but memory", longest_touch() * 1e6, "us");
    let mut small = Gate::new(&talk);
    small.fill(FEW);
    let before = resident_bytes();
    let mut gate = Gate::new(&talk);
    for connections in [FEW].into_iter().chain(FILLS) {
        let opening = gate.fill(connections);
        let row =
            |what: &str, value, unit| report.row(&format!("{connections} connections: {what}"), value, unit);
        row("bytes each", (resident_bytes() - before) / f64::from(connections), "bytes");
        row("longest handshake while filling", opening.of_all * 1e6, "us");
        row("longest handshake but for one in 10000", opening.but_for_few * 1e6, "us");

        let turns = (0..).step_by(4).take(TURNS);
        let costs: Vec<_> =
            turns.clone().map(|turn| (small.cost(DECISIONS, turn), gate.cost(DECISIONS, turn + 1))).collect();
        row("decision on data", median(costs.iter().map(|turn| turn.1).collect()), "ns");
        row(
            "decision on data, times that of 10000",
            median(costs.iter().map(|turn| turn.1 / turn.0).collect()),
            "ratio",
        );
        let together = |gates: &[&Gate]| {
            let turn = |turn| (Gate::together(&[&gate], turn), Gate::together(gates, turn + 2));
            let turns: Vec<_> = turns.clone().map(turn).collect();
            let by_clock = turns.iter().map(|(one, two)| 2.0 * one.secs / two.secs).collect();
            let by_cpu = turns.iter().map(|(one, two)| 2.0 * one.cost / two.cost).collect();
            [median(by_clock), median(by_cpu)]
        };
        let [by_clock, by_cpu] = together(&[&gate, &gate]);
        row("two workers' throughput over one's", by_clock, "ratio");
        row("the same, by CPU time", by_cpu, "ratio");
        if connections == FEW {
            let [by_clock, by_cpu] = together(&[&small, &gate]);
            row("the same, each with a gate of its own", by_clock, "ratio");
            row("that, by CPU time", by_cpu, "ratio");
        }

        report.ticks(
            &format!("{connections} connections: tick, nothing due"),
            (0..400).map(|_tick| gate.tick(Timestamp::ZERO)).collect(),
        );
    }
    let ticks = gate.forget();
    report.row(
        "all are due: ticks until all are gone",
        f64::from(u32::try_from(ticks.len()).unwrap()),
        "ticks",
    );
    report.row("all are due: seconds for that", ticks.iter().sum(), "s");
    report.ticks("all are due: tick", ticks);
    gate.known = 0;
    let full = resident_bytes();
    let opening = gate.fill(FILLS[0]);
    report.row("1000000 again, nothing grows: longest handshake", opening.of_all * 1e6, "us");
    report.row("1000000 again: MiB that it grew", (resident_bytes() - full) / f64::from(1 << 20), "MiB");
}

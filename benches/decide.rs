//! What a decision costs: `Engine::decide` on whole packets, the tables filled with 10 000 connections.
//!
//! `cargo bench --bench decide`
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use mpgate::engine::{Engine, Ingress, Mode};
use mpgate::mptcp::hmac::{self, JoinSide};
use mpgate::mptcp::option::{Capable, CapableFlags, DataNumber, Dss, Join, Mapping};
use mpgate::mptcp::{Key, MptcpOption, Nonce, Version};
use mpgate::rules::RuleSet;
use mpgate::script::packet::Draft;
use mpgate::time::Timestamp;
use mpgate::track::Limits;
use mpgate::wire::{Endpoint, Flow, Segment};

const CONNECTIONS: u32 = 10_000;
const SERVER_NONCE: Nonce = Nonce(2);

/// A client, by number; all talk to one server.
#[derive(Clone, Copy)]
struct Client(u32);

impl Client {
    fn flow(self, port: u16) -> Flow {
        let [_, a, b, c] = self.0.to_be_bytes();
        Flow {
            src: Endpoint { addr: [10, a, b, c].into(), port },
            dst: Endpoint { addr: [192, 0, 2, 1].into(), port: 443 },
        }
    }

    fn keys(self) -> (Key, Key) {
        let key = |salt: u64| Key((u64::from(self.0) << 8 | salt).to_be_bytes());
        (key(1), key(2))
    }

    fn capable(self, port: u16, segment: Segment) -> Vec<u8> {
        let (client, server) = self.keys();
        let (sender_key, receiver_key) = match segment {
            Segment::Syn => (None, None),
            Segment::SynAck => (Some(server), None),
            Segment::Ack | Segment::Data | Segment::Fin | Segment::Rst => (Some(client), Some(server)),
        };
        let capable = Capable { version: 1, flags: CapableFlags(1), sender_key, receiver_key, data: None };
        self.send(port, segment, &MptcpOption::Capable(capable))
    }

    fn join(self, port: u16, segment: Segment) -> Vec<u8> {
        let (client, server) = self.keys();
        let sides =
            (JoinSide { key: client, nonce: Nonce(1) }, JoinSide { key: server, nonce: SERVER_NONCE });
        let join = match segment {
            Segment::Syn => {
                Join::Syn { backup: false, address_id: 1, token: server.token(Version::V1), nonce: Nonce(1) }
            }
            Segment::SynAck => {
                let proof = hmac::join(Version::V1, sides.1, sides.0);
                Join::SynAck {
                    backup: false,
                    address_id: 0,
                    hmac: *proof.first_chunk().unwrap(),
                    nonce: SERVER_NONCE,
                }
            }
            Segment::Ack | Segment::Data | Segment::Fin | Segment::Rst => {
                Join::Ack { hmac: hmac::join(Version::V1, sides.0, sides.1) }
            }
        };
        self.send(port, segment, &MptcpOption::Join(join))
    }

    fn dss(self) -> Vec<u8> {
        let mapping = Mapping { dsn: DataNumber::Long(9), ssn: 1, len: 1400, checksum: None };
        let dss = Dss { data_fin: false, data_ack: Some(DataNumber::Long(7)), mapping: Some(mapping) };
        self.send(40_000, Segment::Data, &MptcpOption::Dss(dss))
    }

    fn send(self, port: u16, segment: Segment, option: &MptcpOption) -> Vec<u8> {
        let flow = self.flow(port);
        let flow = if segment == Segment::SynAck { flow.reversed() } else { flow };
        let timestamps = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
        Draft::new(flow, segment).with_raw(&timestamps[2..]).with(option).build().unwrap()
    }
}

fn decide(engine: &Engine, now: Timestamp, packet: &[u8]) {
    black_box(engine.decide(now, &Ingress::default(), black_box(packet)));
}

/// A gate that knows 10 000 connections.
fn filled() -> Engine {
    let engine = Engine::new(RuleSet::default(), Limits::default(), Mode::Enforce);
    for client in (0..CONNECTIONS).map(Client) {
        for segment in [Segment::Syn, Segment::SynAck, Segment::Ack] {
            decide(&engine, Timestamp::ZERO, &client.capable(40_000, segment));
        }
    }
    engine
}

fn row(packet: impl Fn(Client) -> Vec<u8>) -> Row {
    Row::of((0..CONNECTIONS).map(Client).map(packet))
}

fn decisions(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide");

    let engine = filled();
    let data = row(Client::dss);
    let mut next = data.iter().cycle();
    group.bench_function("dss of a known connection", |b| {
        b.iter(|| decide(&engine, Timestamp::ZERO, next.next().unwrap()));
    });

    group.bench_function("tick over 10000 connections, nothing due", |b| {
        b.iter(|| engine.expire(Timestamp::ZERO));
    });

    let mut gate = Gate { engine: filled(), now: Timestamp::ZERO };
    let syns = row(|client| client.join(50_000, Segment::Syn));
    group.bench_function("mp_join syn", |b| b.iter_custom(|times| gate.timed(times, &[], &syns)));

    let answers = row(|client| client.join(50_000, Segment::SynAck));
    let acks = row(|client| client.join(50_000, Segment::Ack));
    group.bench_function("mp_join third ack, verified", |b| {
        b.iter_custom(|times| gate.timed(times, &[&syns, &answers], &acks));
    });

    let syns = row(|client| client.capable(60_000, Segment::Syn));
    group.bench_function("syn of 10000 connections", |b| {
        b.iter_custom(|times| gate.timed(times, &[], &syns));
    });
    group.finish();
}

/// Packets of one length, one behind the other: as in the buffer that a queue's worker receives into, they are in the
/// cache when they are decided.
struct Row {
    bytes: Vec<u8>,
    each: usize,
}

impl Row {
    fn of(packets: impl Iterator<Item = Vec<u8>>) -> Self {
        let mut row = Self { bytes: Vec::new(), each: 0 };
        for packet in packets {
            row.each = packet.len();
            row.bytes.extend(packet);
        }
        row
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        self.bytes.chunks_exact(self.each)
    }
}

/// A gate at work: handshakes that lead to nothing are forgotten between rounds.
struct Gate {
    engine: Engine,
    now: Timestamp,
}

impl Gate {
    /// The time of so many decisions on `packets`, in rounds, each after a round of those of `before`.
    fn timed(&mut self, times: u64, before: &[&Row], packets: &Row) -> Duration {
        let mut total = Duration::ZERO;
        let mut left = usize::try_from(times).unwrap();
        while left > 0 {
            before
                .iter()
                .flat_map(|row| row.iter())
                .for_each(|packet| decide(&self.engine, self.now, packet));
            let round = left.min(packets.iter().count());
            #[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
            let start = Instant::now();
            packets.iter().take(round).for_each(|packet| decide(&self.engine, self.now, packet));
            total += start.elapsed();
            left -= round;
            self.now = self.now.after(Duration::from_secs(61));
            while self.engine.expire(self.now) > 0 {}
        }
        total
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = decisions
}
criterion_main!(benches);

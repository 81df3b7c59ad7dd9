//! What a decision costs: `Engine::decide` on whole packets, the tables filled with 10 000 connections.
//!
//! `cargo bench --bench decide`
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]

mod clients;

use std::time::{Duration, Instant};

use clients::{CONNECTIONS, Client, decide, filled};
use criterion::{Criterion, criterion_group, criterion_main};
use mpgate::engine::Engine;
use mpgate::time::Timestamp;
use mpgate::wire::Segment;

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

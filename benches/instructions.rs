//! Instructions of a decision, for `benches/instructions`: with callgrind they are the same in every run, whatever else the
//! machine does.
//!
//! `instructions KIND` makes a gate that knows 10 000 connections and decides a thousand packets of that kind, in
//! [`measured`], which callgrind counts alone.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a bench prints")]

mod clients;

use clients::{CONNECTIONS, Client, decide, filled};
use mpgate::engine::Engine;
use mpgate::script::packet::Draft;
use mpgate::time::Timestamp;
use mpgate::wire::Segment;

const PACKETS: u32 = 1000;

fn main() {
    let kind = std::env::args().skip(1).find(|word| word != "--bench").unwrap_or_default();
    let client = |number: u32| Client(number * (CONNECTIONS / PACKETS));
    let packets = |packet: fn(Client) -> Vec<u8>| (0..PACKETS).map(client).map(packet).collect::<Vec<_>>();
    let joins =
        |segment| (0..PACKETS).map(client).map(|client| client.join(50_000, segment)).collect::<Vec<_>>();
    let (before, counted): (Vec<Vec<Vec<u8>>>, _) = match kind.as_str() {
        "plain" => (
            vec![],
            packets(|client| {
                Draft::new(client.flow(41_000), Segment::Data).with_payload(100).build().unwrap()
            }),
        ),
        "dss" => (vec![], packets(Client::dss)),
        "data" => (vec![packets(Client::dss)], packets(Client::dss)),
        "capable" => (vec![], packets(|client| client.capable(60_000, Segment::Syn))),
        "join" => (vec![], joins(Segment::Syn)),
        "proof" => (vec![joins(Segment::Syn), joins(Segment::SynAck)], joins(Segment::Ack)),
        _ => return println!("benches/instructions runs this"),
    };
    let engine = filled();
    before.iter().flatten().for_each(|packet| decide(&engine, Timestamp::ZERO, packet));
    measured(&engine, &counted);
}

/// By its name callgrind knows what to count.
#[inline(never)]
fn measured(engine: &Engine, packets: &[Vec<u8>]) {
    packets.iter().for_each(|packet| decide(engine, Timestamp::ZERO, packet));
}

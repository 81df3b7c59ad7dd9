//! What 100 000 connections take: the whole process stays below 100 MiB.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use mpgate::engine::{Engine, Ingress, Mode};
use mpgate::mptcp::option::{Capable, CapableFlags};
use mpgate::mptcp::{Key, MptcpOption};
use mpgate::rules::RuleSet;
use mpgate::script::packet::Draft;
use mpgate::time::Timestamp;
use mpgate::track::Limits;
use mpgate::wire::{Endpoint, Flow, Segment};

const CONNECTIONS: u32 = 100_000;

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn capable(number: u32, segment: Segment) -> Vec<u8> {
    let key = |salt: u64| Some(Key((u64::from(number) << 8 | salt).to_be_bytes()));
    let (sender_key, receiver_key) = match segment {
        Segment::Syn => (None, None),
        Segment::SynAck => (key(2), None),
        Segment::Ack | Segment::Data | Segment::Fin | Segment::Rst => (key(1), key(2)),
    };
    let [_, a, b, c] = number.to_be_bytes();
    let client =
        Endpoint { addr: [0x2001, 0xdb8, 0, 0, 0, a.into(), b.into(), c.into()].into(), port: 40_000 };
    let server = Endpoint { addr: [0x2001, 0xdb8, 1, 0, 0, 0, 0, 1].into(), port: 443 };
    let flow = Flow { src: client, dst: server };
    let flow = if segment == Segment::SynAck { flow.reversed() } else { flow };
    let capable = Capable { version: 1, flags: CapableFlags(1), sender_key, receiver_key, data: None };
    Draft::new(flow, segment).with(&MptcpOption::Capable(capable)).build().unwrap()
}

#[test]
fn a_hundred_thousand_connections_fit_into_100_mib() {
    let engine = Engine::new(RuleSet::default(), Limits::default(), Mode::Enforce);
    let before = resident_kib();
    for number in 0..CONNECTIONS {
        for segment in [Segment::Syn, Segment::SynAck, Segment::Ack] {
            engine.decide(
                Timestamp::from_nanos(u64::from(number)),
                &Ingress::default(),
                &capable(number, segment),
            );
        }
    }
    let after = resident_kib();
    assert_eq!(engine.counts().connections, usize::try_from(CONNECTIONS).unwrap());
    let each = (after - before) * 1024 / u64::from(CONNECTIONS);
    println!("{CONNECTIONS} connections: {} MiB resident in all, {each} bytes each", after / 1024);
    assert!(after <= 100 * 1024, "{after} KiB");
}

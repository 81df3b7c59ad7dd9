//! What a connection takes of the whole process's memory.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use mpgate::engine::{Engine, Ingress, Mode};
use mpgate::mptcp::option::{Capable, CapableFlags};
use mpgate::mptcp::{Key, MptcpOption};
use mpgate::rules::RuleSet;
use mpgate::script::packet::Draft;
use mpgate::time::Timestamp;
use mpgate::track::Limits;
use mpgate::wire::{Endpoint, Flow, InterfaceName, Segment};

const CONNECTIONS: u32 = 100_000;

#[derive(Clone, Copy, Debug)]
enum Family {
    V4,
    V6,
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn capable(family: Family, number: u32, segment: Segment) -> Vec<u8> {
    let key = |salt: u64| Some(Key((u64::from(number) << 8 | salt).to_be_bytes()));
    let (sender_key, receiver_key) = match segment {
        Segment::Syn => (None, None),
        Segment::SynAck => (key(2), None),
        Segment::Ack | Segment::Data | Segment::Fin | Segment::Rst => (key(1), key(2)),
    };
    let [_, a, b, c] = number.to_be_bytes();
    let (client, server) = match family {
        Family::V4 => ([10, a, b, c].into(), [192, 0, 2, 1].into()),
        Family::V6 => (
            [0x2001, 0xdb8, a.into(), u16::from_be_bytes([b, c]), 0, 0, 0, 1].into(),
            [0x2001, 0xdb9, 0, 0, 0, 0, 0, 1].into(),
        ),
    };
    let flow =
        Flow { src: Endpoint { addr: client, port: 40_000 }, dst: Endpoint { addr: server, port: 443 } };
    let flow = if segment == Segment::SynAck { flow.reversed() } else { flow };
    let capable = Capable { version: 1, flags: CapableFlags(1), sender_key, receiver_key, data: None };
    Draft::new(flow, segment).with(&MptcpOption::Capable(capable)).build().unwrap()
}

/// Bytes that a connection takes, with its subflow, its tokens and its host, which has no other; and KiB in all.
fn filled(family: Family, connections: u32) -> (u64, u64) {
    let engine = Engine::new(RuleSet::default(), Limits::default(), Mode::Enforce);
    let ingress = Ingress {
        input: InterfaceName::new("lan0"),
        output: InterfaceName::new("wan0"),
        ..Ingress::default()
    };
    let before = resident_kib();
    for number in 0..connections {
        for segment in [Segment::Syn, Segment::SynAck, Segment::Ack] {
            engine.decide(
                Timestamp::from_nanos(u64::from(number)),
                &ingress,
                &capable(family, number, segment),
            );
        }
    }
    let after = resident_kib();
    assert_eq!(engine.counts().connections, usize::try_from(connections).unwrap());
    // Else the next family would live in what this one leaves.
    std::mem::forget(engine);
    ((after - before) * 1024 / u64::from(connections), after)
}

/// 285 bytes at most are records and the cells that stand empty between them (`src/track/mod.rs`); the rest is what the last
/// chunk of each of a thousand shards has left, which is less the more there are, and what the allocator cannot use again.
#[test]
fn a_connection_takes_at_most_350_bytes() {
    // What the program itself takes once it runs is no connection's.
    filled(Family::V4, 1000);
    for family in [Family::V4, Family::V6] {
        let (each, all) = filled(family, CONNECTIONS);
        println!(
            "{family:?}: {CONNECTIONS} connections, {} MiB resident in all, {each} bytes each",
            all / 1024
        );
        assert!(each <= 350, "{family:?}: {each} bytes");
    }
}

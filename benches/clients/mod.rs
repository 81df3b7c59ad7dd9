//! Clients of one server, their packets, and a gate that knows them.

use std::hint::black_box;

use mpgate::engine::{Engine, Ingress, Mode};
use mpgate::mptcp::hmac::{self, JoinSide};
use mpgate::mptcp::option::{Capable, CapableFlags, DataNumber, Dss, Join, Mapping};
use mpgate::mptcp::{Key, MptcpOption, Nonce, Version};
use mpgate::rules::RuleSet;
use mpgate::script::packet::Draft;
use mpgate::time::Timestamp;
use mpgate::track::Limits;
use mpgate::wire::{Endpoint, Flow, Segment};

pub(crate) const CONNECTIONS: u32 = 10_000;
pub(crate) const SERVER_NONCE: Nonce = Nonce(2);

/// A client, by number; all talk to one server.
#[derive(Clone, Copy)]
pub(crate) struct Client(pub(crate) u32);

impl Client {
    pub(crate) fn flow(self, port: u16) -> Flow {
        let [_, a, b, c] = self.0.to_be_bytes();
        Flow {
            src: Endpoint { addr: [10, a, b, c].into(), port },
            dst: Endpoint { addr: [192, 0, 2, 1].into(), port: 443 },
        }
    }

    pub(crate) fn keys(self) -> (Key, Key) {
        let key = |salt: u64| Key((u64::from(self.0) << 8 | salt).to_be_bytes());
        (key(1), key(2))
    }

    pub(crate) fn capable(self, port: u16, segment: Segment) -> Vec<u8> {
        let (client, server) = self.keys();
        let (sender_key, receiver_key) = match segment {
            Segment::Syn => (None, None),
            Segment::SynAck => (Some(server), None),
            Segment::Ack | Segment::Data | Segment::Fin | Segment::Rst => (Some(client), Some(server)),
        };
        let capable = Capable { version: 1, flags: CapableFlags(1), sender_key, receiver_key, data: None };
        self.send(port, segment, &MptcpOption::Capable(capable))
    }

    pub(crate) fn join(self, port: u16, segment: Segment) -> Vec<u8> {
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

    pub(crate) fn dss(self) -> Vec<u8> {
        let mapping = Mapping { dsn: DataNumber::Long(9), ssn: 1, len: 1400, checksum: None };
        let dss = Dss { data_fin: false, data_ack: Some(DataNumber::Long(7)), mapping: Some(mapping) };
        self.send(40_000, Segment::Data, &MptcpOption::Dss(dss))
    }

    pub(crate) fn send(self, port: u16, segment: Segment, option: &MptcpOption) -> Vec<u8> {
        let flow = self.flow(port);
        let flow = if segment == Segment::SynAck { flow.reversed() } else { flow };
        let timestamps = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
        Draft::new(flow, segment).with_raw(&timestamps[2..]).with(option).build().unwrap()
    }
}

pub(crate) fn decide(engine: &Engine, now: Timestamp, packet: &[u8]) {
    black_box(engine.decide(now, &Ingress::default(), black_box(packet)));
}

/// A gate that knows 10 000 connections.
pub(crate) fn filled() -> Engine {
    let engine = Engine::new(RuleSet::default(), Limits::default(), Mode::Enforce);
    for client in (0..CONNECTIONS).map(Client) {
        for segment in [Segment::Syn, Segment::SynAck, Segment::Ack] {
            decide(&engine, Timestamp::ZERO, &client.capable(40_000, segment));
        }
    }
    engine
}

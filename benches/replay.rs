//! The two halves of `benches/replay` that need a program: a capture of any length, always the same, and what a command
//! takes.
//!
//! `replay capture OUT SEGMENTS SNAP` writes a capture: 2 000 MPTCP connections of two subflows and 500 plain ones, a quarter
//! of all in IPv6, all open at the same time, with real keys, tokens and HMACs. `replay measure COMMAND…` runs a command,
//! whose output goes nowhere, and prints its seconds, those of the processor, the exit code and the most memory that it held,
//! in KiB.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench reads the clock and prints")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mpgate::mptcp::hmac::{self, JoinSide};
use mpgate::mptcp::option::{Capable, CapableFlags, DataNumber, Dss, Join, Mapping};
use mpgate::mptcp::{Key, MptcpOption, Nonce, Version};
use mpgate::script::packet::Draft;
use mpgate::wire::{Endpoint, Flow, Segment};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use pcap_file::pcap::{PcapHeader, PcapWriter, RawPcapPacket};

const CONNECTIONS: u64 = 2000;
const PLAIN: u64 = 500;

/// What an Ethernet frame carries at most of a connection with timestamps and DSS.
const PAYLOAD: u16 = 1388;

/// Between two segments of the capture: 50 000 a second.
const GAP: Duration = Duration::from_micros(20);

/// How long the handshakes of the two subflows are, in rounds.
const OPENING: u64 = 6;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["capture", out, segments, snap] => {
            capture(Path::new(out), segments.parse().unwrap(), snap.parse().unwrap());
        }
        ["measure", program, args @ ..] => measure(program, args),
        _ => println!("benches/replay runs this"),
    }
}

fn measure(program: &str, args: &[&str]) {
    let began = Instant::now();
    let status =
        Command::new(program).args(args).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    let secs = began.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let micros = [usage.user_time(), usage.system_time()].map(|time| time.num_microseconds());
    let busy = Duration::from_micros(micros.iter().sum::<i64>().try_into().unwrap()).as_secs_f64();
    println!("{secs} {busy} {} {}", status.code().unwrap_or(-1), usage.max_rss());
}

fn capture(out: &Path, segments: u64, snap: usize) {
    let header = PcapHeader { snaplen: u32::try_from(snap).unwrap(), ..PcapHeader::default() };
    let mut writer = PcapWriter::with_header(BufWriter::new(File::create(out).unwrap()), header).unwrap();
    let rounds = segments / (CONNECTIONS + PLAIN);
    let turns = (0..rounds).flat_map(|round| (0..CONNECTIONS + PLAIN).map(move |number| (round, number)));
    for (at, (round, number)) in (0_u32..).zip(turns) {
        let host = Host { number, rounds };
        let packet = if number < CONNECTIONS { host.mptcp(round) } else { host.plain(round) };
        write(&mut writer, GAP * at, &packet.build().unwrap(), snap);
    }
    writer.into_writer().flush().unwrap();
}

fn write(writer: &mut PcapWriter<BufWriter<File>>, at: Duration, packet: &[u8], snap: usize) {
    let ether_type: &[u8] = if packet.first().unwrap() >> 4 == 4 { &[0x08, 0x00] } else { &[0x86, 0xdd] };
    let frame = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], ether_type, packet].concat();
    let kept = frame.get(..snap).unwrap_or(&frame);
    let record = RawPcapPacket {
        ts_sec: 1_700_000_000 + u32::try_from(at.as_secs()).unwrap(),
        ts_frac: at.subsec_micros(),
        incl_len: u32::try_from(kept.len()).unwrap(),
        orig_len: u32::try_from(frame.len()).unwrap(),
        data: kept.into(),
    };
    writer.write_raw_packet(&record).unwrap();
}

/// A client by its number, with one connection; it lives for so many rounds, and sends or is sent a segment in each.
#[derive(Clone, Copy)]
struct Host {
    number: u64,
    rounds: u64,
}

impl Host {
    /// The flow from the client; its second subflow starts at another of its addresses.
    fn flow(self, subflow: u64) -> Flow {
        let [.., high, low] = self.number.to_be_bytes();
        let net = u8::try_from(subflow + 1).unwrap();
        let (src, dst): (IpAddr, IpAddr) = if self.number % 4 == 3 {
            let host = u16::from_be_bytes([high, low]);
            (
                [0x2001, 0xdb8, net.into(), 0, 0, 0, 0, host].into(),
                [0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1].into(),
            )
        } else {
            ([10, net, high, low].into(), [192, 0, 2, 1].into())
        };
        let port = 40_000 + u16::try_from(self.number % 20_000).unwrap();
        Flow { src: Endpoint { addr: src, port }, dst: Endpoint { addr: dst, port: 443 } }
    }

    /// The keys of client and server.
    fn keys(self) -> [Key; 2] {
        // Any odd factor spreads the numbers over all 64 bits.
        [1, 2].map(|side| Key((self.number * 4 + side).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()))
    }

    fn sides(self) -> [JoinSide; 2] {
        self.keys()
            .map(|key| JoinSide { key, nonce: Nonce(u32::try_from(self.number).unwrap() ^ 0x5bd1_e995) })
    }

    /// The segment of that round: two handshakes, then data on both subflows in turn, each acknowledged, then the end.
    fn mptcp(self, round: u64) -> Draft {
        let [client, server] = self.keys();
        let capable = |sender_key, receiver_key| {
            let flags = CapableFlags(1);
            MptcpOption::Capable(Capable { version: 1, flags, sender_key, receiver_key, data: None })
        };
        let [prover, verifier] = self.sides();
        match round {
            0 => self.segment(0, Segment::Syn).with(&capable(None, None)),
            1 => self.segment(0, Segment::SynAck).with(&capable(Some(server), None)),
            2 => self.segment(0, Segment::Ack).with(&capable(Some(client), Some(server))),
            3 => self.segment(1, Segment::Syn).with(&MptcpOption::Join(Join::Syn {
                backup: false,
                address_id: 1,
                token: server.token(Version::V1),
                nonce: prover.nonce,
            })),
            4 => self.segment(1, Segment::SynAck).with(&MptcpOption::Join(Join::SynAck {
                backup: false,
                address_id: 0,
                hmac: *hmac::join(Version::V1, verifier, prover).first_chunk().unwrap(),
                nonce: verifier.nonce,
            })),
            5 => self
                .segment(1, Segment::Ack)
                .with(&MptcpOption::Join(Join::Ack { hmac: hmac::join(Version::V1, prover, verifier) })),
            _ => self.data(round - OPENING),
        }
    }

    /// Two segments of data and their acknowledgment on one subflow, then the same on the other.
    fn data(self, step: u64) -> Draft {
        let [client, server] = self.keys().map(|key| key.idsn(Version::V1).0);
        let (turn, place) = (step / 3, step % 3);
        let subflow = turn % 2;
        let behind = |segments: u64| segments * u64::from(PAYLOAD) + 1;
        let dsn = client.wrapping_add(behind(turn * 2 + place));
        let ssn = u32::try_from(behind(turn / 2 * 2 + place) % (1 << 32)).unwrap();
        let dss = |data_ack: u64, mapping| {
            MptcpOption::Dss(Dss { data_fin: false, data_ack: Some(DataNumber::Long(data_ack)), mapping })
        };
        if step == self.rounds - OPENING - 1 {
            return self
                .segment(subflow, Segment::Fin)
                .with_seq(ssn)
                .with(&dss(server.wrapping_add(1), None));
        }
        if place == 2 {
            let ack = self.segment(subflow, Segment::Ack).with(&dss(dsn, None));
            return Draft { flow: ack.flow.reversed(), seq: 1, ack: ssn, ..ack };
        }
        let mapping = Mapping { dsn: DataNumber::Long(dsn), ssn, len: PAYLOAD, checksum: None };
        self.segment(subflow, Segment::Data)
            .with(&dss(server.wrapping_add(1), Some(mapping)))
            .with_seq(ssn)
            .with_payload(PAYLOAD.into())
    }

    fn plain(self, round: u64) -> Draft {
        let ssn = u32::try_from(round * u64::from(PAYLOAD) % (1 << 32)).unwrap();
        match round {
            0 => self.segment(0, Segment::Syn),
            1 => self.segment(0, Segment::SynAck),
            2 => self.segment(0, Segment::Ack),
            _ if round == self.rounds - 1 => self.segment(0, Segment::Fin),
            _ if round % 3 == 2 => {
                let ack = self.segment(0, Segment::Ack);
                Draft { flow: ack.flow.reversed(), seq: 1, ack: ssn, ..ack }
            }
            _ => self.segment(0, Segment::Data).with_seq(ssn).with_payload(PAYLOAD.into()),
        }
    }

    /// A segment with the options that each one has: timestamps, and what SYNs agree on.
    fn segment(self, subflow: u64, segment: Segment) -> Draft {
        let flow = self.flow(subflow);
        let flow = if segment == Segment::SynAck { flow.reversed() } else { flow };
        let (seq, agreed): (u32, &[u8]) = match segment {
            Segment::Syn | Segment::SynAck => {
                (0, &[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7])
            }
            Segment::Ack | Segment::Data | Segment::Fin | Segment::Rst => {
                (1, &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2])
            }
        };
        Draft::new(flow, segment).with_seq(seq).with_raw(agreed)
    }
}

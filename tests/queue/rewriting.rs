//! Segments with data that are rewritten: the gate sees the first bytes alone, until it asks for the rest.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use etherparse::PacketBuilder;
use mpgate::attach::{Hook, QueueMode};
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::inside;
use crate::world::{Gate, PORT, QUEUE, SERVER, World, plan, queued};

const NO_PRIO: &str = "[[rule]]\nname = \"no-prio\"\noption = \"mp_prio\"\naction = \"strip\"\n";

/// MP_PRIO, to a length of four by a NOP.
const PRIO: [u8; 4] = [30, 3, 0x51, 1];

/// Far more than the gate looks at.
const PAYLOAD: usize = 1200;

/// A segment with data and MP_PRIO.
fn segment(src: IpAddr, dst: IpAddr, payload: &[u8]) -> Vec<u8> {
    let ip = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => PacketBuilder::ipv4(src.octets(), dst.octets(), 64),
        (IpAddr::V6(src), IpAddr::V6(dst)) => PacketBuilder::ipv6(src.octets(), dst.octets(), 64),
        _ => unreachable!("the two are of one family"),
    };
    let mut bytes = Vec::new();
    let tcp = ip.tcp(40_001, PORT, 77, 1000).ack(5).options_raw(&PRIO).unwrap();
    tcp.write(&mut bytes, payload).unwrap();
    bytes
}

/// What arrives of `packets` at the server, from the TCP header on.
fn pass(world: &World, dst: IpAddr, packets: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let to = SocketAddr::new(dst, 0);
    let raw = |protocol| Socket::new(Domain::for_address(to), Type::RAW, Some(protocol)).unwrap();
    let receiver = inside(&world.server(), || raw(Protocol::TCP));
    let sender = inside(&world.client(), || raw(Protocol::from(255)));
    receiver.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    for packet in packets {
        sender.send_to(packet, &to.into()).unwrap();
    }
    // IPv4 comes with its header, IPv6 without.
    let header = if dst.is_ipv4() { 20 } else { 0 };
    let mut buffer = [0; 2048];
    let mut next = || (&receiver).read(&mut buffer).ok().map(|len| buffer.get(header..len).unwrap().to_vec());
    std::iter::from_fn(&mut next)
        .filter(|tcp| tcp.starts_with(&40_001_u16.to_be_bytes()))
        .take(packets.len())
        .collect()
}

#[test]
fn data_loses_its_option_and_no_byte_and_keeps_its_place() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let gate = Gate::with_rules(&ns, QUEUE, NO_PRIO);
    let attached = inside(&ns, || plan(Hook::Forward, QueueMode::Strict).install()).unwrap();
    for (src, dst) in [("10.0.1.2", SERVER[0]), ("fd00:1::2", SERVER[1])] {
        let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
        let payloads: Vec<Vec<u8>> = (0..100_u8).map(|number| vec![number; PAYLOAD]).collect();
        let packets: Vec<_> = payloads.iter().map(|payload| segment(src, dst, payload)).collect();
        let arrived = pass(&world, dst, &packets);
        assert_eq!(arrived.len(), packets.len(), "{dst}");
        for (tcp, payload) in arrived.iter().zip(&payloads) {
            assert_eq!(tcp[20..24], [1, 1, 1, 1], "{dst}: the option is NOPs");
            assert_eq!(tcp[24..], payload[..], "{dst}");
            assert_eq!(checksum(src, dst, tcp), 0, "{dst}");
        }
    }
    assert_eq!(gate.counted("mpgate_verdicts_total{reason=\"rule\",verdict=\"strip\"}"), 200.0);
    assert_eq!(
        gate.counted("mpgate_packets_total"),
        f64::from(u32::try_from(queued(&ns).0).unwrap()),
        "each was decided once"
    );
    assert_eq!(gate.counted("mpgate_queue_errors_total"), 0.0);
    inside(&ns, || attached.detach()).unwrap();
}

/// 0 where the checksum is right.
fn checksum(src: IpAddr, dst: IpAddr, tcp: &[u8]) -> u16 {
    let (header, payload) = etherparse::TcpHeader::from_slice(tcp).unwrap();
    let right = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            header.calc_checksum_ipv4_raw(src.octets(), dst.octets(), payload)
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            header.calc_checksum_ipv6_raw(src.octets(), dst.octets(), payload)
        }
        _ => unreachable!("the two are of one family"),
    };
    right.unwrap() ^ header.checksum
}

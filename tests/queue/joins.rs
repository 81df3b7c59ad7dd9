//! Joins that a real kernel would answer, and must not see.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use etherparse::PacketBuilder;
use mpgate::attach::{Hook, QueueMode};
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::{inside, wait};
use crate::world::{Gate, PORT, Place, QUEUE, SERVER, World, mptcp_counter, plan, queued};

/// A SYN with MP_JOIN and a made-up token, with a checksum, as an attacker would send it.
pub(crate) fn join_syn(src: IpAddr, dst: IpAddr) -> Vec<u8> {
    let join = [30, 12, 0x10, 1, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4];
    let ip = match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => PacketBuilder::ipv4(src.octets(), dst.octets(), 64),
        (IpAddr::V6(src), IpAddr::V6(dst)) => PacketBuilder::ipv6(src.octets(), dst.octets(), 64),
        _ => unreachable!("the two are of one family"),
    };
    let mut bytes = Vec::new();
    ip.tcp(40_000, PORT, 77, 1000).syn().options_raw(&join).unwrap().write(&mut bytes, &[]).unwrap();
    bytes
}

/// Sends `packet` from the client, and waits a second for a RST with MP_TCPRST to port 40000; its reason.
fn reset_to(ns: &str, packet: &[u8], src: IpAddr, dst: IpAddr) -> Option<u8> {
    let domain = Domain::for_address(SocketAddr::new(dst, 0));
    let (sender, receiver) = inside(ns, || {
        let raw = |protocol| Socket::new(domain, Type::RAW, Some(protocol)).unwrap();
        (raw(Protocol::from(255)), raw(Protocol::TCP))
    });
    receiver.bind(&SocketAddr::new(src, 0).into()).unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    sender.send_to(packet, &SocketAddr::new(dst, 0).into()).unwrap();
    let mut buffer = [0; 200];
    loop {
        let read = (&receiver).read(&mut buffer).ok()?;
        // IPv4 comes with its header, IPv6 without.
        let tcp = buffer.get(if src.is_ipv4() { 20 } else { 0 }..read)?;
        let (&flags, option) = (tcp.get(13)?, tcp.get(20..24));
        if tcp.get(2..4) == Some(&40_000_u16.to_be_bytes()) && flags & 4 != 0 {
            return option
                .filter(|option| option.starts_with(&[30, 4, 0x80]))
                .and_then(|option| option.last().copied());
        }
    }
}

#[test]
fn a_join_with_a_made_up_token_is_reset_once_and_never_reaches_the_server() {
    let places: [Place; 2] = [(Hook::Forward, World::router), (Hook::Input, World::server)];
    for (hook, place) in places {
        let Some(world) = World::new() else { return };
        let ns = place(&world);
        let gate = Gate::start(&ns, QUEUE);
        let attached = inside(&ns, || plan(hook, QueueMode::Control).install()).unwrap();
        for (src, dst) in [("10.0.1.2", SERVER[0]), ("fd00:1::2", SERVER[1])] {
            let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
            let reason = reset_to(&world.client(), &join_syn(src, dst), src, dst);
            assert_eq!(reason, Some(1), "{hook:?} {dst}: MPTCP-specific error");
        }
        wait(Duration::from_millis(50));
        assert_eq!(gate.counted("mpgate_resets_sent_total{reason=\"mptcp_error\"}"), 2.0);
        assert_eq!(queued(&ns).0, 2, "{hook:?}: the resets skip the queue");
        assert_eq!(mptcp_counter(&world.server(), "MPJoinNoTokenFound"), 0, "{hook:?}");
        inside(&ns, || attached.detach()).unwrap();
    }
}

//! Joins that a real kernel would answer, and must not see.

use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use etherparse::PacketBuilder;
use mpgate::attach::{Hook, QueueMode};
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::{inside, wait};
use crate::world::{Gate, Listener, PORT, Place, QUEUE, SERVER, World, mptcp_counter, plan, queued};

/// MP_JOIN with a made-up token.
const JOIN: [u8; 12] = [30, 12, 0x10, 1, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4];

/// A SYN with MP_JOIN and a made-up token, with a checksum, as an attacker would send it.
pub(crate) fn join_syn(src: IpAddr, dst: IpAddr) -> Vec<u8> {
    syn(src, SocketAddr::new(dst, PORT), &JOIN)
}

fn syn(src: IpAddr, dst: SocketAddr, options: &[u8]) -> Vec<u8> {
    let ip = match (src, dst.ip()) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => PacketBuilder::ipv4(src.octets(), dst.octets(), 64),
        (IpAddr::V6(src), IpAddr::V6(dst)) => PacketBuilder::ipv6(src.octets(), dst.octets(), 64),
        _ => unreachable!("the two are of one family"),
    };
    let mut bytes = Vec::new();
    ip.tcp(40_000, dst.port(), 77, 1000).syn().options_raw(options).unwrap().write(&mut bytes, &[]).unwrap();
    bytes
}

fn send_raw(ns: &str, packet: &[u8], dst: IpAddr) {
    let to = SocketAddr::new(dst, 0);
    let socket = || Socket::new(Domain::for_address(to), Type::RAW, Some(Protocol::from(255)));
    inside(ns, socket).unwrap().send_to(packet, &to.into()).unwrap();
}

/// Sends `packet` from the client, and waits a second for a RST with MP_TCPRST to port 40000; its reason.
fn reset_to(ns: &str, packet: &[u8], src: IpAddr, dst: IpAddr) -> Option<u8> {
    let domain = Domain::for_address(SocketAddr::new(dst, 0));
    let receiver = inside(ns, || Socket::new(domain, Type::RAW, Some(Protocol::TCP))).unwrap();
    receiver.bind(&SocketAddr::new(src, 0).into()).unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    send_raw(ns, packet, dst);
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

/// The kernel's own matching knows the first MPTCP option alone, and none behind the End of Option List; Linux acts on any
/// one before it, and on none behind.
#[test]
fn joins_behind_a_decoy_or_the_end_of_the_list_reach_no_server_in_any_mode() {
    let unassigned = [[30, 4, 0xe0, 0].as_slice(), &JOIN].concat();
    let priority = [[30, 4, 0x50, 0].as_slice(), &JOIN].concat();
    let fastclose = [[30, 12, 0x70, 0, 1, 2, 3, 4, 5, 6, 7, 8].as_slice(), &JOIN].concat();
    let behind_the_end = [[0, 0, 0, 0].as_slice(), &JOIN].concat();
    let tricks = [(unassigned, true), (priority, true), (fastclose, true), (behind_the_end, false)];
    let Some(world) = World::new() else { return };
    let (ns, server) = (world.router(), world.server());
    // A socket that listens for MPTCP has the server look for the token.
    let listeners = SERVER.map(|family| Listener::start(&server, family, Protocol::MPTCP));
    let seen = || mptcp_counter(&server, "MPJoinNoTokenFound");
    let try_all = |what: &str, expected: &dyn Fn(bool) -> u64| {
        for (src, listener) in ["10.0.1.2", "fd00:1::2"].into_iter().zip(&listeners) {
            for (options, linux_acts) in &tricks {
                let before = seen();
                let packet = syn(src.parse().unwrap(), listener.addr, options);
                send_raw(&world.client(), &packet, listener.addr.ip());
                wait(Duration::from_millis(50));
                assert_eq!(seen() - before, expected(*linux_acts), "{what}, {src}, {options:02x?}");
            }
        }
    };
    try_all("no gate", &u64::from);
    let _gate = Gate::start(&ns, QUEUE);
    for mode in [QueueMode::Control, QueueMode::Strict, QueueMode::All] {
        let attached = inside(&ns, || plan(Hook::Forward, mode).install()).unwrap();
        try_all(&format!("{mode:?}"), &|_linux_acts| 0);
        inside(&ns, || attached.detach()).unwrap();
    }
}

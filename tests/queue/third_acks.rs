//! The third ACK of a join behind another MPTCP option, which is all that the kernel's own matching would see of it.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use etherparse::{PacketBuilder, TcpSlice};
use mpgate::attach::{Hook, QueueMode};
use mpgate::mptcp::hmac::{self, JoinSide};
use mpgate::mptcp::{Key, Nonce, Version};
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::{inside, run, run_in, wait};
use crate::world::{Gate, Listener, QUEUE, SERVER, World, connect, mptcp_counter, plan};

/// From here on up, ports that the client's kernel knows nothing of.
const PORTS: u16 = 40_000;

const NONCE: u32 = 0x1234_5678;

/// A DSS with a DATA_ACK of four bytes; and one of nothing behind timestamps, the only one that leaves a join room there.
const DECOYS: [&[u8]; 2] =
    [&[30, 8, 0x20, 1, 0, 0, 0, 0], &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 30, 4, 0x20, 0]];

/// Segments that come in at one end, and the socket by which one sends its own.
struct Wire {
    incoming: Socket,
    outgoing: Socket,
}

/// What matters of a segment.
struct Segment {
    ports: (u16, u16),
    seq: u32,
    options: Vec<u8>,
}

impl Wire {
    fn open(ns: &str, addr: IpAddr) -> Self {
        let domain = Domain::for_address(SocketAddr::new(addr, 0));
        let socket = |protocol| inside(ns, || Socket::new(domain, Type::RAW, Some(protocol))).unwrap();
        let incoming = socket(Protocol::TCP);
        incoming.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        Self { incoming, outgoing: socket(Protocol::from(255)) }
    }

    /// The next segment that `is` wanted.
    fn next(&self, is_wanted: impl Fn(&Segment) -> bool) -> Segment {
        let mut buffer = [0; 2000];
        loop {
            let read = (&self.incoming).read(&mut buffer);
            assert!(!read.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "nothing came");
            // IPv4 comes with its header, IPv6 without.
            let bytes = buffer.get(..read.unwrap()).unwrap();
            let bytes = if bytes.first() == Some(&0x45) { bytes.get(20..).unwrap() } else { bytes };
            let tcp = TcpSlice::from_slice(bytes).unwrap();
            let segment = Segment {
                ports: (tcp.source_port(), tcp.destination_port()),
                seq: tcp.sequence_number(),
                options: tcp.options().to_vec(),
            };
            if is_wanted(&segment) {
                return segment;
            }
        }
    }
}

impl Segment {
    /// The MPTCP option of that subtype, as long as its form at the end of a handshake is.
    fn option(&self, subtype: u8, len: usize) -> Option<&[u8]> {
        let begin = |bytes: &[u8]| bytes.starts_with(&[30, u8::try_from(len).unwrap()]);
        self.options
            .windows(len)
            .find(|bytes| begin(bytes) && bytes.get(2).map(|byte| byte >> 4) == Some(subtype))
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*bytes.get(at..).unwrap().first_chunk().unwrap())
}

/// What a join's third ACK proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Right,
    Forged,
}

struct Attacker<'w> {
    world: &'w World,
    src: IpAddr,
    listener: &'w Listener,
    port: u16,
}

impl Attacker<'_> {
    fn segment(&self, seq: u32, ack: Option<u32>, options: &[u8]) -> Vec<u8> {
        let ip = match (self.src, self.listener.addr.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => PacketBuilder::ipv4(src.octets(), dst.octets(), 64),
            (IpAddr::V6(src), IpAddr::V6(dst)) => PacketBuilder::ipv6(src.octets(), dst.octets(), 64),
            _ => unreachable!("the two are of one family"),
        };
        let tcp = ip.tcp(self.port, self.listener.addr.port(), seq, 64_000);
        let tcp = match ack {
            Some(ack) => tcp.ack(ack),
            None => tcp.syn(),
        };
        let mut bytes = Vec::new();
        tcp.options_raw(options).unwrap().write(&mut bytes, &[]).unwrap();
        bytes
    }

    /// Opens a connection, and joins it by hand, with the third ACK behind a decoy.
    fn join(&mut self, decoy: &[u8], proof: Proof) {
        self.port += 1;
        let (client, server) = (self.world.client(), self.world.server());
        let addr = self.listener.addr;
        let (at_client, at_server) = (Wire::open(&client, self.src), Wire::open(&server, addr.ip()));
        let connection = connect(&client, addr, Protocol::MPTCP, Duration::from_secs(3)).unwrap();
        let keys = at_server.next(|segment| segment.option(0, 20).is_some());
        let key = |at| Key(*keys.option(0, 20).unwrap().get(at..).unwrap().first_chunk().unwrap());
        let (ours, theirs) = (key(4), key(12));

        let to = SocketAddr::new(addr.ip(), 0).into();
        let send = |packet: &[u8]| at_client.outgoing.send_to(packet, &to).unwrap();
        let token = theirs.token(Version::V1).0.to_be_bytes();
        send(&self.segment(76, None, &[&[30, 12, 0x10, 1], &token[..], &NONCE.to_be_bytes()].concat()));
        let answer = at_client.next(|segment| segment.ports == (addr.port(), self.port));
        let nonce = Nonce(word(answer.option(1, 16).expect("the server answers the join"), 12));

        let side = |key, nonce| JoinSide { key, nonce };
        let mut hmac = hmac::join(Version::V1, side(ours, Nonce(NONCE)), side(theirs, nonce));
        if proof == Proof::Forged {
            hmac[19] ^= 1;
        }
        let third = [decoy, &[30, 24, 0x10, 0], &hmac].concat();
        send(&self.segment(77, Some(answer.seq.wrapping_add(1)), &third));
        wait(Duration::from_millis(50));
        drop(connection);
    }
}

#[test]
fn a_third_ack_behind_a_decoy_is_verified_in_every_mode() {
    let Some(world) = World::new() else { return };
    let (client, router, server) = (world.client(), world.router(), world.server());
    for family in ["iptables", "ip6tables"] {
        let ours = format!("--sport {PORTS}:{} --tcp-flags RST RST", PORTS + 99);
        run_in(&client, &format!("{family} -w 5 -A OUTPUT -p tcp {ours} -j DROP"));
    }
    run(&format!("ip -n {server} mptcp limits set subflow 4 add_addr_accepted 4"));
    let seen = || ["MPJoinAckRx", "MPJoinAckHMacFailure"].map(|name| mptcp_counter(&server, name));
    let listeners = SERVER.map(|family| Listener::start(&server, family, Protocol::MPTCP));
    let mut port = PORTS;
    let mut check = |what: &str, forged_arrives: u64| {
        for (src, listener) in ["10.0.1.2", "fd00:1::2"].into_iter().zip(&listeners) {
            let proofs = [(Proof::Right, [1, 0]), (Proof::Forged, [0, forged_arrives])];
            for (decoy, (proof, expected)) in
                DECOYS.into_iter().flat_map(|decoy| proofs.map(|proof| (decoy, proof)))
            {
                let mut attacker = Attacker { world: &world, src: src.parse().unwrap(), listener, port };
                let before = seen();
                attacker.join(decoy, proof);
                port = attacker.port;
                let now = seen();
                let seen_now = [now[0] - before[0], now[1] - before[1]];
                assert_eq!(seen_now, expected, "{what}, {src}, {proof:?} behind {decoy:02x?}");
            }
        }
    };
    check("no gate", 1);
    for mode in [QueueMode::Control, QueueMode::Strict, QueueMode::All] {
        let gate = Gate::start(&router, QUEUE);
        let attached = inside(&router, || plan(Hook::Forward, mode).install()).unwrap();
        check(&format!("{mode:?}"), 0);
        assert_eq!(gate.counted("mpgate_joins_total{result=\"verified\"}"), 4.0, "{mode:?}");
        inside(&router, || attached.detach()).unwrap();
    }
}

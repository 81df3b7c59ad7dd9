//! The parts of `benches/run` that need a program: who connects, who sends, who accepts, and a loop on the nfq crate alone.
//!
//! `traffic serve ADDR:PORT` accepts connections, of MPTCP too, and closes them. `traffic rate tcp|mptcp ADDR:PORT SECS` opens
//! connections from eight threads and prints how many a second; `traffic connect` does so too, opens others from one thread
//! and adds how long one takes, the median and the 99th percentile in µs. `traffic blast ADDR SECS` sends small data segments
//! as fast as a core can, and `traffic burst ADDR COUNT` so many. `traffic accept QUEUE` is the nfq crate's own example with
//! the gate's buffers.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench reads the clock and prints")]

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use etherparse::PacketBuilder;
use socket2::{Domain, Protocol, Socket, Type};

/// As many as keep two cores busy while each waits for an answer.
const THREADS: usize = 8;

/// Pairs of addresses, which the kernel spreads over queues.
const PAIRS: u8 = 64;

/// As the gate has it.
const PACKETS_MAX: u32 = 1024;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", addr] => serve(addr.parse().unwrap()),
        ["rate", protocol, addr, secs] => {
            println!("{}", rate(named(protocol), addr.parse().unwrap(), secs.parse().unwrap()));
        }
        ["connect", protocol, addr, secs] => {
            connect(named(protocol), addr.parse().unwrap(), secs.parse().unwrap());
        }
        ["blast", addr, secs] => {
            let (began, span) = (Instant::now(), Duration::from_secs_f64(secs.parse().unwrap()));
            blast(addr.parse().unwrap(), |_sent| began.elapsed() < span);
        }
        ["burst", addr, count] => {
            let count: usize = count.parse().unwrap();
            blast(addr.parse().unwrap(), |sent| sent < count);
        }
        ["accept", queue] => accept(queue.parse().unwrap()),
        _ => println!("benches/run runs this"),
    }
}

fn stream(protocol: Protocol) -> Socket {
    Socket::new(Domain::IPV4, Type::STREAM, Some(protocol)).unwrap()
}

fn serve(addr: SocketAddr) {
    let listener = stream(Protocol::MPTCP);
    listener.set_reuse_address(true).unwrap();
    listener.bind(&addr.into()).unwrap();
    listener.listen(4096).unwrap();
    let accepting = || {
        while let Ok((client, _)) = listener.accept() {
            drop(client);
        }
    };
    thread::scope(|scope| {
        scope.spawn(accepting);
        scope.spawn(accepting);
    });
}

fn named(protocol: &str) -> Protocol {
    if protocol == "mptcp" { Protocol::MPTCP } else { Protocol::TCP }
}

fn rate(protocol: Protocol, addr: SocketAddr, secs: f64) -> f64 {
    let span = Duration::from_secs_f64(secs);
    let opened: usize = thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| scope.spawn(|| open(protocol, addr, span).len()));
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    });
    f64::from(u32::try_from(opened).unwrap()) / secs
}

fn connect(protocol: Protocol, addr: SocketAddr, secs: f64) {
    let rate = rate(protocol, addr, secs);
    let mut took = open(protocol, addr, Duration::from_secs_f64(secs));
    took.sort_unstable();
    let at =
        |percent: usize| took.get(took.len().saturating_sub(1) * percent / 100).unwrap().as_secs_f64() * 1e6;
    println!("{rate} {:.2} {:.2}", at(50), at(99));
}

/// Opens connections one after the other for that long: how long each took. A RST ends them, so that no port stays taken.
fn open(protocol: Protocol, addr: SocketAddr, span: Duration) -> Vec<Duration> {
    let began = Instant::now();
    let mut took = Vec::new();
    while began.elapsed() < span {
        let socket = stream(protocol);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        let asked = Instant::now();
        match socket.connect(&addr.into()) {
            Ok(()) => took.push(asked.elapsed()),
            // The port was still known from the connection before; any other failure would falsify the rate.
            Err(error)
                if matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::ConnectionReset) => {}
            failed => failed.unwrap(),
        }
    }
    took
}

/// Data of MPTCP connections between several pairs of addresses that nobody has, as long as `more` are wanted.
fn blast(to: Ipv4Addr, more: impl Fn(usize) -> bool) {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).unwrap();
    let [a, b, c, _] = to.octets();
    let packets: Vec<_> = (0..PAIRS)
        .map(|pair| {
            // DSS with a DATA_ACK.
            let dss = [30, 8, 0x20, 0x01, 0, 0, 0, 7];
            let tcp =
                PacketBuilder::ipv4([10, 1, 0, pair], [a, b, c, pair], 64).tcp(40_000, 443, 1000, 65_000);
            let mut bytes = Vec::new();
            tcp.ack(2000).options_raw(&dss).unwrap().write(&mut bytes, &[7; 64]).unwrap();
            (SocketAddr::from(([a, b, c, pair], 0)).into(), bytes)
        })
        .collect();
    let mut sent = 0;
    while more(sent) {
        for (to, bytes) in &packets {
            sent += usize::from(socket.send_to(bytes, to).is_ok());
        }
    }
}

fn accept(number: u16) {
    let mut queue = nfq::Queue::open().unwrap();
    queue.bind(number).unwrap();
    queue.set_copy_range(number, u16::MAX).unwrap();
    queue.set_recv_gso(number, true).unwrap();
    queue.set_queue_max_len(number, PACKETS_MAX).unwrap();
    println!("ready");
    loop {
        // What came while the queue was set up, or a full buffer, is no reason to end.
        if let Ok(mut message) = queue.recv() {
            message.set_verdict(nfq::Verdict::Accept);
            queue.verdict(message).ok();
        }
    }
}

//! The parts of `benches/run` that need a program: who connects, who sends, who accepts, and a loop on the nfq crate alone.
//!
//! `traffic serve ADDR:PORT` accepts connections, of MPTCP too, and closes them. `traffic rate tcp|mptcp ADDR:PORT SECS` opens
//! connections from eight threads and prints how many a second; `traffic connect` does so too, opens others from one thread
//! and adds how long one takes, the median and the 99th percentile in µs. `traffic blast ADDR SECS` sends small data segments
//! as fast as a core can, and `traffic burst ADDR COUNT` so many. `traffic accept QUEUE` is the nfq crate's own example with
//! the gate's buffers.
//!
//! `traffic race-rate tcp|mptcp SECS ADDR:PORT ADDR:PORT` opens connections to two addresses, each in turn; `traffic race-bulk
//! tcp|mptcp FLOWS BYTES SECS ADDR:PORT ADDR:PORT` sends so many bytes on each of so many connections that stay, to what `traffic
//! sink ADDR:PORT` reads. They print a line for each two turns: thousands a second, or Gbit.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a bench reads the clock and prints")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use etherparse::PacketBuilder;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};

/// As many as keep two cores busy while each waits for an answer. As many accept: two fell behind at times, until a backlog of
/// 4096 was full, and all who asked then waited for a second.
const THREADS: usize = 8;

/// Pairs of addresses, which the kernel spreads over queues.
const PAIRS: u8 = 64;

/// A turn of a race in which connections open: a thousand and more.
const OPENING: Duration = Duration::from_millis(100);

/// Pairs of turns of a race that do not count: windows grow, and the gate gets to know the connections.
const WARMING: usize = 2;

/// What a sender hands over at once.
static HANDFUL: [u8; 1 << 17] = [7; 1 << 17];

/// What a sender waits for; a race in which nothing moves for so long has failed.
const STALLED: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

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
        ["sink", addr] => sink(addr.parse().unwrap()),
        ["race-rate", protocol, secs, one, other] => {
            let addrs: [SocketAddr; 2] = [one, other].map(|addr| addr.parse().unwrap());
            race(secs.parse().unwrap(), |side| {
                rate(named(protocol), addrs[side], OPENING.as_secs_f64()) / 1000.0
            });
        }
        ["race-bulk", protocol, flows, bytes, secs, one, other] => {
            let (flows, bytes): (usize, usize) = (flows.parse().unwrap(), bytes.parse().unwrap());
            let mut sides = [one, other].map(|addr| {
                let addr: SocketAddr = addr.parse().unwrap();
                (0..flows).map(|_flow| Flow::open(named(protocol), addr, bytes)).collect::<Vec<_>>()
            });
            let gbit = f64::from(u32::try_from(flows * bytes).unwrap()) * 8e-9;
            race(secs.parse().unwrap(), |side| {
                let began = Instant::now();
                send(&mut sides[side], bytes);
                gbit / began.elapsed().as_secs_f64()
            });
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
    // An error is of a connection that ended before it was accepted: the next one comes all the same (accept(2)).
    let accepting = || {
        loop {
            drop(listener.accept());
        }
    };
    thread::scope(|scope| {
        for _thread in 0..THREADS {
            scope.spawn(accepting);
        }
    });
}

fn named(protocol: &str) -> Protocol {
    if protocol == "mptcp" { Protocol::MPTCP } else { Protocol::TCP }
}

fn rate(protocol: Protocol, addr: SocketAddr, secs: f64) -> f64 {
    let (began, span) = (Instant::now(), Duration::from_secs_f64(secs));
    let opened: usize = thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| scope.spawn(|| open(protocol, addr, span).len()));
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    });
    f64::from(u32::try_from(opened).unwrap()) / began.elapsed().as_secs_f64()
}

/// Two sides in turns for that long: what each of two turns came to, on a line.
fn race(secs: f64, mut turn: impl FnMut(usize) -> f64) {
    let (began, span) = (Instant::now(), Duration::from_secs_f64(secs));
    let mut turns = 0;
    while began.elapsed() < span {
        let first = turns % 2;
        let mut came_to = [0.0; 2];
        for side in [first, 1 - first] {
            came_to[side] = turn(side);
        }
        turns += 1;
        if turns > WARMING {
            println!("{} {}", came_to[0], came_to[1]);
        }
    }
}

/// A connection on which each so many bytes are answered by one. All of one end are served by one thread, which asks anew
/// each time which of them are ready: threads that wait in `read` and `write`, and edge-triggered epoll, are not woken at times
/// by MPTCP of this kernel (6.18), and wait for a second.
struct Flow {
    socket: Socket,
    /// Of these bytes.
    left: usize,
}

impl Flow {
    fn open(protocol: Protocol, addr: SocketAddr, bytes: usize) -> Self {
        let mut socket = stream(protocol);
        socket.connect(&addr.into()).unwrap();
        socket.write_all(&bytes.to_be_bytes()).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, left: 0 }
    }
}

/// Until so many bytes arrived on each.
fn send(flows: &mut [Flow], bytes: usize) {
    flows.iter_mut().for_each(|flow| flow.left = bytes);
    let mut arriving: Vec<&mut Flow> = flows.iter_mut().collect();
    while !arriving.is_empty() {
        let asked = arriving.iter().map(|flow| (&flow.socket, flow.left > 0));
        let mut ready = waited(asked, Some(&STALLED)).into_iter();
        assert!(ready.as_slice().contains(&true), "nothing moved for {} s", STALLED.tv_sec);
        arriving.retain_mut(|flow| {
            if !ready.next().unwrap() {
                return true;
            }
            if flow.left == 0 {
                flow.socket.read_exact(&mut [0]).unwrap();
                return false;
            }
            flow.left -= flow.socket.write(&HANDFUL[..flow.left.min(HANDFUL.len())]).unwrap();
            true
        });
    }
}

/// Waits until one of the sockets can be read, or written where that is said, or for so long at most: which can.
fn waited<'a>(sockets: impl Iterator<Item = (&'a Socket, bool)>, most: Option<&Timespec>) -> Vec<bool> {
    let mut asked: Vec<_> = sockets
        .map(|(socket, write)| PollFd::new(socket, if write { PollFlags::OUT } else { PollFlags::IN }))
        .collect();
    poll(&mut asked, most).unwrap();
    asked.iter().map(|socket| !socket.revents().is_empty()).collect()
}

fn sink(addr: SocketAddr) {
    let listener = stream(Protocol::MPTCP);
    listener.set_reuse_address(true).unwrap();
    listener.bind(&addr.into()).unwrap();
    listener.listen(64).unwrap();
    let mut flows: Vec<(Flow, usize)> = Vec::new();
    let mut handful = vec![0; 1 << 20];
    loop {
        let sockets = flows.iter().map(|(flow, _bytes)| &flow.socket).chain([&listener]);
        let mut ready = waited(sockets.map(|socket| (socket, false)), None).into_iter();
        flows.retain_mut(|(flow, bytes)| {
            if !ready.next().unwrap() {
                return true;
            }
            let most = flow.left.min(handful.len());
            let read = flow.socket.read(&mut handful[..most]).unwrap_or(0);
            flow.left -= read;
            if flow.left == 0 {
                flow.left = *bytes;
                flow.socket.write_all(&[1]).unwrap();
            }
            read > 0
        });
        if ready.next().unwrap() {
            let (mut socket, _) = listener.accept().unwrap();
            let mut bytes = [0; size_of::<usize>()];
            socket.read_exact(&mut bytes).unwrap();
            let bytes = usize::from_be_bytes(bytes);
            flows.push((Flow { socket, left: bytes }, bytes));
        }
    }
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
    let (mut took, mut refused) = (Vec::new(), false);
    while began.elapsed() < span {
        let socket = stream(protocol);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        let asked = Instant::now();
        match socket.connect(&addr.into()) {
            Ok(()) => took.push(asked.elapsed()),
            // The port was still known from the connection before; any other failure would falsify the rate.
            Err(error)
                if matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::ConnectionReset) => {}
            // One in some millions is, nobody knows why; a server that is gone, or a gate that rejects, refuses the next one too.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && !refused => refused = true,
            failed => failed.unwrap(),
        }
    }
    assert!(!took.is_empty(), "no connection was opened");
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

//! What a reload does to the packets: 50 000 a second through a gate on a real NFQUEUE, whose 10 000 rules and 100 000
//! prefixes are replaced meanwhile.
//!
//! `sudo -E cargo bench --bench reload`, about two and a half minutes; only the figures of a machine that does nothing else
//! count. `-- --json` prints what each turn measured instead, a row a line.
//!
//! In each round the packets pass a router without a gate, one with a gate, one with a gate that reloads, and one with
//! a gate that reloads with workers of ordinary priority; so what the harness adds shows beside what the gate adds, and what
//! the workers' priority takes away. A packet carries its number and the time right before it was sent; the
//! kernel stamps its arrival in the receiver's namespace, so that the receiver's own schedule does not count. The sender
//! stands for a network card, whose interrupts wait for no thread, and so has a real-time priority. Where it comes too late
//! all the same, what was due is sent later, and told as a slip: then its processor stood still. Packets that were on their
//! way meanwhile, or whose sending was interrupted between stamp and call, are told as held: they must arrive, and their
//! longest delay is told, but beside the others'.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "a bench that cannot go on has failed, and tells a person; its numbers are its own"
)]

#[expect(dead_code, reason = "tests wait, too, and run programs in namespaces")]
#[path = "../tests/netns/mod.rs"]
mod netns;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use etherparse::PacketBuilder;
use netns::{inside, run, sysctl};
use nix::cmsg_space;
use nix::sys::socket::sockopt::{ReceiveTimestampns, RxqOvfl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use rustix::thread::{ClockId, Timespec, clock_nanosleep_absolute, set_current_timer_slack};
use rustix::time::clock_gettime;
use serde_json::json;
use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;
use thread_priority::unix::{RealtimeThreadSchedulePolicy, ThreadSchedulePolicy};
use thread_priority::{ThreadPriority, set_thread_priority_and_policy, thread_native_id};
use tokio::signal::unix::{SignalKind, signal};

/// What is asked: so many packets a second,
const RATE: u64 = 50_000;
/// so many rules,
const RULES: usize = 10_000;
/// so many prefixes in rules and sets together,
const PREFIXES: usize = 100_000;
/// no packet lost, and none later than this.
const DELAY_MAX: u64 = 5 * MILLI;

/// Turns of each kind, of which the medians are taken.
const ROUNDS: usize = 5;
/// How long a turn sends.
const TURN: u64 = 5 * SECOND;
/// When in a turn the rules are replaced. A reload ends well before the next one.
const REPLACED_AT: [u64; 3] = [SECOND / 2, 2 * SECOND, 7 * SECOND / 2];

/// Two, for the two cores: one worker alone decides the packets as well, but those behind it wait whenever its core is
/// taken; of two queues each worker takes whichever core is free.
const QUEUES: &str = "0-1";

/// Packets that are due together: a sender that woke for each would need a core for itself.
const BURST: u64 = 5;
/// A sender that is later than this has slipped; it does not make up for it, since a burst of all that was due is no
/// longer the rate that was asked.
const SLIP: u64 = MILLI;

const SECOND: u64 = 1_000_000_000;
const MILLI: u64 = 1_000_000;

/// Prefixes that a rule names itself; the others are in sets.
const OWN: usize = 8;
const SETS: usize = 200;

/// Nobody has these addresses: the receiver's namespace takes the packets and answers nothing.
const TO: [u8; 3] = [198, 51, 100];
/// Pairs of addresses, which the kernel spreads over the queues.
const PAIRS: u8 = 64;
/// The first bytes of each payload.
const MAGIC: [u8; 8] = *b"mpgbench";
/// Payload: the magic, number, time, and the complements of both, so that the checksum is always the same.
const PAYLOAD: usize = 40;

const GATE: &str = env!("CARGO_BIN_EXE_mpgate");

/// Whether ^C was pressed.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    if !geteuid().is_root() {
        eprintln!(
            "reload: needs root for network namespaces and NFQUEUE: sudo -E cargo bench --bench reload"
        );
        return ExitCode::from(2);
    }
    thread::spawn(catch_interrupt);
    let world = World::new();
    let mut turns: BTreeMap<Kind, Vec<Turn>> = BTreeMap::new();
    let json = std::env::args().any(|argument| argument == "--json");
    if !json {
        println!(
            "{RATE} packets/s for {} s a turn, {ROUNDS} rounds; {RULES} rules with {PREFIXES} prefixes; queues {QUEUES}\n\n{}",
            TURN / SECOND,
            Turn::HEAD
        );
    }
    for round in 0..ROUNDS {
        for kind in Kind::EACH {
            let turn = world.turn(kind);
            if INTERRUPTED.load(Ordering::Relaxed) {
                eprintln!("interrupted");
                return ExitCode::from(130);
            }
            if json {
                turn.rows(kind, round);
            } else {
                println!("{}", turn.line(kind));
            }
            turns.entry(kind).or_default().push(turn);
        }
    }
    if json || conclude(&turns) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says what was asked and what was measured, and whether it was kept.
fn conclude(turns: &BTreeMap<Kind, Vec<Turn>>) -> bool {
    let of = |kind, what: fn(&Turn) -> u64| turns[&kind].iter().map(what).collect::<Vec<_>>();
    println!("\nmedian delay  no gate      gate    reload  reload/gate  reload, ordinary priority");
    let what: [fn(&Turn) -> u64; 3] = [|turn| turn.p50, |turn| turn.p99, |turn| turn.max];
    for (name, what) in ["p50", "p99", "max"].into_iter().zip(what) {
        let [none, gate, reload, ordinary] = Kind::EACH.map(|kind| median(of(kind, what)));
        println!(
            "{name:>12}  {}  {}  {}  {:>11.2}  {}",
            micros(none),
            micros(gate),
            micros(reload),
            ratio(reload, gate),
            micros(ordinary)
        );
    }
    let reloads: Vec<_> = turns[&Kind::Reload].iter().flat_map(|turn| turn.reloads.iter().copied()).collect();
    let loading: Vec<_> = turns[&Kind::Reload].iter().flat_map(|turn| turn.loading.iter().copied()).collect();
    let (sent, lost) = (of(Kind::Reload, |turn| turn.sent), of(Kind::Reload, |turn| turn.lost));
    let max = of(Kind::Reload, |turn| turn.max).into_iter().max().unwrap();
    let held: u64 = of(Kind::Reload, |turn| turn.held).into_iter().sum();
    let held_max = of(Kind::Reload, |turn| turn.held_max).into_iter().max().unwrap();
    let undecided: u64 = of(Kind::Reload, |turn| turn.undecided).into_iter().sum();
    let (sent, lost): (u64, u64) = (sent.iter().sum(), lost.iter().sum());
    println!(
        "\n{} reloads: from the files' change to rules in force {} ms (median), of which 200 ms are waited for the writer\n\
         and {} ms taken to read and compile, at the lowest priority",
        reloads.len(),
        median(reloads) / MILLI,
        median(loading),
    );
    let kept = lost == 0 && undecided == 0 && max <= DELAY_MAX;
    println!(
        "\nasked     0 lost, none delayed by more than {} ms, at {RATE} packets/s\n\
         measured  {lost} lost and {undecided} undecided of {sent}, the longest delay {:.3} ms (of {held} held ones {:.3} ms), \
         at {} packets/s: {}",
        DELAY_MAX / MILLI,
        ratio(max, MILLI),
        ratio(held_max, MILLI),
        median(of(Kind::Reload, |turn| turn.rate)),
        if kept { "kept" } else { "NOT kept" },
    );
    kept
}

/// What stands between the sender and the receiver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A router.
    NoGate,
    /// A router with a gate.
    Gate,
    /// A router with a gate that reloads.
    Reload,
    /// The same, and its workers' priority is that of other programs.
    Ordinary,
}

impl Kind {
    const EACH: [Self; 4] = [Self::NoGate, Self::Gate, Self::Reload, Self::Ordinary];

    const fn name(self) -> &'static str {
        match self {
            Self::NoGate => "no gate",
            Self::Gate => "gate",
            Self::Reload => "reload",
            Self::Ordinary => "ordinary",
        }
    }
}

/// What one turn measured; times are nanoseconds.
struct Turn {
    sent: u64,
    lost: u64,
    /// Packets that the receiver's own socket dropped: not the gate's.
    overflowed: u64,
    /// Packets that went on without a decision, since their queue was full.
    undecided: u64,
    /// What the kernel says that its queues dropped.
    dropped: u64,
    p50: u64,
    p99: u64,
    max: u64,
    /// Packets later than [`DELAY_MAX`].
    late: u64,
    /// Packets that were on their way while the sender's processor stood still.
    held: u64,
    held_max: u64,
    slips: u64,
    slip_max: u64,
    rate: u64,
    /// From the change of the files to the rules in force.
    reloads: Vec<u64>,
    /// Milliseconds that the gate says it took to read and compile.
    loading: Vec<u64>,
}

impl Turn {
    const HEAD: &str = "             sent  lost  undecided  kernel drops  harness drops      p50      p99      max  \
                        >5ms  held      max  slips  longest  packets/s";

    fn line(&self, kind: Kind) -> String {
        format!(
            "{:<8} {:>8}  {:>4}  {:>9}  {:>12}  {:>13}  {}  {}  {}  {:>4}  {:>4}  {}  {:>5}  {}  {:>9}",
            kind.name(),
            self.sent,
            self.lost,
            self.undecided,
            self.dropped,
            self.overflowed,
            micros(self.p50),
            micros(self.p99),
            micros(self.max),
            self.late,
            self.held,
            micros(self.held_max),
            self.slips,
            micros(self.slip_max),
            self.rate,
        )
    }

    fn rows(&self, kind: Kind, round: usize) {
        let who = match kind {
            Kind::NoGate => "none",
            Kind::Gate => "all",
            Kind::Reload => "reload",
            Kind::Ordinary => "reload-ordinary",
        };
        let row = |row: &str, value: f64, unit: &str| {
            println!("{}", json!({ "row": row, "who": who, "round": round, "value": value, "unit": unit }));
        };
        let nanos = |row_name: &str, nanos: u64| row(row_name, ratio(nanos, 1000), "µs");
        nanos("10000 rules: median delay", self.p50);
        nanos("10000 rules: longest delay", self.max);
        nanos("10000 rules: longest delay while the sender stood still", self.held_max);
        row("10000 rules: lost or undecided", ratio(self.lost + self.undecided, 1), "packets");
        if !self.loading.is_empty() {
            row("10000 rules: read and compiled", ratio(median(self.loading.clone()), 1), "ms");
        }
    }
}

/// A sender, a router and a receiver in namespaces, and the rule files; gone with this value.
struct World {
    name: String,
    rules: TempDir,
}

impl World {
    fn new() -> Self {
        let name = format!("mpg{}", std::process::id());
        let rules = tempfile::Builder::new().prefix(&name).tempdir().unwrap();
        let world = Self { name, rules };
        let [sender, router, receiver] = ["s", "r", "d"].map(|end| world.net(end));
        for net in [&sender, &router, &receiver] {
            run(&format!("ip netns add {net}"));
            run(&format!("ip -n {net} link set lo up"));
        }
        run(&format!("ip -n {sender} link add s0 type veth peer name r0 netns {router}"));
        run(&format!("ip -n {router} link add r1 type veth peer name d0 netns {receiver}"));
        let ends =
            [(&sender, "s0", 1, 2), (&router, "r0", 1, 1), (&router, "r1", 2, 1), (&receiver, "d0", 2, 2)];
        for (net, link, network, host) in ends {
            run(&format!("ip -n {net} addr add 10.0.{network}.{host}/24 dev {link}"));
            run(&format!("ip -n {net} link set {link} up"));
        }
        let [a, b, c] = TO;
        run(&format!("ip -n {sender} route add default via 10.0.1.1"));
        run(&format!("ip -n {router} route add {a}.{b}.{c}.0/24 via 10.0.2.2"));
        for (net, key, value) in [
            (&router, "net/ipv4/ip_forward", "1"),
            (&router, "net/ipv4/conf/all/rp_filter", "0"),
            (&router, "net/ipv4/conf/r0/rp_filter", "0"),
            (&receiver, "net/ipv4/ip_forward", "0"),
        ] {
            sysctl(net, key, value);
        }
        world
    }

    fn net(&self, end: &str) -> String {
        format!("{}{end}", self.name)
    }

    fn turn(&self, kind: Kind) -> Turn {
        let staged = Staged::write(self.rules.path());
        let home = staged.put(0);
        let gate = (kind != Kind::NoGate).then(|| Gate::start(self, &home, kind));
        let began = AtomicBool::new(false);
        let over = AtomicBool::new(false);
        let receiver = inside(&self.net("d"), receiving_socket);
        let (trip, arrivals, reloads) = thread::scope(|scope| {
            let receiving = scope.spawn(|| receive(&receiver, &over));
            let reloading = scope.spawn(|| match kind {
                Kind::Reload | Kind::Ordinary => inside(&self.net("r"), || reload(&staged, &began)),
                Kind::NoGate | Kind::Gate => Vec::new(),
            });
            let trip = inside(&self.net("s"), || send(&began));
            // The last packets, those that wait in a queue among them.
            sleep_until(now() + SECOND / 2);
            let reloads = reloading.join().unwrap();
            over.store(true, Ordering::Relaxed);
            (trip, receiving.join().unwrap(), reloads)
        });
        let (decided, dropped, loading) =
            gate.map_or_else(|| (trip.stamps.len() as u64, 0, vec![]), |gate| gate.end(self));
        summary(&trip, &arrivals, (decided, dropped), (reloads, loading))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for end in ["s", "r", "d"] {
            let mut gone = Command::new("ip");
            gone.args(["netns", "del", &self.net(end)]).stderr(Stdio::null()).status().unwrap();
        }
    }
}

fn summary(
    trip: &Trip,
    arrivals: &Arrivals,
    (decided, dropped): (u64, u64),
    (reloads, loading): (Vec<u64>, Vec<u64>),
) -> Turn {
    let arrived = trip.stamps.iter().zip(&arrivals.stamps).filter(|(_, arrived)| **arrived > 0);
    let lost = trip.stamps.len() - arrived.clone().count();
    let (held, own): (Vec<_>, Vec<_>) = arrived.partition(|(sent, arrived)| trip.held(**sent, **arrived));
    let delay = |(sent, arrived): (&u64, &u64)| arrived.saturating_sub(*sent);
    let held: Vec<u64> = held.into_iter().map(delay).collect();
    let mut delays: Vec<u64> = own.into_iter().map(delay).collect();
    assert!(!delays.is_empty(), "no packet arrived");
    delays.sort_unstable();
    let sent = trip.stamps.len();
    let at = |percent: usize| delays[(delays.len() - 1) * percent / 100];
    Turn {
        sent: sent as u64,
        lost: lost as u64,
        overflowed: arrivals.overflowed,
        undecided: (sent as u64).saturating_sub(decided),
        dropped,
        p50: at(50),
        p99: at(99),
        max: at(100),
        late: delays.iter().filter(|delay| **delay > DELAY_MAX).count() as u64,
        held: held.len() as u64,
        held_max: held.into_iter().max().unwrap_or(0),
        slips: trip.slips.len() as u64,
        slip_max: trip.slips.iter().map(|(due, woken)| woken - due).max().unwrap_or(0),
        rate: sent as u64 * SECOND / (trip.stamps[sent - 1] - trip.stamps[0]),
        reloads,
        loading,
    }
}

/// `mpgate run` in the router's namespace; killed with this value.
struct Gate {
    child: Child,
    log: PathBuf,
}

impl Gate {
    fn start(world: &World, rules: &Path, kind: Kind) -> Self {
        let log = world.rules.path().join("log");
        let router = world.net("r");
        let mut command = Command::new(GATE);
        command.args(["run", "--attach", "forward", "--mode", "all", "--queue", QUEUES, "--rules"]);
        command.arg(rules);
        if kind == Kind::Ordinary {
            command.arg("--ordinary-priority");
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .process_group(0);
        let gate = Self { child: inside(&router, || command.spawn().unwrap()), log };
        let until = now() + 60 * SECOND;
        while !gate.said().lines().any(|line| line == "ready") {
            assert!(now() < until, "the gate does not start: {}", gate.said());
            sleep_until(now() + 20 * MILLI);
        }
        gate
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// How many packets it decided and the kernel dropped, and what reloads took.
    fn end(mut self, world: &World) -> (u64, u64, Vec<u64>) {
        let (series, queues) = inside(&world.net("r"), || {
            (scrape(), fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_queue").unwrap())
        });
        // Columns 6 and 7: the queue was full, the socket was full.
        let columns = queues.lines().flat_map(|line| line.split_whitespace().skip(5).take(2));
        let dropped = columns.map(|number| number.parse::<u64>().unwrap()).sum();
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.child.wait().unwrap();
        let said = self.said();
        let took = said.split("millis=").skip(1).filter_map(|rest| rest.split_whitespace().next());
        (
            total(&series, "mpgate_packets_total"),
            dropped,
            took.map(|millis| millis.parse().unwrap()).collect(),
        )
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// When each packet was sent.
struct Trip {
    stamps: Vec<u64>,
    /// The stamps of those whose sending was interrupted.
    interrupted: Vec<u64>,
    /// When the sender was due, and when it was there.
    slips: Vec<(u64, u64)>,
}

impl Trip {
    /// Whether the sender's processor stood still while a packet was on its way.
    fn held(&self, sent: u64, arrived: u64) -> bool {
        let after = self.slips.partition_point(|(_, woken)| *woken < sent);
        self.slips.get(after).is_some_and(|(due, _)| *due < arrived)
            || self.interrupted.binary_search(&sent).is_ok()
    }
}

/// Sends at the rate until the turn is over.
fn send(began: &AtomicBool) -> Trip {
    set_current_timer_slack(NonZeroU64::new(1)).unwrap();
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Max, policy).unwrap();
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).unwrap();
    let mut packets: Vec<_> = (0..PAIRS).map(packet).collect();
    let count = RATE * TURN / SECOND;
    let mut trip =
        Trip { stamps: Vec::with_capacity(count as usize), interrupted: Vec::new(), slips: Vec::new() };
    let mut due = now() + 10 * MILLI;
    began.store(true, Ordering::Release);
    while (trip.stamps.len() as u64) < count {
        sleep_until(due);
        let late = now().saturating_sub(due);
        if late > SLIP {
            trip.slips.push((due, due + late));
            due += late;
        }
        for _ in 0..BURST {
            let number = trip.stamps.len() as u64;
            let at = number as usize % packets.len();
            let (to, bytes) = &mut packets[at];
            let stamp = now();
            fill(bytes, number, stamp);
            trip.stamps.push(stamp);
            // A device without room would be a loss that the receiver shows.
            socket.send_to(bytes, &(*to).into()).ok();
            if now() - stamp > SLIP {
                trip.interrupted.push(stamp);
            }
        }
        due += BURST * SECOND / RATE;
        if INTERRUPTED.load(Ordering::Relaxed) {
            break;
        }
    }
    trip
}

/// Data of an MPTCP connection between one of the pairs.
fn packet(pair: u8) -> (SocketAddr, Vec<u8>) {
    let [a, b, c] = TO;
    let to = [a, b, c, pair];
    // Kind, length, subtype DSS with a DATA_ACK, its number, and padding.
    let dss = [30, 8, 0x20, 0x01, 0, 0, 0, 7];
    let tcp = PacketBuilder::ipv4([10, 1, 0, pair], to, 64).tcp(40_000, 443, 1000, 65_000).ack(2000);
    let payload = [&MAGIC[..], &[0; 16], &[0xff; 16]].concat();
    let mut bytes = Vec::new();
    tcp.options_raw(&dss).unwrap().write(&mut bytes, &payload).unwrap();
    (SocketAddr::new(to.into(), 0), bytes)
}

fn fill(bytes: &mut [u8], number: u64, stamp: u64) {
    let at = bytes.len() - PAYLOAD + MAGIC.len();
    let words = [number, stamp, !number, !stamp];
    bytes[at..]
        .chunks_exact_mut(8)
        .zip(words)
        .for_each(|(place, word)| place.copy_from_slice(&word.to_be_bytes()));
}

/// When each packet arrived, by the receiver's kernel; 0 where it did not.
struct Arrivals {
    stamps: Vec<u64>,
    overflowed: u64,
}

fn receiving_socket() -> Socket {
    let ip = Protocol::from(i32::from(0x0800_u16.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(ip)).unwrap();
    set_socket_recv_buffer_size_force(&socket, 256 << 20).unwrap();
    setsockopt(&socket, ReceiveTimestampns, &true).unwrap();
    setsockopt(&socket, RxqOvfl, &1).unwrap();
    socket
}

/// Collects what arrived, in one go every few milliseconds: a wake-up for each packet would cost more than the gate.
fn receive(socket: &Socket, over: &AtomicBool) -> Arrivals {
    let mut arrivals = Arrivals { stamps: vec![0; (RATE * TURN / SECOND) as usize], overflowed: 0 };
    let mut control = cmsg_space!(TimeSpec, u32);
    let mut bytes = [0; 2048];
    loop {
        let last = over.load(Ordering::Relaxed);
        loop {
            let mut part = [IoSliceMut::new(&mut bytes)];
            let Ok(message) =
                recvmsg::<()>(socket.as_raw_fd(), &mut part, Some(&mut control), MsgFlags::MSG_DONTWAIT)
            else {
                break;
            };
            let mut arrived = 0;
            for about in message.cmsgs().unwrap() {
                if let ControlMessageOwned::ScmTimestampns(at) = about {
                    arrived = at.tv_sec() as u64 * SECOND + at.tv_nsec() as u64;
                } else if let ControlMessageOwned::RxqOvfl(count) = about {
                    arrivals.overflowed = count.into();
                }
            }
            let len = message.bytes;
            let Some(payload) = len.checked_sub(PAYLOAD).map(|at| &bytes[at..len]) else { continue };
            if let Some(rest) = payload.strip_prefix(&MAGIC) {
                let number = u64::from_be_bytes(*rest.first_chunk().unwrap());
                arrivals.stamps[number as usize] = arrived;
            }
        }
        if last {
            return arrivals;
        }
        sleep_until(now() + 5 * MILLI);
    }
}

/// Replaces the rules at their times. Gives how long each time they took to be in force.
fn reload(staged: &Staged, began: &AtomicBool) -> Vec<u64> {
    while !began.load(Ordering::Acquire) {
        sleep_until(now() + MILLI);
    }
    let start = now();
    let mut took = Vec::new();
    for (number, at) in REPLACED_AT.into_iter().enumerate() {
        sleep_until(start + at);
        if INTERRUPTED.load(Ordering::Relaxed) {
            break;
        }
        let changed = now();
        staged.put(number + 1);
        let generation = number as u64 + 2;
        // A scrape of so many rules takes a while itself.
        sleep_until(changed + 250 * MILLI);
        while total(&scrape(), "mpgate_rules_generation") < generation {
            assert!(now() < changed + 30 * SECOND, "the rules are not reloaded");
            sleep_until(now() + 50 * MILLI);
        }
        took.push(now() - changed);
    }
    took
}

fn scrape() -> String {
    minreq::get("http://127.0.0.1:9464/metrics").send().unwrap().as_str().unwrap().to_owned()
}

/// The sum of a family.
fn total(series: &str, name: &str) -> u64 {
    let samples = series.lines().filter(|line| line.starts_with(name));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// Rule files that lie ready: those of the start, and those that replace them, which say something else each time.
struct Staged(PathBuf);

impl Staged {
    const FILES: usize = 5;

    fn write(home: &Path) -> Self {
        for number in 0..=REPLACED_AT.len() {
            let folder = home.join(number.to_string());
            fs::create_dir_all(&folder).unwrap();
            for (file, text) in rules(number).iter().enumerate() {
                fs::write(folder.join(format!("{file}.toml")), text).unwrap();
            }
        }
        fs::create_dir_all(home.join("rules")).unwrap();
        Self(home.to_owned())
    }

    /// Puts the files of that number in the place of all others.
    fn put(&self, number: usize) -> PathBuf {
        let rules = self.0.join("rules");
        for file in 0..Self::FILES {
            let name = format!("{file}.toml");
            fs::rename(self.0.join(number.to_string()).join(&name), rules.join(&name)).unwrap();
        }
        rules
    }
}

/// Rules of which none covers another, and whose own prefixes and sets no packet of the bench is in: so each is looked at
/// for each packet, before the last one speaks.
fn rules(number: usize) -> [String; Staged::FILES] {
    let mut prefixes = Prefixes { number, next: 0 };
    let mut texts: [String; Staged::FILES] = Default::default();
    let [sets, files @ ..] = &mut texts;
    sets.push_str("[sets]\n");
    let in_sets = PREFIXES - OWN * (RULES - 1) - 1;
    for set in 0..SETS {
        // What does not divide goes to the first ones.
        let count = in_sets / SETS + usize::from(set < in_sets % SETS);
        writeln!(sets, "set-{set} = [{}]", prefixes.list(count)).unwrap();
    }
    let each = RULES.div_ceil(files.len());
    for rule in 0..RULES - 1 {
        let text = &mut files[rule / each];
        writeln!(text, "[[rule]]\nname = \"rule-{number}-{rule}\"").unwrap();
        let own = prefixes.list(OWN);
        match rule % 4 {
            0 => writeln!(text, "to = [{own}]\naction = \"accept\""),
            1 => writeln!(
                text,
                "from = [{own}]\nport = [443, \"8000-8099\"]\noption = \"dss\"\naction = \"accept\""
            ),
            2 => writeln!(text, "from = [{own}]\noption = \"mp_join\"\naction = \"reject\""),
            _ => {
                let set = rule / 4 % SETS;
                writeln!(text, "to = [{own}]\nfrom = \"@set-{set}\"\nport = [443, 8443]\naction = \"accept\"")
            }
        }
        .unwrap();
    }
    let [a, b, c] = TO;
    let text = &mut files[(RULES - 1) / each];
    writeln!(
        text,
        "[[rule]]\nname = \"bench\"\nto = \"{a}.{b}.{c}.0/24\"\noption = \"dss\"\naction = \"accept\""
    )
    .unwrap();
    texts
}

/// Prefixes of which no two touch each other.
struct Prefixes {
    number: usize,
    next: usize,
}

impl Prefixes {
    fn list(&mut self, count: usize) -> String {
        (0..count).map(|_| self.one()).collect::<Vec<_>>().join(", ")
    }

    /// Each fourth one is IPv6.
    fn one(&mut self) -> String {
        let number = self.next;
        self.next += 1;
        if number % 4 == 3 {
            return format!("\"2001:db8:{:x}:{:x}::/64\"", self.number, number / 4 * 2);
        }
        let network = u32::from_be_bytes([20, 0, 0, 0]) + ((self.number << 24) + (number << 6)) as u32;
        format!("\"{}/{}\"", Ipv4Addr::from_bits(network), 27 + number % 6)
    }
}

/// From now on ^C and SIGTERM end the bench by way of its guards.
fn catch_interrupt() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).unwrap();
        let mut interrupt = signal(SignalKind::interrupt()).unwrap();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// By the clock with which the kernel stamps packets.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec as u64 * SECOND + now.tv_nsec as u64
}

fn sleep_until(at: u64) {
    let at = Timespec { tv_sec: (at / SECOND) as i64, tv_nsec: (at % SECOND) as i64 };
    clock_nanosleep_absolute(ClockId::Realtime, &at).ok();
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to as f64
}

fn micros(nanos: u64) -> String {
    format!("{:>5} µs", nanos / 1000)
}

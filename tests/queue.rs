//! The queue's door on a real kernel: a client, a router and a server in network namespaces, joined by veth.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod netns;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use etherparse::PacketBuilder;
use mpgate::attach::{AttachError, Backend, Hook, Plan, QueueMode};
use mpgate::engine::{Engine, Mode};
use mpgate::marks;
use mpgate::metrics::Metrics;
use mpgate::queue::{PACKETS_MAX, QueueError, QueueOptions, Worker, kernel_queues};
use mpgate::rules::{self, Source};
use mpgate::track::Limits;
use netns::{inside, run, run_in, sysctl, wait};
use socket2::{Domain, Protocol, Socket, Type};

/// Set by who knows that the machine lets no test make namespaces.
const WITHOUT_ROOT: &str = "MPGATE_TESTS_WITHOUT_ROOT";

/// In the environment of a worker that is a process of its own: its namespace and queue.
const WORKER_PROCESS: &str = "MPGATE_TESTS_WORKER";

const BULK: usize = 8 << 20;
const QUEUE: u16 = 5;
const SERVER: [&str; 2] = ["10.0.2.2", "fd00:2::2"];
/// Nobody listens there.
const PORT: u16 = 4000;

/// Where a gate stands, and what it takes its packets from.
type Place = (Hook, fn(&World) -> String);

/// A client, a router and a server, gone with this value.
struct World {
    name: String,
}

impl World {
    /// `None` where the environment says that there is no root.
    fn new() -> Option<Self> {
        static BUILT: AtomicU32 = AtomicU32::new(0);
        if std::env::var_os(WITHOUT_ROOT).is_some() {
            return None;
        }
        assert!(
            rustix::process::geteuid().is_root(),
            "needs root: sudo ./tests/run, or set {WITHOUT_ROOT}=1"
        );
        let world =
            Self { name: format!("mpg{}n{}", std::process::id(), BUILT.fetch_add(1, Ordering::Relaxed)) };
        let [c, r, s] = [world.client(), world.router(), world.server()];
        for ns in [&c, &r, &s] {
            run(&format!("ip netns add {ns}"));
            run(&format!("ip -n {ns} link set lo up"));
            sysctl(ns, "net/ipv4/ip_forward", "1");
            sysctl(ns, "net/ipv6/conf/all/forwarding", "1");
            sysctl(ns, "net/mptcp/blackhole_timeout", "0");
        }
        run(&format!("ip -n {c} link add c0 type veth peer name r0 netns {r}"));
        run(&format!("ip -n {r} link add r1 type veth peer name s0 netns {s}"));
        let ends = [(&c, "c0", 1, 2), (&r, "r0", 1, 1), (&r, "r1", 2, 1), (&s, "s0", 2, 2)];
        for (ns, link, net, host) in ends {
            run(&format!("ip -n {ns} addr add 10.0.{net}.{host}/24 dev {link}"));
            run(&format!("ip -n {ns} addr add fd00:{net}::{host}/64 dev {link} nodad"));
            run(&format!("ip -n {ns} link set {link} up"));
        }
        for (ns, net) in [(&c, 1), (&s, 2)] {
            run(&format!("ip -n {ns} route add default via 10.0.{net}.1"));
            run(&format!("ip -n {ns} -6 route add default via fd00:{net}::1"));
        }
        // Neighbours answer late at first; a SYN sent twice would be counted twice.
        for family in SERVER {
            let closed = SocketAddr::new(family.parse::<IpAddr>().unwrap(), PORT);
            let refused = connect(&c, closed, Protocol::TCP, Duration::from_secs(10)).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused, "{family}: {refused}");
        }
        Some(world)
    }

    fn client(&self) -> String {
        format!("{}c", self.name)
    }

    fn router(&self) -> String {
        format!("{}r", self.name)
    }

    fn server(&self) -> String {
        format!("{}s", self.name)
    }

    /// Sends so many bytes from the client to the server, who says how many came.
    fn transfer(&self, family: &str, protocol: Protocol, bytes: usize) -> io::Result<usize> {
        let listener = Listener::start(&self.server(), family, protocol);
        let client = connect(&self.client(), listener.addr, protocol, Duration::from_secs(3))?;
        send(client, bytes)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for ns in [self.client(), self.router(), self.server()] {
            let gone = Command::new("ip").args(["netns", "del", &ns]).stderr(Stdio::null()).status();
            gone.expect("ip netns del runs");
        }
    }
}

/// Accepts connections one after the other, counts each one's bytes and tells the number.
struct Listener {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    fn start(ns: &str, addr: &str, protocol: Protocol) -> Self {
        let addr = SocketAddr::new(addr.parse::<IpAddr>().unwrap(), 0);
        let socket = inside(ns, || {
            let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(protocol)).unwrap();
            socket.bind(&addr.into()).unwrap();
            socket.listen(128).unwrap();
            socket
        });
        let addr = socket.local_addr().unwrap().as_socket().unwrap();
        // An MPTCP listener knows no SO_RCVTIMEO.
        socket.set_nonblocking(true).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match socket.accept() {
                    Ok((client, _)) => count(client.into()),
                    Err(_) => wait(Duration::from_millis(2)),
                }
            }
        });
        Self { addr, stop, thread: Some(thread) }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn count(mut client: TcpStream) {
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut buffer = vec![0; 1 << 16];
    let mut total = 0_u64;
    while let Ok(read) = client.read(&mut buffer) {
        if read == 0 {
            // The client may have given up; then it says so itself.
            client.write_all(&total.to_be_bytes()).unwrap_or_default();
            return;
        }
        total += u64::try_from(read).unwrap();
    }
}

fn connect(ns: &str, addr: SocketAddr, protocol: Protocol, wait: Duration) -> io::Result<TcpStream> {
    let socket = inside(ns, || Socket::new(Domain::for_address(addr), Type::STREAM, Some(protocol)))?;
    socket.connect_timeout(&addr.into(), wait)?;
    Ok(socket.into())
}

fn send(mut client: TcpStream, bytes: usize) -> io::Result<usize> {
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    client.set_write_timeout(Some(Duration::from_secs(10)))?;
    let chunk = vec![7; 1 << 16];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(chunk.len());
        client.write_all(chunk.get(..now).unwrap())?;
        left -= now;
    }
    client.shutdown(std::net::Shutdown::Write)?;
    let mut said = [0; 8];
    client.read_exact(&mut said)?;
    Ok(usize::try_from(u64::from_be_bytes(said)).unwrap())
}

/// A worker in a thread of its own, stopped with this value.
struct Gate {
    metrics: Arc<Metrics>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Gate {
    fn start(ns: &str, number: u16) -> Self {
        Self::with_rules(ns, number, "")
    }

    fn with_rules(ns: &str, number: u16, text: &str) -> Self {
        let source = Source { path: "test.toml".to_owned(), text: text.to_owned() };
        let (rules, _warnings) = rules::compile(&[source]).unwrap();
        let worker = inside(ns, || Worker::bind(options(number))).expect("the queue can be bound");
        let stop = Arc::new(AtomicBool::new(false));
        let metrics = Arc::new(Metrics::default());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&metrics));
        let thread = thread::spawn(move || {
            let engine = Engine::new(rules, Limits::default(), Mode::Enforce);
            worker.run(&engine, &counted.queue(number), &stopped);
        });
        Self { metrics, stop, thread: Some(thread) }
    }

    /// The sum of all series whose name and labels start so.
    fn counted(&self, series: &str) -> f64 {
        let text = self.metrics.render().unwrap();
        let lines = text.lines().filter(|line| line.starts_with(series));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn options(number: u16) -> QueueOptions {
    QueueOptions { number, fail_open: true, packets_max: PACKETS_MAX }
}

fn plan(hook: Hook, mode: QueueMode) -> Plan {
    let backend = Some(Backend::Iptables);
    Plan { hook, mode, first_queue: QUEUE, last_queue: QUEUE, bypass: true, backend }
}

/// How many packets the kernel ever put into the queue, and how many wait: its last id (column 8) and column 3.
fn queued(ns: &str) -> (u64, u64) {
    let text = inside(ns, || fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_queue")).unwrap();
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(&QUEUE.to_string()));
    let columns: Vec<u64> =
        line.expect("the queue is bound").split_whitespace().map(|n| n.parse().unwrap()).collect();
    (*columns.get(7).unwrap(), *columns.get(2).unwrap())
}

/// A counter of the kernel's MPTCP.
fn mptcp_counter(ns: &str, name: &str) -> u64 {
    let text = inside(ns, || fs::read_to_string("/proc/thread-self/net/netstat")).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("MPTcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.split_whitespace().position(|known| known == name).expect(name);
    values.split_whitespace().nth(at).unwrap().parse().unwrap()
}

/// The rules of all tables, without counters and dates.
fn rules(ns: &str) -> Vec<String> {
    let all = ["iptables-save", "ip6tables-save"].map(|save| run_in(ns, save)).concat();
    let rules =
        all.lines().filter(|line| line.starts_with('-') || (line.starts_with(':') && line.contains(" - ")));
    let tables = run_in(ns, "nft list tables");
    let others = tables.lines().filter(|table| !table.starts_with("table ip"));
    rules.map(str::to_owned).chain(others.map(str::to_owned)).collect()
}

fn check_mode(mode: QueueMode, tcp: impl Fn(u64) -> bool, mptcp: impl Fn(u64) -> bool) {
    let Some(world) = World::new() else { return };
    let router = world.router();
    let _gate = Gate::start(&router, QUEUE);
    let attached = inside(&router, || plan(Hook::Forward, mode).install()).unwrap();
    for family in SERVER {
        let before = queued(&router).0;
        assert_eq!(world.transfer(family, Protocol::TCP, BULK).unwrap(), BULK);
        let plain = queued(&router).0 - before;
        assert!(tcp(plain), "{mode:?} {family}: {plain} packets of plain TCP were queued");

        assert_eq!(world.transfer(family, Protocol::MPTCP, BULK).unwrap(), BULK);
        let multipath = queued(&router).0 - before - plain;
        assert!(mptcp(multipath), "{mode:?} {family}: {multipath} packets of MPTCP were queued");
    }
    assert_eq!(mptcp_counter(&world.client(), "MPCapableSYNACKRX"), 2, "MPTCP got through, in both families");
    inside(&router, || attached.detach()).unwrap();
}

#[test]
fn control_queues_a_handful_of_a_bulk_transfer_and_no_plain_tcp() {
    check_mode(QueueMode::Control, |tcp| tcp == 0, |mptcp| (3..=20).contains(&mptcp));
}

#[test]
fn strict_queues_all_mptcp_and_no_plain_tcp() {
    check_mode(QueueMode::Strict, |tcp| tcp == 0, |mptcp| mptcp > 100);
}

#[test]
fn all_queues_all_tcp() {
    check_mode(QueueMode::All, |tcp| tcp > 100, |mptcp| mptcp > 100);
}

#[test]
fn a_host_that_guards_itself_is_reached_in_every_mode() {
    let Some(world) = World::new() else { return };
    let server = world.server();
    let _gate = Gate::start(&server, QUEUE);
    for hook in [Hook::Input, Hook::Output, Hook::Host] {
        for mode in [QueueMode::Control, QueueMode::Strict, QueueMode::All] {
            let attached = inside(&server, || plan(hook, mode).install()).unwrap();
            for family in SERVER {
                let before = queued(&server).0;
                assert_eq!(world.transfer(family, Protocol::MPTCP, 1 << 20).unwrap(), 1 << 20);
                assert!(queued(&server).0 > before, "{hook:?} {mode:?} {family} queued nothing");
            }
            inside(&server, || attached.detach()).unwrap();
        }
    }
    assert_eq!(mptcp_counter(&world.client(), "MPCapableSYNACKRX"), 18);
}

/// Marks SYNs as the gate marks what it watches; of a plain connection then the SYN/ACK and both FINs are queued.
fn check_watched(hook: Hook, watcher: impl Fn(&World) -> String) {
    let Some(world) = World::new() else { return };
    let ns = watcher(&world);
    let _gate = Gate::start(&ns, QUEUE);
    let attached = inside(&ns, || plan(hook, QueueMode::Control).install()).unwrap();
    let before = queued(&ns).0;
    world.transfer(SERVER[0], Protocol::TCP, 1 << 20).unwrap();
    assert_eq!(queued(&ns).0, before, "a plain connection is not watched");
    let bit = format!("{:#x}/{0:#x}", marks::WATCHED);
    for family in ["iptables", "ip6tables"] {
        run_in(&ns, &format!("{family} -w 5 -t mangle -A PREROUTING -p tcp --syn -j MARK --set-xmark {bit}"));
    }
    for family in SERVER {
        let before = queued(&ns).0;
        world.transfer(family, Protocol::TCP, 1 << 20).unwrap();
        wait(Duration::from_millis(50));
        assert_eq!(queued(&ns).0 - before, 3, "{hook:?} {family}");
    }
    inside(&ns, || attached.detach()).unwrap();
}

#[test]
fn the_answer_and_the_ends_of_a_watched_connection_are_queued_on_a_router() {
    check_watched(Hook::Forward, World::router);
}

#[test]
fn the_answer_and_the_ends_of_a_watched_connection_are_queued_on_a_host() {
    check_watched(Hook::Host, World::server);
}

/// A server that does not speak MPTCP: its plain SYN/ACK and both FINs come too, by the mark that the verdict on the SYN
/// left on the connection.
fn check_fallback(hook: Hook, watcher: impl Fn(&World) -> String) {
    let Some(world) = World::new() else { return };
    let ns = watcher(&world);
    let gate = Gate::start(&ns, QUEUE);
    let attached = inside(&ns, || plan(hook, QueueMode::Control).install()).unwrap();
    for (family, seen) in SERVER.into_iter().zip([1.0, 2.0]) {
        let before = queued(&ns).0;
        let listener = Listener::start(&world.server(), family, Protocol::TCP);
        let client =
            connect(&world.client(), listener.addr, Protocol::MPTCP, Duration::from_secs(3)).unwrap();
        assert_eq!(send(client, 1 << 20).unwrap(), 1 << 20);
        wait(Duration::from_millis(50));
        assert_eq!(queued(&ns).0 - before, 4, "{hook:?} {family}: SYN, SYN/ACK, FIN, FIN");
        assert_eq!(gate.counted("mpgate_fallbacks_total{cause=\"plain_answer\"}"), seen, "{hook:?} {family}");
    }
    inside(&ns, || attached.detach()).unwrap();
}

#[test]
fn a_fallback_is_seen_on_a_router() {
    check_fallback(Hook::Forward, World::router);
}

#[test]
fn a_fallback_is_seen_on_a_server() {
    check_fallback(Hook::Host, World::server);
}

#[test]
fn a_fallback_is_seen_on_a_client() {
    check_fallback(Hook::Host, World::client);
}

/// The client's own packets leave without a checksum, which a rewrite has to fill in: wrong, and nothing connects.
#[test]
fn what_is_stripped_arrives_as_plain_tcp_wherever_the_gate_stands() {
    const STRIP_ALL: &str = "[[rule]]\nname = \"plain\"\noption = \"mp_capable\"\naction = \"strip\"\n";
    let places: [Place; 4] = [
        (Hook::Forward, World::router),
        (Hook::Output, World::client),
        (Hook::Input, World::server),
        (Hook::Host, World::server),
    ];
    for (hook, place) in places {
        let Some(world) = World::new() else { return };
        let ns = place(&world);
        let gate = Gate::with_rules(&ns, QUEUE, STRIP_ALL);
        let attached = inside(&ns, || plan(hook, QueueMode::Control).install()).unwrap();
        for family in SERVER {
            assert_eq!(world.transfer(family, Protocol::MPTCP, BULK).unwrap(), BULK, "{hook:?} {family}");
        }
        assert_eq!(gate.counted("mpgate_verdicts_total{reason=\"rule\",verdict=\"strip\"}"), 2.0, "{hook:?}");
        assert_eq!(mptcp_counter(&world.client(), "MPCapableSYNTX"), 2, "{hook:?}");
        assert_eq!(mptcp_counter(&world.client(), "MPCapableSYNACKRX"), 0, "{hook:?}");
        inside(&ns, || attached.detach()).unwrap();
    }
}

/// A SYN with MP_JOIN and a made-up token, with a checksum, as an attacker would send it.
fn join_syn(src: IpAddr, dst: IpAddr) -> Vec<u8> {
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

#[test]
fn attaching_twice_leaves_one_copy_and_detaching_leaves_what_was_there() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    for family in ["iptables", "ip6tables"] {
        run_in(&ns, &format!("{family} -t mangle -N MINE"));
        run_in(&ns, &format!("{family} -t mangle -A FORWARD -p tcp --syn -j MINE"));
        run_in(&ns, &format!("{family} -A INPUT -p tcp --dport 22 -j ACCEPT"));
    }
    let before = rules(&ns);
    for mode in [QueueMode::Control, QueueMode::Strict, QueueMode::All] {
        for hook in [Hook::Forward, Hook::Input, Hook::Output, Hook::Host] {
            let plan = plan(hook, mode);
            let first = inside(&ns, || plan.install()).unwrap();
            let once = rules(&ns);
            assert!(once.len() > before.len());
            first.keep();
            let second = inside(&ns, || plan.install()).unwrap();
            assert_eq!(rules(&ns), once, "{hook:?} {mode:?} twice");
            inside(&ns, || drop(second));
            assert_eq!(rules(&ns), before, "{hook:?} {mode:?}");
        }
    }
}

#[test]
fn another_plan_replaces_the_leftovers_of_a_killed_gate() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let before = rules(&ns);
    inside(&ns, || plan(Hook::Host, QueueMode::Control).install()).unwrap().keep();
    let fresh = inside(&ns, || plan(Hook::Forward, QueueMode::Strict).install()).unwrap();
    let text = rules(&ns).join("\n");
    assert!(!text.contains("MPGATE_INPUT") && !text.contains("table inet mpgate"), "{text}");
    inside(&ns, || fresh.detach()).unwrap();
    assert_eq!(rules(&ns), before);
}

#[test]
fn the_printed_script_loads_to_the_same_rules_however_often() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.sh");
    for mode in [QueueMode::Control, QueueMode::Strict, QueueMode::All] {
        let plan = Plan { last_queue: QUEUE + 3, ..plan(Hook::Host, mode) };
        let attached = inside(&ns, || plan.install()).unwrap();
        let installed = rules(&ns);
        inside(&ns, || attached.detach()).unwrap();
        fs::write(&file, plan.script(Backend::Iptables)).unwrap();
        for _ in 0..2 {
            run_in(&ns, &format!("sh {}", file.display()));
            assert_eq!(rules(&ns), installed, "{mode:?}");
        }
        inside(&ns, || plan.remove()).unwrap();
    }
}

#[test]
fn what_lies_in_deploy_is_what_attach_prints() {
    for (name, mode) in
        [("control", QueueMode::Control), ("strict", QueueMode::Strict), ("all", QueueMode::All)]
    {
        let plan = Plan { first_queue: 0, last_queue: 0, ..plan(Hook::Forward, mode) };
        for (file, backend) in [
            (format!("iptables-{name}.sh"), Backend::Iptables),
            (format!("nftables-{name}.nft"), Backend::Nft),
        ] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(&file);
            if std::env::var_os("MPGATE_WRITE_DEPLOY").is_some() {
                fs::write(&path, plan.script(backend)).unwrap();
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), plan.script(backend), "deploy/{file}");
        }
    }
}

/// Here the kernel may lack the statement itself; the text around it must load all the same.
#[test]
fn nft_rules_parse_and_a_kernel_without_queue_is_told_of() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.nft");
    for mode in [QueueMode::Control, QueueMode::Strict, QueueMode::All] {
        for last_queue in [QUEUE, QUEUE + 2] {
            let plan = Plan { last_queue, backend: Some(Backend::Nft), ..plan(Hook::Host, mode) };
            let script = plan.script(Backend::Nft);
            fs::write(&file, &script).unwrap();
            let args = ["netns", "exec", &ns, "nft", "-c", "-f", file.to_str().unwrap()];
            let checked = Command::new("ip").args(args).output().unwrap();
            let said = String::from_utf8_lossy(&checked.stderr).into_owned();
            assert!(!said.contains("syntax error"), "{said}");
            let range = if last_queue == QUEUE { "5" } else { "5-7" };
            let without = script.replace(&format!("queue flags bypass to {range}"), "accept");
            assert_ne!(without, script);
            fs::write(&file, without).unwrap();
            run_in(&ns, &format!("nft -c -f {}", file.display()));
            match inside(&ns, || plan.install()) {
                Ok(attached) => inside(&ns, || attached.detach()).unwrap(),
                Err(AttachError::NoQueueStatement) => assert!(!checked.status.success()),
                Err(other) => panic!("{other}"),
            }
        }
    }
}

#[test]
fn with_bypass_and_no_gate_traffic_passes_and_fail_closed_it_does_not() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let open = plan(Hook::Forward, QueueMode::Control);
    let attached = inside(&ns, || open.install()).unwrap();
    for family in SERVER {
        assert_eq!(world.transfer(family, Protocol::MPTCP, BULK).unwrap(), BULK);
    }
    inside(&ns, || attached.detach()).unwrap();

    let attached = inside(&ns, || Plan { bypass: false, ..open }.install()).unwrap();
    for family in SERVER {
        let error = world.transfer(family, Protocol::MPTCP, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{family}: {error}");
        assert_eq!(world.transfer(family, Protocol::TCP, BULK).unwrap(), BULK, "plain TCP is not touched");
    }
    inside(&ns, || attached.detach()).unwrap();
}

#[test]
fn a_queue_number_in_use_is_told_of_and_harms_nobody() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let _gate = Gate::start(&ns, QUEUE);
    let error = inside(&ns, || Worker::bind(options(QUEUE))).unwrap_err();
    assert!(matches!(error, QueueError::InUse { number: QUEUE, port } if port > 0), "{error}");
    assert_eq!(inside(&ns, kernel_queues).unwrap().len(), 1);
    let _another = Gate::start(&ns, QUEUE + 1);
    assert_eq!(inside(&ns, kernel_queues).unwrap().len(), 2);
}

#[test]
fn without_the_capability_attach_ends_with_code_2_and_changes_nothing() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let before = rules(&ns);
    let output = Command::new("ip")
        .args(["netns", "exec", &ns, "setpriv", "--bounding-set=-net_admin"])
        .args([env!("CARGO_BIN_EXE_mpgate"), "attach"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(rules(&ns), before);
}

/// The worker of the tests that kill one; alone it does nothing.
#[test]
fn worker_process() {
    let Ok(ns) = std::env::var(WORKER_PROCESS) else { return };
    let _gate = Gate::start(&ns, QUEUE);
    wait(Duration::from_secs(60));
}

/// A worker that can be killed, and is at the latest with this value.
struct WorkerProcess(Child);

impl WorkerProcess {
    fn start(ns: &str) -> Self {
        let worker = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker_process"])
            .env(WORKER_PROCESS, ns)
            .stdout(Stdio::null())
            .spawn();
        let worker = Self(worker.unwrap());
        let bound = (0..100).any(|_| {
            wait(Duration::from_millis(50));
            !inside(ns, kernel_queues).unwrap().is_empty()
        });
        assert!(bound, "the worker did not bind its queue");
        worker
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_killed_worker_leaves_no_packet_stuck_and_the_next_one_takes_over() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let attached = inside(&ns, || plan(Hook::Forward, QueueMode::All).install()).unwrap();
    for family in SERVER {
        let worker = WorkerProcess::start(&ns);
        thread::scope(|scope| {
            let transfer = scope.spawn(|| world.transfer(family, Protocol::MPTCP, 64 << 20));
            wait(Duration::from_millis(60));
            drop(worker);
            assert_eq!(transfer.join().unwrap().unwrap(), 64 << 20, "{family}");
        });
        assert_eq!(inside(&ns, kernel_queues).unwrap(), [], "the kernel gave the queue up");
        let _gate = Gate::start(&ns, QUEUE);
        assert_eq!(world.transfer(family, Protocol::MPTCP, BULK).unwrap(), BULK);
        assert!(all_answered(&ns), "{} packets wait for ever", queued(&ns).1);
    }
    inside(&ns, || attached.detach()).unwrap();
}

#[test]
fn a_worker_that_starts_under_load_leaves_no_packet_stuck() {
    let Some(world) = World::new() else { return };
    let ns = world.router();
    let attached = inside(&ns, || plan(Hook::Forward, QueueMode::All).install()).unwrap();
    for _ in 0..20 {
        let stop = AtomicBool::new(false);
        let _gate = thread::scope(|scope| {
            scope.spawn(|| flood(&world.client(), &stop));
            wait(Duration::from_millis(30));
            let gate = Gate::start(&ns, QUEUE);
            wait(Duration::from_millis(30));
            stop.store(true, Ordering::Relaxed);
            gate
        });
        let answered = all_answered(&ns);
        let (all, waiting) = queued(&ns);
        assert!(answered, "{waiting} of {all} packets wait for ever");
        assert!(all > 0, "nothing was queued");
    }
    inside(&ns, || attached.detach()).unwrap();
}

/// Whether no packet waits any more, within two seconds.
fn all_answered(ns: &str) -> bool {
    (0..100).any(|_| {
        wait(Duration::from_millis(20));
        queued(ns).1 == 0
    })
}

/// Sends SYNs as fast as a core can.
fn flood(ns: &str, stop: &AtomicBool) {
    let (src, dst) = ("10.0.1.2".parse().unwrap(), SERVER[0].parse().unwrap());
    let sender = inside(ns, || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255)))).unwrap();
    let (packet, to) = (join_syn(src, dst), SocketAddr::new(dst, 0).into());
    while !stop.load(Ordering::Relaxed) {
        // A full device drops some; that is not what is tried here.
        sender.send_to(&packet, &to).unwrap_or_default();
    }
}

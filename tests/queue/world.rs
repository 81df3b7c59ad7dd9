//! A client, a router and a server in network namespaces, and a gate on one of them.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mpgate::attach::{Backend, Hook, Plan, QueueMode};
use mpgate::engine::{Engine, Mode};
use mpgate::metrics::Metrics;
use mpgate::queue::{PACKETS_MAX, QueueOptions, Worker};
use mpgate::rules::{self, Source};
use mpgate::track::Limits;
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::{inside, run, sysctl, wait};

/// Set by who knows that the machine lets no test make namespaces.
pub(crate) const WITHOUT_ROOT: &str = "MPGATE_TESTS_WITHOUT_ROOT";

pub(crate) const BULK: usize = 8 << 20;
pub(crate) const QUEUE: u16 = 5;
/// Where a gate stands, and what it takes its packets from.
pub(crate) type Place = (Hook, fn(&World) -> String);

pub(crate) const SERVER: [&str; 2] = ["10.0.2.2", "fd00:2::2"];
/// Nobody listens there.
pub(crate) const PORT: u16 = 4000;

/// A client, a router and a server, gone with this value.
pub(crate) struct World {
    name: String,
}

impl World {
    /// `None` where the environment says that there is no root.
    pub(crate) fn new() -> Option<Self> {
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
        // Neighbours answer late at first, or not to the first three questions; a SYN sent twice would be counted twice.
        for family in SERVER {
            let closed = SocketAddr::new(family.parse::<IpAddr>().unwrap(), PORT);
            let refused = || connect(&c, closed, Protocol::TCP, Duration::from_secs(10)).unwrap_err();
            let told =
                (0..3).map(|_attempt| refused()).find(|error| error.kind() != io::ErrorKind::HostUnreachable);
            let told = told.unwrap_or_else(refused);
            assert_eq!(told.kind(), io::ErrorKind::ConnectionRefused, "{family}: {told}");
        }
        Some(world)
    }

    pub(crate) fn client(&self) -> String {
        format!("{}c", self.name)
    }

    pub(crate) fn router(&self) -> String {
        format!("{}r", self.name)
    }

    pub(crate) fn server(&self) -> String {
        format!("{}s", self.name)
    }

    /// Sends so many bytes from the client to the server, who says how many came.
    pub(crate) fn transfer(&self, family: &str, protocol: Protocol, bytes: usize) -> io::Result<usize> {
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
pub(crate) struct Listener {
    pub(crate) addr: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    pub(crate) fn start(ns: &str, addr: &str, protocol: Protocol) -> Self {
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

pub(crate) fn count(mut client: TcpStream) {
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

pub(crate) fn connect(
    ns: &str,
    addr: SocketAddr,
    protocol: Protocol,
    wait: Duration,
) -> io::Result<TcpStream> {
    let socket = inside(ns, || Socket::new(Domain::for_address(addr), Type::STREAM, Some(protocol)))?;
    socket.connect_timeout(&addr.into(), wait)?;
    Ok(socket.into())
}

pub(crate) fn send(mut client: TcpStream, bytes: usize) -> io::Result<usize> {
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

/// Workers in threads of their own, stopped with this value.
pub(crate) struct Gate {
    pub(crate) metrics: Arc<Metrics>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Gate {
    pub(crate) fn start(ns: &str, number: u16) -> Self {
        Self::with_rules(ns, number, "")
    }

    pub(crate) fn with_rules(ns: &str, number: u16, text: &str) -> Self {
        Self::with_queues(ns, &[number], text)
    }

    /// A worker a queue, and one memory.
    pub(crate) fn with_queues(ns: &str, numbers: &[u16], text: &str) -> Self {
        let options: Vec<_> = numbers.iter().map(|&number| options(number)).collect();
        Self::with_options(ns, &options, text)
    }

    pub(crate) fn with_options(ns: &str, queues: &[QueueOptions], text: &str) -> Self {
        let source = Source { path: "test.toml".to_owned(), text: text.to_owned() };
        let (rules, _warnings) = rules::compile(&[source]).unwrap();
        let engine = Arc::new(Engine::new(rules, Limits::default(), Mode::Enforce));
        let (stop, metrics) = (Arc::new(AtomicBool::new(false)), Arc::new(Metrics::default()));
        let start = |&options: &QueueOptions| {
            let worker = inside(ns, || Worker::bind(options)).expect("the queue can be bound");
            let (engine, stop, counted) =
                (Arc::clone(&engine), Arc::clone(&stop), metrics.queue(options.number));
            thread::spawn(move || worker.run(&engine, &counted, &stop))
        };
        Self { threads: queues.iter().map(start).collect(), metrics, stop }
    }

    /// The sum of all series whose name and labels start so.
    pub(crate) fn counted(&self, series: &str) -> f64 {
        let text = self.metrics.render().unwrap();
        let lines = text.lines().filter(|line| line.starts_with(series));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

pub(crate) fn options(number: u16) -> QueueOptions {
    QueueOptions { number, fail_open: true, packets_max: PACKETS_MAX, copy_bytes: 0 }
}

pub(crate) fn plan(hook: Hook, mode: QueueMode) -> Plan {
    let backend = Some(Backend::Iptables);
    Plan { hook, mode, first_queue: QUEUE, last_queue: QUEUE, fanout: false, bypass: true, backend }
}

/// How many packets the kernel ever put into the queue, and how many wait: its last id (column 8) and column 3.
pub(crate) fn queued(ns: &str) -> (u64, u64) {
    let text = inside(ns, || fs::read_to_string("/proc/thread-self/net/netfilter/nfnetlink_queue")).unwrap();
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(&QUEUE.to_string()));
    let columns: Vec<u64> =
        line.expect("the queue is bound").split_whitespace().map(|n| n.parse().unwrap()).collect();
    (*columns.get(7).unwrap(), *columns.get(2).unwrap())
}

/// How many packets the gate got since there were `before`, once none came for a while: the last FIN comes behind what an
/// application sees.
pub(crate) fn queued_since(ns: &str, before: u64) -> u64 {
    let mut count = queued(ns).0;
    for _ in 0..20 {
        wait(Duration::from_millis(100));
        let now = queued(ns).0;
        if now == count {
            break;
        }
        count = now;
    }
    count - before
}

/// A counter of the kernel's MPTCP.
pub(crate) fn mptcp_counter(ns: &str, name: &str) -> u64 {
    let text = inside(ns, || fs::read_to_string("/proc/thread-self/net/netstat")).unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("MPTcpExt:"));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.split_whitespace().position(|known| known == name).expect(name);
    values.split_whitespace().nth(at).unwrap().parse().unwrap()
}

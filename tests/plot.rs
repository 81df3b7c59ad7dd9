//! `mpgate replay --plot` on a real transfer over two links, of which one is cut for a while.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod netns;
mod traffic;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mpgate::capture::{Capture, Frame};
use netns::{run, run_in, sysctl, wait};
use resvg::tiny_skia::Pixmap;
use rustix::process::geteuid;
use serde_json::Value;
use socket2::Protocol;
use traffic::{Tcpdump, connect, listen};

/// Set by who knows that the machine lets no test make namespaces.
const WITHOUT_ROOT: &str = "MPGATE_TESTS_WITHOUT_ROOT";

/// The client's links to the server, 10.0.1.0/24 and 10.0.2.0/24, in Mbit/s.
const RATES: [u32; 2] = [20, 10];

/// Where data lies on the picture: the edges of a plot.
const PLOT: [f64; 2] = [80.0, 1164.0];

/// A client and a server with two links between them, gone with this value.
struct TwoLinks {
    name: String,
    files: tempfile::TempDir,
}

impl TwoLinks {
    /// `None` where the environment says that there is no root.
    fn new() -> Option<Self> {
        if std::env::var_os(WITHOUT_ROOT).is_some() {
            return None;
        }
        assert!(geteuid().is_root(), "needs root: sudo ./tests/run, or set {WITHOUT_ROOT}=1");
        let name = format!("mpg{}p", std::process::id());
        let links = Self { name, files: tempfile::tempdir().unwrap() };
        let [c, s] = links.hosts();
        for ns in [&c, &s] {
            run(&format!("ip netns add {ns}"));
            run(&format!("ip -n {ns} link set lo up"));
            sysctl(ns, "net/mptcp/blackhole_timeout", "0");
            sysctl(ns, "net/ipv4/conf/all/rp_filter", "0");
            run(&format!("ip -n {ns} mptcp limits set subflows 4 add_addr_accepted 4"));
        }
        for (link, rate) in (1..).zip(RATES) {
            run(&format!("ip link add e{link} netns {c} type veth peer name e{link} netns {s}"));
            for (ns, host) in [(&s, 1), (&c, 2)] {
                run(&format!("ip -n {ns} addr add 10.0.{link}.{host}/24 dev e{link}"));
                run(&format!("ip -n {ns} link set e{link} up"));
            }
            run_in(&c, &format!("tc qdisc add dev e{link} root tbf rate {rate}mbit burst 64kb latency 50ms"));
        }
        run(&format!("ip -n {s} mptcp endpoint add 10.0.2.1 dev e2 signal"));
        Some(links)
    }

    /// The client's, and the server's.
    fn hosts(&self) -> [String; 2] {
        ["c", "s"].map(|host| format!("{}{host}", self.name))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// The client sends for six seconds and a half. Its second link is cut for two of them, and for the first
    /// 0.6 of these its other link, too.
    fn transfer(&self) {
        let [c, s] = self.hosts();
        let addr: SocketAddr = "10.0.1.1:5201".parse().unwrap();
        // A join comes to the announced address.
        let listener = listen(&s, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), addr.port()));
        let capture = Tcpdump::start(&s, "any", &self.file("two.pcap"));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(move || {
                let mut stream: TcpStream = listener.accept().unwrap().0.into();
                let mut buffer = vec![0; 1 << 16];
                while stream.read(&mut buffer).unwrap() > 0 {}
                drop(listener);
            });
            scope.spawn(|| {
                let mut stream = connect(&c, addr, Protocol::MPTCP).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                while !done.load(Ordering::Relaxed) {
                    stream.write_all(&[7; 10_000]).unwrap();
                }
                stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the server has read all");
            });
            let set = |link: u8, state: &str| run(&format!("ip -n {c} link set e{link} {state}"));
            wait(Duration::from_secs(3));
            set(2, "down");
            // With one link left, what was under way on the other may be sent again before it counts as a stall.
            set(1, "down");
            wait(Duration::from_millis(600));
            set(1, "up");
            wait(Duration::from_millis(1400));
            set(2, "up");
            wait(Duration::from_millis(1500));
            done.store(true, Ordering::Relaxed);
        });
        wait(Duration::from_millis(300));
        Tcpdump::stop([capture]);
    }

    /// Draws the transfer; gives what replay says of its connection.
    fn plot(&self, name: &str) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_mpgate"))
            .arg("replay")
            .arg(self.file("two.pcap"))
            .args(["--no-segments", "--json", "--plot"])
            .arg(self.file(name))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        let objects = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let connections: Vec<_> = objects.filter(|object| object["type"] == "connection").collect();
        let [connection] = connections.as_slice() else { unreachable!("{connections:#?}") };
        connection.clone()
    }

    /// When the client sent how many bytes over each link, in seconds since its first segment.
    fn sent(&self) -> [Vec<(f64, usize)>; 2] {
        let mut capture = Capture::open(fs::File::open(self.file("two.pcap")).unwrap()).unwrap();
        let mut frame = Frame::default();
        let mut first = None;
        let mut sent = [Vec::new(), Vec::new()];
        while capture.read(&mut frame).unwrap() {
            let at = frame.at.since(*first.get_or_insert(frame.at)).as_secs_f64();
            let packet = frame.packet().unwrap().packet.unwrap();
            let src = packet.flow.src.addr.to_string();
            for (link, sent) in (1..).zip(&mut sent) {
                if src == format!("10.0.{link}.2") && packet.payload_len > 0 {
                    sent.push((at, packet.payload_len));
                }
            }
        }
        sent
    }
}

impl Drop for TwoLinks {
    fn drop(&mut self) {
        for ns in self.hosts() {
            let gone = Command::new("ip").args(["netns", "del", &ns]).stderr(Stdio::null()).status();
            gone.expect("ip netns del runs");
        }
    }
}

/// The number in an attribute of an element.
fn attribute(element: &str, name: &str) -> f64 {
    let (_, value) = element.split_once(&format!(" {name}=\"")).unwrap_or_else(|| unreachable!("{element}"));
    value.split('"').next().unwrap().parse().unwrap()
}

/// What is drawn, in seconds, of a picture that reaches to `end`.
struct Drawn<'s> {
    svg: &'s str,
    end: f64,
}

impl Drawn<'_> {
    fn secs(&self, x: f64) -> f64 {
        (x - PLOT[0]) / (PLOT[1] - PLOT[0]) * self.end
    }

    fn elements(&self, name: &str) -> impl Iterator<Item = &str> {
        self.svg.split('<').filter(move |element| element.starts_with(name))
    }

    /// From when to when the shades over a plot go.
    fn shades(&self) -> Vec<[f64; 2]> {
        let shades = self.elements("rect").filter(|element| element.contains("fill-opacity"));
        let high = shades.filter(|element| attribute(element, "height") > 100.0);
        high.map(|element| {
            let x = attribute(element, "x");
            [x, x + attribute(element, "width")].map(|x| self.secs(x))
        })
        .collect()
    }

    /// When something is drawn in lines of that colour.
    fn strokes(&self, colour: &str) -> Vec<f64> {
        let stroke = format!("stroke=\"{colour}\"");
        let paths = self.elements("path").filter(|element| element.contains(&stroke));
        // The legend has some, too.
        let longest = paths.max_by_key(|path| path.len()).unwrap();
        let (_, marks) = longest.split_once(" d=\"").unwrap();
        let marks = marks.split('"').next().unwrap().split('M').skip(1);
        marks.map(|mark| self.secs(mark.split(' ').next().unwrap().parse().unwrap())).collect()
    }
}

/// The longest silence on the second link, with the bytes that each link carried before it.
fn silence(sent: &[Vec<(f64, usize)>; 2], end: f64) -> ([f64; 2], [usize; 2]) {
    let times = || sent[1].iter().map(|(at, _)| *at);
    let gaps = times().zip(times().skip(1).chain([end]));
    let (from, to) = gaps.max_by(|one, other| (one.1 - one.0).total_cmp(&(other.1 - other.0))).unwrap();
    let before =
        |sent: &[(f64, usize)]| sent.iter().take_while(|(at, _)| *at <= from).map(|(_, bytes)| bytes).sum();
    ([from, to], [before(&sent[0]), before(&sent[1])])
}

#[test]
fn a_transfer_over_two_links_shows_their_rates_the_cut_and_what_was_sent_again() {
    let Some(links) = TwoLinks::new() else { return };
    links.transfer();
    let connection = links.plot("out.svg");
    let subflows = connection["subflows"].as_array().unwrap();
    assert_eq!(subflows.len(), 2, "{connection:#}");
    let sent = |subflow: &Value, field: &str| subflow["sent"]["client"][field].as_f64().unwrap();
    let shares: Vec<_> = subflows.iter().map(|subflow| sent(subflow, "share")).collect();
    assert!(shares.iter().all(|share| *share >= 0.15), "{shares:?}");
    let again: f64 = subflows.iter().map(|subflow| sent(subflow, "reinjected_bytes")).sum();
    assert!(again > 0.0, "what was under way on the cut link is sent again");
    let end = connection["end"].as_f64().unwrap();
    let ([cut, back], [first, second]) = silence(&links.sent(), end);
    assert!(back - cut > 1.8, "the second link is silent from {cut} s to {back} s");
    // As 20 to 10; both begin slowly, and at their own pace.
    let ratio = f64::from(u32::try_from(first).unwrap()) / f64::from(u32::try_from(second).unwrap());
    assert!((1.4..3.0).contains(&ratio), "{first} and {second} bytes before the cut");

    let svg = fs::read_to_string(links.file("out.svg")).unwrap();
    let has = |text: &str| assert!(svg.contains(&text.replace('>', "&gt;")), "{text:?} is missing");
    has("what the client sent");
    for (number, (subflow, share)) in subflows.iter().zip(&shares).enumerate() {
        let [src, dst] = ["src", "dst"].map(|end| subflow[end].as_str().unwrap());
        has(&format!("subflow {number}, {src} > {dst}: {:.0} % of the bytes", share * 100.0));
    }
    has("subflow 1 joined");
    has("sent again in other segments (reinjection)");
    has("nothing more came in order for 0.3 s or longer (stall)");
    let drawn = Drawn { svg: &svg, end };
    let shades = drawn.shades();
    let of_cut = |[from, to]: &[f64; 2]| *from < cut + 2.0 && *to > cut + 0.2;
    assert!(shades.iter().any(of_cut), "cut at {cut} s, shades {shades:?}");
    let second: Vec<_> = drawn.strokes("#e69f00");
    let silent = (cut + 0.1)..(back - 0.1);
    assert!(second.len() > 10 && !second.iter().any(|at| silent.contains(at)), "{silent:?}: {second:?}");

    links.plot("out.png");
    let png = Pixmap::decode_png(&fs::read(links.file("out.png")).unwrap()).unwrap();
    let root = drawn.elements("svg").next().unwrap();
    let size = ["width", "height"].map(|name| 2.0 * attribute(root, name));
    assert_eq!([png.width(), png.height()].map(f64::from), size, "two pixels a unit");
    assert_eq!(size[0], 2400.0);
}

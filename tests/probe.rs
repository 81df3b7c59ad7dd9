//! `mpgate probe` over two routers with real kernels: a healthy way, boxes that harm MPTCP, servers that hang up, and what
//! people mistype.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall say where")]

mod netns;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use mpgate::clock;
use netns::{inside, run, run_in, sysctl, wait};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

const MPGATE: &str = env!("CARGO_BIN_EXE_mpgate");

/// The server in both families.
const SERVERS: [&str; 2] = ["10.0.3.2", "[fd00:0:0:3::2]"];

/// Where `mpgate checkme` listens; nobody does at the next one.
const PAGE: u16 = 8080;

/// A client, a router where the box is (hop 1), another router (hop 2), and a server with `mpgate checkme`.
struct World {
    name: String,
    page: Option<Child>,
}

impl World {
    fn new(name: &str) -> Self {
        assert!(geteuid().is_root(), "needs root for network namespaces: run it by sudo ./tests/run");
        let mut world = Self { name: format!("mpg{}{name}", std::process::id()), page: None };
        world.build();
        world.serve();
        world
    }

    fn ns(&self, role: &str) -> String {
        format!("{}-{role}", self.name)
    }

    fn build(&self) {
        let roles = ["c", "b", "r", "s"].map(|role| self.ns(role));
        for ns in &roles {
            run(&format!("ip netns add {ns}"));
            run(&format!("ip -n {ns} link set lo up"));
            sysctl(ns, "net/ipv6/conf/default/accept_dad", "0");
            sysctl(ns, "net/ipv4/ip_forward", "1");
            sysctl(ns, "net/ipv6/conf/all/forwarding", "1");
            // Several probes in a row would have to wait for their quotes.
            sysctl(ns, "net/ipv4/icmp_ratelimit", "0");
            sysctl(ns, "net/ipv6/icmp/ratelimit", "0");
        }
        let [client, middle, router, server] = &roles;
        for (net, left, right) in [(1, client, middle), (2, middle, router), (3, router, server)] {
            run(&format!("ip -n {left} link add right type veth peer name left netns {right}"));
            for (ns, link, host) in [(left, "right", 1), (right, "left", 2)] {
                run(&format!("ip -n {ns} address add 10.0.{net}.{host}/24 dev {link}"));
                run(&format!("ip -n {ns} address add fd00:0:0:{net}::{host}/64 dev {link} nodad"));
                run(&format!("ip -n {ns} link set {link} up"));
            }
        }
        for (ns, to, v4, v6) in [
            (client, "default", "10.0.1.2", "fd00:0:0:1::2"),
            (middle, "default", "10.0.2.2", "fd00:0:0:2::2"),
            (router, "1", "10.0.2.1", "fd00:0:0:2::1"),
            (server, "default", "10.0.3.1", "fd00:0:0:3::1"),
        ] {
            let near = |net: &str| if to == "default" { to.to_owned() } else { net.to_owned() };
            run(&format!("ip -n {ns} route add {} via {v4}", near("10.0.1.0/24")));
            run(&format!("ip -n {ns} -6 route add {} via {v6}", near("fd00:0:0:1::/64")));
        }
        for addr in ["10.0.1.9/24", "fd00:0:0:1::9/64"] {
            run(&format!("ip -n {client} address add {addr} dev right"));
        }
    }

    fn serve(&mut self) {
        let mut command = Command::new("ip");
        let listen = format!("[::]:{PAGE}");
        command.args(["netns", "exec", &self.ns("s"), MPGATE, "checkme", "--listen", &listen]);
        let mut page = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(page.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(said.any(|line| line.starts_with("listening on ")));
        thread::spawn(move || said.for_each(drop));
        self.page = Some(page);
    }

    /// A server that hangs up at once, on a port of its own.
    fn hang_up(&self) -> u16 {
        let listener = inside(&self.ns("s"), || {
            let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::MPTCP)).unwrap();
            socket.bind(&"[::]:0".parse::<SocketAddr>().unwrap().into()).unwrap();
            socket.listen(8).unwrap();
            socket
        });
        let port = listener.local_addr().unwrap().as_socket().unwrap().port();
        thread::spawn(move || while listener.accept().is_ok() {});
        port
    }

    /// A rule of the box, for both families.
    fn iptables(&self, rule: &str) {
        for tool in ["iptables", "ip6tables"] {
            run_in(&self.ns("b"), &format!("{tool} -w 5 -t mangle {rule}"));
        }
    }

    fn probe(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.ns("c"), MPGATE, "probe"]).args(args);
        command
    }

    fn output(&self, args: &[&str]) -> Output {
        self.probe(args).output().unwrap()
    }

    /// What is told of the way to that port, in each family at the same time: exit code and report.
    fn told(&self, port: u16, args: [&[&str]; 2]) -> [(i32, Value); 2] {
        let told = |host: &str, args: &[&str]| {
            let target = format!("{host}:{port}");
            let output = self.output(&[&[target.as_str(), "--json"], args].concat());
            let said = String::from_utf8_lossy(&output.stderr);
            (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).expect(&said))
        };
        let [v4, v6] = SERVERS;
        thread::scope(|scope| {
            let other = scope.spawn(|| told(v6, args[1]));
            [told(v4, args[0]), other.join().unwrap()]
        })
    }

    /// Holds both families against what the box does: its name, and between which hops it is.
    fn blames(&self, kind: &str, place: (u64, u64)) {
        for (code, report) in self.told(PAGE, [&[], &[]]) {
            let at = |path: &str| report.pointer(path).unwrap_or(&Value::Null);
            assert_eq!(
                (code, at("/verdict"), at("/findings/1")),
                (1, &"harmed".into(), &Value::Null),
                "{report}"
            );
            assert_eq!(at("/findings/0/box"), kind, "{report}");
            let hops = ["/findings/0/after_hop", "/findings/0/by_hop"].map(|path| at(path).as_u64());
            assert_eq!(hops, [Some(place.0), Some(place.1)], "{report}");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut page) = self.page.take() {
            page.kill().ok();
            page.wait().ok();
        }
        for role in ["c", "b", "r", "s"] {
            Command::new("ip").args(["netns", "delete", &self.ns(role)]).status().ok();
        }
    }
}

fn results(report: &Value) -> Vec<&str> {
    report["stages"].as_array().unwrap().iter().map(|stage| stage["result"].as_str().unwrap()).collect()
}

#[test]
fn a_healthy_way_is_blamed_for_nothing() {
    let world = World::new("h");
    for (code, report) in world.told(PAGE, [&["--via", "10.0.1.9"], &["--via", "fd00:0:0:1::9"]]) {
        assert_eq!((code, &report["verdict"]), (0, &"healthy".into()), "{report}");
        assert_eq!(results(&report), ["passed"; 7], "{report}");
        assert_eq!(report["findings"], Value::Array(Vec::new()), "{report}");
        let hops: Vec<_> =
            report["hops"].as_array().unwrap().iter().map(|hop| hop["hop"].as_u64().unwrap()).collect();
        assert_eq!(hops, [1, 2], "{report}");
        assert!(report["packets"].as_u64().unwrap() < 100, "{report}");
        let join = &report["stages"][3]["detail"];
        assert!(join.as_str().unwrap().contains(":9") || join.as_str().unwrap().contains(".9"), "{join}");
    }
    // Now the kernel has a second subflow of its own, on which the lines may travel.
    for addr in ["10.0.1.9", "fd00:0:0:1::9"] {
        run(&format!("ip -n {} mptcp endpoint add {addr} dev right subflow", world.ns("c")));
    }
    for (code, report) in world.told(PAGE, [&[], &[]]) {
        assert_eq!((code, results(&report)), (0, vec!["passed"; 7]), "{report}");
    }
    let port = world.hang_up();
    for (code, report) in world.told(port, [&[], &[]]) {
        assert_eq!((code, &report["verdict"]), (0, &"healthy".into()), "{report}");
    }
    let text = world.output(&["10.0.3.2:8080"]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("│ mp_capable ┆ passed") && text.contains("MPTCP passes unharmed; "), "{text}");
}

#[test]
fn a_box_that_drops_syns_is_found_and_this_host_keeps_its_mptcp() {
    let world = World::new("d");
    world.iptables("-A FORWARD -p tcp --syn --tcp-option 30 -j DROP");
    world.blames("drops-syn", (1, 2));
    let counters = run_in(&world.ns("c"), "cat /proc/net/netstat");
    let mptcp: Vec<_> = counters.lines().filter(|line| line.starts_with("MPTcpExt:")).collect();
    let [names, values] = mptcp[..] else { panic!("{counters}") };
    let sent = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "MPCapableSYNTX");
    assert_eq!(sent, Some(("MPCapableSYNTX", "0")), "the kernel sent none");

    for (_, report) in world.told(PAGE, [&["--packets-max", "6"], &["--packets-max", "6"]]) {
        assert_eq!(report.pointer("/findings/0/box"), Some(&"drops-syn".into()), "{report}");
        assert_eq!(
            report.pointer("/findings/0/by_hop"),
            Some(&Value::Null),
            "nothing was left to find it: {report}"
        );
        assert!(report["packets"].as_u64().unwrap() <= 6, "{report}");
    }

    let mut probing = world.probe(&["10.0.3.2:8080"]).stderr(Stdio::piped()).spawn().unwrap();
    wait(Duration::from_millis(500));
    let since = clock::now();
    kill_process(Pid::from_child(&probing), Signal::INT).unwrap();
    assert_eq!(probing.wait().unwrap().code(), Some(130));
    assert!(clock::now().since(since) < Duration::from_millis(500), "it ends at once");
}

#[test]
fn boxes_that_strip_are_told_apart_and_found() {
    let world = World::new("s");
    world.iptables("-A FORWARD -p tcp --syn -j TCPOPTSTRIP --strip-options 30");
    world.blames("strips-syn", (1, 2));
    world.iptables("-F FORWARD");
    world.iptables("-A FORWARD -p tcp -j TCPOPTSTRIP --strip-options 30");
    world.blames("strips-all", (1, 2));
    world.iptables("-F FORWARD");
    world.iptables("-A FORWARD -p tcp --tcp-flags SYN,ACK SYN,ACK -j TCPOPTSTRIP --strip-options 30");
    world.blames("strips-syn-ack", (1, 2));
    world.iptables("-F FORWARD");
    world.iptables(
        "-A FORWARD -p tcp -m connbytes --connbytes 12: --connbytes-dir both --connbytes-mode packets \
         -j TCPOPTSTRIP --strip-options 30",
    );
    world.blames("strips-later", (1, 2));
}

#[test]
fn boxes_of_nftables_are_told_apart_and_found() {
    let world = World::new("f");
    let rules = [
        ("drops-joins", "tcp flags & (syn | ack) == syn tcp option mptcp subtype 1 drop"),
        ("resets-first", "tcp option mptcp exists reset tcp option mptcp"),
    ];
    for (kind, rule) in rules {
        let nft = |command: &str| run_in(&world.ns("b"), &format!("nft {command}"));
        nft("add table inet box");
        nft("add chain inet box forward { type filter hook forward priority -150 ; }");
        nft(&format!("add rule inet box forward {rule}"));
        world.blames(kind, (1, 2));
        nft("delete table inet box");
    }
}

#[test]
fn a_server_without_mptcp_is_not_taken_for_a_box() {
    let mut world = World::new("n");
    let mut page = world.page.take().unwrap();
    kill_process(Pid::from_child(&page), Signal::TERM).unwrap();
    page.wait().unwrap();
    sysctl(&world.ns("s"), "net/mptcp/enabled", "0");
    world.serve();
    for (code, report) in world.told(PAGE, [&[], &[]]) {
        assert_eq!((code, &report["findings"][0]["box"]), (0, &"no-mptcp".into()), "{report}");
        assert!(report["findings"][0]["means"].as_str().unwrap().ends_with("It says so itself"), "{report}");
    }
    sysctl(&world.ns("s"), "net/mptcp/enabled", "1");
    sysctl(&world.ns("c"), "net/mptcp/enabled", "0");
    for (code, report) in world.told(PAGE, [&[], &[]]) {
        assert_eq!((code, &report["verdict"]), (0, &"healthy".into()), "{report}");
    }
}

#[test]
fn what_cannot_be_probed_is_told_with_the_remedy() {
    let world = World::new("e");
    for (args, remedy) in [
        (&["10.0.3.2:8081"][..], "nothing listens on that port"),
        (&["[fd00:0:0:3::2]:8081"], "nothing listens on that port"),
        (&["10.0.3.9:8080"], "does not answer plain TCP"),
        (&["10.0.3.2"], "right is something like www.example.org:443"),
        (&["10.0.3.2:8080", "-6"], "no address of that IP version"),
        (&["10.0.3.2:8080", "--via", "fd00:0:0:1::9"], "of the other IP version"),
        (&["10.0.3.2:8080", "--via", "wlan7"], "`ip address` lists"),
        (&["10.0.3.2:8080", "--packets-max", "1"], "allow more with --packets-max"),
    ] {
        let output = world.output(args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(remedy) && said.lines().count() == 1, "{args:?}: {said}");
    }
    run_in(&world.ns("c"), "ip route del default");
    let said = String::from_utf8(world.output(&["10.0.3.2:8080"]).stderr).unwrap();
    assert!(said.contains("`ip route get 10.0.3.2` says why"), "{said}");
}

#[test]
fn without_the_privilege_it_says_so() {
    let args = ["--bounding-set=-net_raw", "--", MPGATE, "probe", "127.0.0.1:1"];
    let output = Command::new("setpriv").args(args).output().expect("setpriv of util-linux");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("needs CAP_NET_RAW: run it with sudo"), "{said}");
}

#[test]
fn the_help_has_an_example_and_the_bounds() {
    let output = Command::new(MPGATE).args(["probe", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for part in ["sudo mpgate probe www.example.org:443", "--packets-max", "--timeout", "Exit codes: 0 "] {
        assert!(help.contains(part), "{help}");
    }
}

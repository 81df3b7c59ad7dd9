//! `mpgate checkme` as its visitors meet it, over two links with real kernels: curl and a browser, plain and by MPTCP,
//! and boxes on the way that take the option out.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on shall say where")]

mod netns;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use mpgate::clock;
use netns::{inside, run, run_in, sysctl, wait};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;

const PORT: u16 = 8080;

/// A client with two links, a router, and a server on which the page is.
struct World {
    name: String,
    page: Option<Child>,
}

impl World {
    fn new(name: &str, options: &[&str]) -> Self {
        assert!(geteuid().is_root(), "needs root for network namespaces: run it by sudo ./tests/run");
        let name = format!("mpg{}{name}", std::process::id());
        let mut world = Self { name, page: None };
        world.build();
        world.serve(options);
        world
    }

    fn ns(&self, role: &str) -> String {
        format!("{}-{role}", self.name)
    }

    fn build(&self) {
        let [client, router, server] = ["c", "r", "s"].map(|role| self.ns(role));
        for ns in [&client, &router, &server] {
            run(&format!("ip netns add {ns}"));
            run(&format!("ip -n {ns} link set lo up"));
            sysctl(ns, "net/mptcp/blackhole_timeout", "0");
            sysctl(ns, "net/ipv4/conf/all/rp_filter", "0");
            sysctl(ns, "net/ipv4/conf/default/rp_filter", "0");
            sysctl(ns, "net/ipv6/conf/default/accept_dad", "0");
        }
        sysctl(&router, "net/ipv4/ip_forward", "1");
        sysctl(&router, "net/ipv6/conf/all/forwarding", "1");
        for (net, guest) in [(1, &client), (2, &client), (3, &server)] {
            run(&format!("ip -n {router} link add to{net} type veth peer name up{net} netns {guest}"));
            for (ns, link, host) in [(&router, "to", 1), (guest, "up", 2)] {
                run(&format!("ip -n {ns} address add 10.0.{net}.{host}/24 dev {link}{net}"));
                run(&format!("ip -n {ns} address add fd00:0:0:{net}::{host}/64 dev {link}{net} nodad"));
                run(&format!("ip -n {ns} link set {link}{net} up"));
            }
            run(&format!(
                "ip netns exec {router} tc qdisc add dev to{net} root tbf rate 100mbit burst 128kb latency 50ms"
            ));
            for (family, any, via) in
                [("-4", "10.0", format!("10.0.{net}.1")), ("-6", "fd00", format!("fd00:0:0:{net}::1"))]
            {
                let from = if any == "10.0" { format!("10.0.{net}.2") } else { format!("fd00:0:0:{net}::2") };
                run(&format!("ip -n {guest} {family} rule add from {from} table {net}"));
                run(&format!("ip -n {guest} {family} route add default via {via} dev up{net} table {net}"));
                run(&format!("ip -n {guest} {family} route add default via {via} dev up{net} metric {net}"));
            }
        }
        for ns in [&client, &server] {
            run(&format!("ip -n {ns} mptcp limits set subflows 4 add_addr_accepted 4"));
        }
        for addr in ["10.0.2.2", "fd00:0:0:2::2"] {
            run(&format!("ip -n {client} mptcp endpoint add {addr} dev up2 subflow"));
        }
    }

    fn serve(&mut self, options: &[&str]) {
        let mut command = Command::new("ip");
        command.args([
            "netns",
            "exec",
            &self.ns("s"),
            env!("CARGO_BIN_EXE_mpgate"),
            "checkme",
            "--listen",
            "[::]:8080",
        ]);
        let mut page = command.args(options).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(page.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(said.any(|line| line == format!("listening on http://[::]:{PORT}")));
        thread::spawn(move || said.for_each(drop));
        self.page = Some(page);
    }

    fn box_strips(&self, direction: &str) {
        let port = if direction == "to-server" { "--dport" } else { "--sport" };
        let flags = if direction == "to-server" { "SYN" } else { "SYN,ACK" };
        run_in(
            &self.ns("r"),
            &format!(
                "iptables -t mangle -A FORWARD -p tcp {port} {PORT} --tcp-flags SYN,ACK {flags} -j TCPOPTSTRIP --strip-options 30"
            ),
        );
    }

    fn ask(&self, program: &str, path: &str) -> Value {
        self.ask_at(program, "10.0.3.2", path)
    }

    fn ask_at(&self, program: &str, host: &str, path: &str) -> Value {
        let text =
            run_in(&self.ns("c"), &format!("{program} -sS -g --max-time 20 http://{host}:{PORT}{path}"));
        serde_json::from_str(&text).unwrap()
    }

    fn connect(&self) -> TcpStream {
        let addr: SocketAddr = format!("10.0.3.2:{PORT}").parse().unwrap();
        let stream = inside(&self.ns("c"), || TcpStream::connect(addr)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Ends the page as a service manager does.
    fn end(&mut self) {
        let Some(mut page) = self.page.take() else { return };
        kill_process(Pid::from_child(&page), Signal::TERM).unwrap();
        assert!(page.wait().unwrap().success());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut page) = self.page.take() {
            page.kill().ok();
            page.wait().ok();
        }
        for role in ["c", "r", "s"] {
            Command::new("ip").args(["netns", "delete", &self.ns(role)]).status().ok();
        }
    }
}

const PLAIN: &str = "curl";
const MPTCP: &str = "mptcpize run curl";

#[test]
fn the_verdict_is_true_over_both_families() {
    let mut world = World::new("v", &[]);
    for host in ["10.0.3.2", "[fd00:0:0:3::2]"] {
        let plain = world.ask_at(PLAIN, host, "/");
        assert_eq!(
            (&plain["mptcp"], &plain["reason"]),
            (&Value::Bool(false), &"no_mp_capable".into()),
            "{plain}"
        );
        assert!(plain["token"].is_null() && plain["syn"]["mp_capable"].is_null(), "{plain}");
        assert_eq!(plain["subflows"].as_array().unwrap().len(), 1, "{plain}");

        let mptcp = world.ask_at(MPTCP, host, "/json");
        assert_eq!((&mptcp["mptcp"], &mptcp["version"]), (&Value::Bool(true), &1.into()), "{mptcp}");
        assert_eq!(mptcp["syn"]["mp_capable"], 1, "{mptcp}");
        assert!(mptcp["reason"].is_null(), "{mptcp}");
    }
    world.end();
}

/// A download goes on while the rates of its own connection are asked for over others.
#[test]
fn the_rates_are_those_of_the_download_and_its_token_is_the_kernels() {
    let world = World::new("r", &[]);
    let url = format!("http://10.0.3.2:{PORT}/download?bytes=60MB&id=one http://10.0.3.2:{PORT}/json");
    let mut loading = Command::new("ip");
    loading.args([
        "netns",
        "exec",
        &world.ns("c"),
        "mptcpize",
        "run",
        "curl",
        "-sS",
        "--max-time",
        "20",
        "-o",
        "/dev/null",
        "-o",
        "-",
    ]);
    let loading = loading.args(url.split(' ')).stdout(Stdio::piped()).spawn().unwrap();
    wait(Duration::from_secs(1));
    let rates = |_| {
        wait(Duration::from_millis(500));
        world.ask(PLAIN, "/rates?id=one")
    };
    let [before, after] = [0, 1].map(rates);
    let tokens = run_in(&world.ns("s"), "ss -tniH");
    assert_eq!(after["mptcp"], true, "{after}");
    let moved = |rates: &Value| -> Vec<u64> {
        rates["subflows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|flow| flow["acked_bytes"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(after["subflows"].as_array().unwrap().len(), 2, "{after}\n{tokens}");
    assert!(
        moved(&before).iter().zip(moved(&after)).all(|(before, after)| after > before + 100_000),
        "{before} {after}"
    );

    let output = loading.wait_with_output().unwrap();
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["subflows"].as_array().unwrap().len(), 2, "curl used the connection again: {verdict}");
    let token = verdict["token"].as_str().unwrap().trim_start_matches("0x").trim_start_matches('0');
    assert!(tokens.contains(&format!("/{token}(")), "{token}: {tokens}");
}

#[test]
fn a_box_that_takes_the_option_out_of_the_syn_is_told() {
    let world = World::new("x", &[]);
    world.box_strips("to-server");
    let verdict = world.ask(MPTCP, "/");
    assert_eq!(
        (&verdict["mptcp"], &verdict["reason"]),
        (&Value::Bool(false), &"no_mp_capable".into()),
        "{verdict}"
    );
}

#[test]
fn a_box_that_takes_it_out_of_the_answer_is_told_apart() {
    let world = World::new("y", &[]);
    world.box_strips("to-client");
    let verdict = world.ask(MPTCP, "/");
    assert_eq!(
        (&verdict["mptcp"], &verdict["reason"]),
        (&Value::Bool(false), &"handshake_fell_back".into()),
        "{verdict}"
    );
    assert_eq!(verdict["syn"]["mp_capable"], 1, "{verdict}");
}

#[test]
fn a_server_without_mptcp_says_that_it_is_the_one() {
    let mut world = World::new("o", &[]);
    world.end();
    sysctl(&world.ns("s"), "net/mptcp/enabled", "0");
    world.serve(&[]);
    assert_eq!(world.ask(MPTCP, "/")["reason"], "server_off");
}

fn answer(world: &World, request: &str) -> String {
    let mut stream = world.connect();
    write!(stream, "{request} HTTP/1.1\r\nHost: page\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn nothing_else_is_served_and_downloads_have_a_limit() {
    let world = World::new("l", &["--max-bytes", "1MB"]);
    for path in ["/etc/passwd", "/../etc/passwd", "/index.html", "/rates?id=none"] {
        assert!(answer(&world, &format!("GET {path}")).starts_with("HTTP/1.1 404 "), "{path}");
    }
    assert!(answer(&world, "POST /").starts_with("HTTP/1.1 405 "));
    assert!(answer(&world, "GET /download?bytes=2MB").ends_with("at most 1.0 MB\n"));
    assert!(answer(&world, "GET /download?bytes=-1").starts_with("HTTP/1.1 400 "));
    assert!(answer(&world, "HEAD /download?bytes=1MB").contains("content-length: 1000000\r\n"));
    let page = answer(&world, "GET /?x HTTP/1.1\r\nAccept: text/html\r\nX-Rest:");
    for header in [
        "content-security-policy: default-src 'none';",
        "cache-control: no-store",
        "x-content-type-options: nosniff",
    ] {
        assert!(page.contains(header), "{page}");
    }
    assert!(!page.contains("{{"), "{page}");
}

#[test]
fn slow_and_many_clients_lose_their_places() {
    let world = World::new("s", &["--max-per-address", "3", "--max-seconds", "2"]);
    let began = clock::now();
    let mut silent = world.connect();
    let mut deaf = world.connect();
    write!(deaf, "GET /download?bytes=1GB HTTP/1.1\r\nHost: page\r\n\r\n").unwrap();
    let third = world.connect();
    wait(Duration::from_millis(300));
    let mut told = String::new();
    world.connect().read_to_string(&mut told).ok();
    assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
    drop(third);
    wait(Duration::from_millis(300));
    assert!(answer(&world, "GET /json").starts_with("HTTP/1.1 200 "), "a place is free again");
    wait(Duration::from_secs(3));
    let got = deaf.read_to_end(&mut Vec::new()).unwrap_or(0);
    assert!(got < 100_000_000, "{got} bytes after two seconds");
    let mut rest = Vec::new();
    silent.read_to_end(&mut rest).unwrap();
    assert!(clock::now().since(began) < Duration::from_secs(15), "who sends no headers is hung up on");
}

#[test]
fn an_address_in_use_is_told_with_the_remedy() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let output =
        Command::new(env!("CARGO_BIN_EXE_mpgate")).args(["checkme", "--listen", &addr]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains(&addr) && said.contains("ss -tlnp"), "{said}");
}

/// The page as Chromium shows it; with CHECKME_SHOTS its pictures are left in that folder.
fn browse(world: &World, mptcpize: &str, name: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let chromium = format!(
        "{mptcpize}chromium --headless --no-sandbox --disable-gpu --user-data-dir={} --virtual-time-budget=2000",
        home.path().display()
    );
    let url = format!("http://10.0.3.2:{PORT}/");
    if let Ok(folder) = std::env::var("CHECKME_SHOTS") {
        for width in [400, 1000] {
            run_in(
                &world.ns("c"),
                &format!(
                    "timeout 60 {chromium} --window-size={width},900 --screenshot={folder}/{name}-{width}.png {url}"
                ),
            );
        }
    }
    run_in(&world.ns("c"), &format!("timeout 60 {chromium} --dump-dom {url}"))
}

#[test]
fn a_browser_sees_green_by_mptcp_and_why_not_without() {
    let world = World::new("b", &[]);
    let plain = browse(&world, "", "plain");
    assert!(plain.contains("<header class=\"no\">") && plain.contains("without MP_CAPABLE"), "{plain}");
    let mptcp = browse(&world, "mptcpize run ", "mptcp");
    assert!(mptcp.contains("<header class=\"yes\">") && mptcp.contains("MP_CAPABLE, version 1"), "{mptcp}");
}

//! `[capture]` at work: the real program in a network namespace of its own, before real traffic, read by tshark.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on shall say where"
)]

#[expect(dead_code, reason = "other tests change settings of the kernel, too")]
mod netns;

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use etherparse::PacketBuilder;
use mpgate::capture::{Capture, Frame};
use mpgate::clock;
use netns::{inside, run, run_in, wait};
use nix::sys::ptrace;
use nix::unistd::Pid as Tracee;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use socket2::{Domain, Protocol, Socket, Type};
use tempfile::TempDir;

const GATE: &str = env!("CARGO_BIN_EXE_mpgate");

/// What is waited for anything, on a machine that builds other things at the same time.
const PATIENCE: Duration = Duration::from_secs(15);

/// Nobody listens there; a join to it is rejected all the same.
const JOINED: u16 = 4000;
/// MPTCP to this port is stripped.
const PLAIN: u16 = 4001;

const RULES: &str = "[[rule]]\nname = \"plain\"\noption = \"mp_capable\"\nport = 4001\naction = \"strip\"\n";

const HOSTS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// A namespace whose own traffic passes a gate that captures into `evidence` of its folder; both end with this value.
struct World {
    net: String,
    home: TempDir,
    gate: Child,
    log: Receiver<String>,
}

impl World {
    /// `capture` is the rest of that table, `before` what is done in the gate's mount namespace before it starts.
    fn new(capture: &str, before: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(geteuid().is_root(), "needs root for network namespaces: run it by sudo ./tests/run");
        let net = format!("mpg{}ev{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run(&format!("ip netns add {net}"));
        run(&format!("ip -n {net} link set lo up"));
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("evidence")).unwrap();
        fs::write(home.path().join("rules.toml"), RULES).unwrap();
        let settings = format!(
            "rules = [\"rules.toml\"]\nattach = \"input\"\n[capture]\ndirectory = \"evidence\"\n{capture}"
        );
        fs::write(home.path().join("gate.toml"), settings).unwrap();
        let script = format!("{before} exec {GATE} run -c gate.toml");
        let mut gate = Command::new("ip")
            .args(["netns", "exec", &net, "sh", "-ec", &script])
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(gate.stderr.take().unwrap());
        let (tell, log) = sync_channel(10_000);
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let world = Self { net, home, gate, log };
        world.says("ready");
        world
    }

    fn says(&self, words: &str) {
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(words) => return,
                Ok(_other) => {}
                Err(silence) => panic!("the gate did not say `{words}`: {silence}"),
            }
        }
    }

    /// The directory as the gate sees it.
    fn evidence(&self) -> PathBuf {
        let inside = self.home.path().join("evidence");
        let root = PathBuf::from(format!("/proc/{}/root", self.gate.id()));
        root.join(inside.strip_prefix("/").unwrap())
    }

    fn files(&self) -> Vec<PathBuf> {
        captures(&self.evidence())
    }

    /// The value of a series.
    fn counted(&self, series: &str) -> u64 {
        let text = run_in(&self.net, "curl -s -m 5 http://127.0.0.1:9464/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_else(|| panic!("{series} is not in {text}")).trim().parse().unwrap()
    }

    fn frames(&self, result: &str) -> u64 {
        self.counted(&format!("mpgate_capture_frames_total{{result=\"{result}\"}}"))
    }

    fn rejected(&self) -> u64 {
        self.counted("mpgate_verdicts_total{reason=\"unknown_join\",verdict=\"reject\"}")
    }

    fn raw_socket(&self, host: IpAddr) -> Socket {
        let domain = Domain::for_address(SocketAddr::new(host, 0));
        inside(&self.net, || Socket::new(domain, Type::RAW, Some(Protocol::from(255))).unwrap())
    }

    /// Sends SYNs with a token that nobody knows.
    fn join(&self, host: IpAddr, count: usize) {
        let (socket, packet) = (self.raw_socket(host), join_syn(host));
        for _ in 0..count {
            // A full device drops some; that is not what is tried here.
            socket.send_to(&packet, &SocketAddr::new(host, 0).into()).unwrap_or_default();
        }
    }

    /// Sends bytes over a connection that asks for MPTCP and is stripped, and counts what arrives.
    fn transfer(&self, host: IpAddr, bytes: usize) -> usize {
        let addr = SocketAddr::new(host, PLAIN);
        let socket = |protocol| {
            let domain = Domain::for_address(addr);
            inside(&self.net, || Socket::new(domain, Type::STREAM, Some(protocol)).unwrap())
        };
        let listener = socket(Protocol::TCP);
        listener.set_reuse_address(true).unwrap();
        listener.bind(&addr.into()).unwrap();
        listener.listen(1).unwrap();
        thread::scope(|scope| {
            let counted = scope.spawn(|| {
                let mut stream: TcpStream = listener.accept().unwrap().0.into();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                io::copy(&mut stream, &mut io::sink()).unwrap()
            });
            let client = socket(Protocol::MPTCP);
            client.connect_timeout(&addr.into(), PATIENCE).unwrap();
            let mut client = TcpStream::from(client);
            client.write_all(&vec![7; bytes]).unwrap();
            drop(client);
            usize::try_from(counted.join().unwrap()).unwrap()
        })
    }

    fn end(mut self) {
        kill_process(Pid::from_child(&self.gate), Signal::TERM).unwrap();
        assert!(self.gate.wait().unwrap().success());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.gate.kill().ok();
        self.gate.wait().ok();
        Command::new("ip").args(["netns", "del", &self.net]).status().ok();
    }
}

fn captures(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "pcapng"));
    files.sort();
    files
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = clock::now().after(PATIENCE);
    while !holds() {
        assert!(clock::now() < until, "{what}: never");
        wait(Duration::from_millis(50));
    }
}

fn join_syn(host: IpAddr) -> Vec<u8> {
    let join = [30, 12, 0x10, 1, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4];
    let ip = match host {
        IpAddr::V4(host) => PacketBuilder::ipv4(host.octets(), host.octets(), 64),
        IpAddr::V6(host) => PacketBuilder::ipv6(host.octets(), host.octets(), 64),
    };
    let mut bytes = Vec::new();
    ip.tcp(40_000, JOINED, 77, 1000).syn().options_raw(&join).unwrap().write(&mut bytes, &[]).unwrap();
    bytes
}

/// Every frame of a file, which must be whole to its last byte.
fn read(file: &Path) -> Vec<Frame> {
    let mut capture = Capture::open(File::open(file).unwrap()).unwrap();
    let mut frames = Vec::new();
    let mut frame = Frame::default();
    while capture.read(&mut frame).unwrap() {
        frames.push(frame.clone());
    }
    frames
}

fn tshark(file: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    let shown = run(&format!("tshark -r {} -T fields -e {}", file.display(), fields.join(" -e ")));
    shown.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

#[test]
fn tshark_shows_why_each_packet_was_not_accepted_while_the_gate_runs() {
    let world = World::new("", "");
    for host in HOSTS {
        world.join(host, 1);
        assert_eq!(world.transfer(host, 100_000), 100_000);
    }
    wait_until("four frames are written", || world.frames("written") == 4);
    let [file] = world.files().try_into().unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let fields =
        ["frame.comment", "tcp.dstport", "tcp.flags", "tcp.options.mptcp.subtype", "frame.interface_name"];
    let reject = "mpgate: reject (unknown_join), RST with MP_TCPRST 0x01; join_unknown";
    let strip = "mpgate: strip (rule plain, rules.toml:2), mp_capable blanked; new_connection";
    let wanted = [[reject, "4000", "0x0002", "1", "lo"], [strip, "4001", "0x0002", "0", "lo"]];
    assert_eq!(tshark(&file, &fields), [wanted, wanted].concat());
    let epoch: f64 = tshark(&file, &["frame.time_epoch"])[0][0].parse().unwrap();
    assert!(clock::unix().since(mpgate::time::Timestamp::ZERO).as_secs_f64() - epoch < 60.0);
    assert_eq!((world.frames("lost"), world.frames("failed")), (0, 0));
    assert_eq!(world.counted("mpgate_capture_bytes_total"), file.metadata().unwrap().len());
    world.end();
}

#[test]
fn files_rotate_under_traffic_and_no_more_are_kept_than_asked_for() {
    let world = World::new("file_mib = 1\nfiles = 2\n", "");
    let done = AtomicBool::new(false);
    let directory = world.evidence();
    let most = thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(captures(&directory).len());
                wait(Duration::from_millis(2));
            }
            most
        });
        wait_until("five files were begun", || {
            world.join(HOSTS[0], 5_000);
            world.files().iter().any(|file| file.to_str().unwrap().ends_with("-000005.pcapng"))
        });
        done.store(true, Ordering::Relaxed);
        looking.join().unwrap()
    });
    assert_eq!(most, 2);
    wait_until("all is told of", || {
        world.frames("written") + world.frames("lost") + world.frames("failed") == world.rejected()
    });
    assert_eq!((world.frames("failed"), world.counted("mpgate_capture_files")), (0, 2));
    for file in world.files() {
        assert!(file.metadata().unwrap().len() < (1 << 20) + 1000);
        assert_eq!(tshark(&file, &["frame.comment"]).len(), read(&file).len());
    }
    world.end();
}

#[test]
fn a_full_disk_costs_frames_and_no_packets_and_it_goes_on_when_there_is_room() {
    let full =
        "mount -t tmpfs -o size=128k,mode=700 mpgate evidence; head -c 64k /dev/zero >evidence/filler;";
    let world = World::new("", full);
    world.join(HOSTS[0], 10);
    wait_until("some are written", || world.frames("written") == 10);
    wait_until("the disk is full", || {
        world.join(HOSTS[0], 500);
        world.frames("failed") > 0
    });
    world.says("[capture] cannot write to");
    for host in HOSTS {
        assert_eq!(world.transfer(host, 1_000_000), 1_000_000);
    }
    let [file] = world.files().try_into().unwrap();
    let before = read(&file).len();
    assert_eq!(u64::try_from(before).unwrap(), world.frames("written"), "whole up to its last byte");
    fs::remove_file(world.evidence().join("filler")).unwrap();
    wait_until("it writes again", || {
        world.join(HOSTS[0], 1);
        world.frames("written") > u64::try_from(before).unwrap()
    });
    world.says("[capture] writes again");
    let after = u64::try_from(tshark(&file, &["frame.comment"]).len()).unwrap();
    assert!(after <= world.frames("written") && after > u64::try_from(before).unwrap());
    world.end();
}

#[test]
fn packets_pass_and_losses_are_counted_while_the_writer_stands_still() {
    let world = World::new("", "");
    let tasks = fs::read_dir(format!("/proc/{}/task", world.gate.id())).unwrap();
    let named =
        |path: &Path| fs::read_to_string(path.join("comm")).is_ok_and(|name| name == "mpgate-evidence\n");
    let writer = tasks.map(|task| task.unwrap().path()).find(|task| named(task)).unwrap();
    let writer = Tracee::from_raw(writer.file_name().unwrap().to_str().unwrap().parse().unwrap());
    ptrace::seize(writer, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(writer).unwrap();
    wait_until("frames are lost", || {
        world.join(HOSTS[0], 5_000);
        world.frames("lost") > 0
    });
    for host in HOSTS {
        let began = clock::now();
        assert_eq!(world.transfer(host, 1_000_000), 1_000_000);
        assert!(clock::now().since(began) < Duration::from_secs(1), "{host}");
    }
    assert_eq!(world.frames("written"), 0);
    nix::sys::wait::waitpid(writer, Some(nix::sys::wait::WaitPidFlag::__WALL)).unwrap();
    ptrace::detach(writer, None).unwrap();
    wait_until("what waited is written", || {
        world.frames("written") + world.frames("lost") == world.rejected() + 2
    });
    assert!(world.frames("written") >= 4096);
    world.end();
}

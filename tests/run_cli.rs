//! The life of `mpgate run`, as the real program in a network namespace of its own: what it says of bad input, how it
//! starts, reloads and ends, and that it leaves nothing behind.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on shall say where")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};

const GATE: &str = env!("CARGO_BIN_EXE_mpgate");

/// What the gate promises to take at most to start, and to end.
const PROMISE: Duration = Duration::from_secs(2);

/// What is waited for anything else, on a machine that builds other things at the same time.
const PATIENCE: Duration = Duration::from_secs(10);

const GOOD: &str = "[[rule]]\nname = \"first\"\noption = \"mp_join\"\naction = \"accept\"\n";
const BETTER: &str = "[[rule]]\nname = \"second\"\noption = \"mp_join\"\naction = \"accept\"\n";
const WRONG: &str = "[[rule]]\nname = \"third\"\noptoin = \"mp_join\"\naction = \"acept\"\n";

/// A network namespace that goes away with this value.
struct Net(String);

impl Net {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert!(geteuid().is_root(), "needs root for network namespaces: run it by sudo ./tests/run");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let net = Self(format!("mpg{}run{number}", std::process::id()));
        assert!(ip(&["netns", "add", &net.0]).status.success());
        assert!(ip(&["-n", &net.0, "link", "set", "lo", "up"]).status.success());
        net
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0, program]).stdin(Stdio::null());
        command
    }

    /// What a program that ends by itself prints.
    fn text(&self, program: &str, args: &[&str]) -> String {
        let output = self.command(program).args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the gate to its end; it must come to one by itself.
    fn run(&self, args: &[&str]) -> Output {
        self.command("timeout").args(["10", GATE, "run"]).args(args).output().unwrap()
    }

    fn start(&self, args: &[&str]) -> Gate {
        let gate = self.spawn(args);
        gate.says("ready", PATIENCE);
        gate
    }

    fn spawn(&self, args: &[&str]) -> Gate {
        Gate::spawn(self.command(GATE).arg("run").args(args))
    }

    /// The body of an answer, and behind it its status.
    fn get(&self, path: &str) -> String {
        let url = format!("http://127.0.0.1:9464{path}");
        self.text("curl", &["-s", "-m", "5", "-w", "%{http_code}", &url])
    }

    /// The kernel's rules; not the empty chains of iptables, which are there once somebody has looked.
    fn ruleset(&self) -> Vec<String> {
        let saved = self.text("iptables-save", &[]) + &self.text("ip6tables-save", &[]);
        let tables = self.text("nft", &["list", "tables"]);
        let rules = saved.lines().filter(|line| line.starts_with("-A") || line.contains("MPGATE"));
        rules.chain(tables.lines().filter(|line| line.contains("mpgate"))).map(str::to_owned).collect()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]);
    }
}

/// A gate that said `ready`; it is killed with this value.
struct Gate {
    child: Child,
    lines: Receiver<String>,
}

impl Gate {
    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (tell, lines) = sync_channel(1000);
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, lines }
    }

    /// Waits for a line that holds `words`.
    fn says(&self, words: &str, within: Duration) {
        loop {
            match self.lines.recv_timeout(within) {
                Ok(line) if line.contains(words) => return,
                Ok(_other) => {}
                Err(silence) => panic!("the gate did not say `{words}`: {silence}"),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it closes its standard error, which it does by ending.
    fn ended(mut self, within: Duration) -> ExitStatus {
        loop {
            match self.lines.recv_timeout(within) {
                Ok(_line) => {}
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap(),
                Err(RecvTimeoutError::Timeout) => panic!("the gate does not end"),
            }
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn ip(args: &[&str]) -> Output {
    Command::new("ip").args(args).output().unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What a person is told at the end, behind the lines of the log.
fn complaint(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!stderr.contains("panicked"), "{stderr}");
    let start = ["mpgate: ", "error: "].iter().find_map(|start| stderr.find(start));
    stderr[start.unwrap_or_else(|| panic!("no word of what is wrong: {stderr}"))..].to_owned()
}

fn assert_refused(output: &Output, words: &str) {
    let told = complaint(output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains(words), "`{words}` is not in: {told}");
}

#[test]
fn bad_rules_and_settings_are_refused_in_clear_words_and_leave_nothing_behind() {
    let net = Net::new();
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let file = home.path().join(name);
        fs::write(&file, bytes).unwrap();
        file
    };
    let missing = home.path().join("missing.toml");
    let directory = home.path().join("empty");
    fs::create_dir(&directory).unwrap();
    let huge = write("huge.toml", &vec![b'#'; (8 << 20) + 1]);
    let binary = write("binary.toml", b"[policy]\n\xff\xfe");
    let odd = write("odd.conf", b"listen = \"none\"\nqueues = 3\n");
    let before = net.ruleset();
    for (option, value, words) in [
        ("--rules", path(&missing), "missing.toml: cannot be read: No such file"),
        ("--rules", path(&directory), "empty: no rule file in this directory"),
        ("--rules", path(&huge), "huge.toml: is larger than 8 MiB"),
        ("--rules", path(&binary), "binary.toml:2: is not UTF-8"),
        ("--rules", "/dev/zero", "/dev/zero: is neither a file nor a directory"),
        ("--config", path(&missing), "cannot read the configuration"),
        ("--config", path(&huge), "is longer than"),
        ("--config", path(&odd), "odd.conf:2:1: unknown field `queues`"),
        ("--queue", "3-1", "3-1 runs backwards; write 1-3"),
        ("--queue", "0-70000", "`70000` is not a queue number"),
        ("--queue-packets", "0", "--queue-packets"),
        ("--listen", "9464", "no address with a port"),
        ("--mode", "most", "control, strict, all"),
    ] {
        let output = net.run(&[option, value, "--attach", "forward"]);
        assert_refused(&output, words);
        let told = complaint(&output);
        // What the command line parser says has a second line that points to --help.
        assert!(told.starts_with("error: ") || told.lines().count() == 1, "{told}");
    }
    assert_eq!(net.ruleset(), before);
}

#[test]
fn all_errors_of_a_rule_file_are_told_at_once() {
    let net = Net::new();
    let file = tempfile::Builder::new().suffix("wrong.toml").tempfile().unwrap();
    fs::write(file.path(), WRONG).unwrap();
    let before = net.ruleset();
    let output = net.run(&["--rules", path(file.path()), "--attach", "forward"]);
    for words in ["wrong.toml:3", "optoin", "`option`", "acept", "`accept`"] {
        assert_refused(&output, words);
    }
    assert_eq!(net.ruleset(), before);
}

#[test]
fn an_empty_rule_file_is_the_default_policy() {
    let net = Net::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    let gate = net.start(&["--rules", path(file.path())]);
    gate.signal(Signal::TERM);
    assert!(gate.ended(PATIENCE).success());
}

#[test]
fn a_queue_or_a_port_in_use_is_named_and_the_gate_that_has_it_goes_on() {
    let net = Net::new();
    let first = net.start(&["--queue", "7", "--attach", "forward"]);
    let attached = net.ruleset();
    let output = net.run(&["--queue", "6-7", "--listen", "none", "--attach", "forward"]);
    assert_refused(&output, "queue 7 is in use");
    let output = net.run(&["--queue", "8", "--attach", "forward"]);
    assert_refused(&output, "cannot listen on 127.0.0.1:9464");
    assert_eq!(net.ruleset(), attached);
    assert!(net.get("/readyz").ends_with("200"));
    first.signal(Signal::TERM);
    assert!(first.ended(PATIENCE).success());
}

#[test]
fn without_root_it_says_what_is_missing() {
    let net = Net::new();
    // Where this program was built, nobody else may look.
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = home.path().join("mpgate");
    fs::copy(GATE, &program).unwrap();
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", path(&program), "run"];
    let output = net.command("setpriv").args(nobody).args(["--attach", "forward"]).output().unwrap();
    assert_refused(&output, "is missing; run as root");
    assert_eq!(complaint(&output).lines().count(), 1);
}

#[test]
fn a_ready_gate_serves_every_series_and_ends_at_sigterm() {
    let net = Net::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), GOOD).unwrap();
    let gate = net.spawn(&["--queue", "2-3", "--rules", path(file.path())]);
    gate.says("ready", PROMISE);
    assert_eq!(net.get("/readyz"), "ready\n200");
    assert_eq!(net.get("/healthz"), "ok\n200");
    assert!(net.get("/").ends_with("404"));
    let metrics = net.get("/metrics");
    for series in [
        "mpgate_packets_total{queue=\"2\"} 0",
        "mpgate_packets_total{queue=\"3\"} 0",
        "mpgate_verdicts_total{reason=\"forged_join\",verdict=\"reject\"} 0",
        "mpgate_rule_hits_total{rule=\"first\"} 0",
        "mpgate_options_total{subtype=\"mp_join\",version=\"1\"} 0",
        "mpgate_joins_total{result=\"verified\"} 0",
        "mpgate_connections 0",
        "mpgate_subflows 0",
        "mpgate_fallbacks_total{cause=\"plain_answer\"} 0",
        "mpgate_resets_sent_total{reason=\"prohibited\"} 0",
        "mpgate_resets_seen_total{reason=\"none\"} 0",
        "mpgate_queue_waiting{queue=\"3\"} 0",
        "mpgate_queue_dropped_total{queue=\"3\",where=\"user\"} 0",
        "mpgate_queue_errors_total{queue=\"2\"} 0",
        "mpgate_decision_seconds_count 0",
        "mpgate_rules_reloads_total{result=\"error\"} 0",
        "mpgate_rules_generation 1",
        "mpgate_capture_frames_total{result=\"written\"} 0",
        "mpgate_capture_frames_total{result=\"lost\"} 0",
        "mpgate_capture_frames_total{result=\"failed\"} 0",
        "mpgate_capture_bytes_total 0",
        "mpgate_capture_files 0",
        "mpgate_build_info{version=",
    ] {
        assert!(metrics.contains(&format!("\n{series}")), "{series} is not in:\n{metrics}");
    }
    gate.signal(Signal::TERM);
    assert!(gate.ended(PROMISE).success());
}

#[test]
fn rules_reload_at_sighup_and_when_the_file_changes_and_a_bad_file_changes_nothing() {
    let net = Net::new();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("rules.toml");
    fs::write(&file, GOOD).unwrap();
    let replace = |rules| {
        fs::write(home.path().join("next"), rules).unwrap();
        fs::rename(home.path().join("next"), &file).unwrap();
    };
    let gate = net.start(&["--rules", path(&file)]);

    gate.signal(Signal::HUP);
    gate.says("rules reloaded", PATIENCE);
    let metrics = net.get("/metrics");
    assert!(metrics.contains("mpgate_rules_generation 2"), "{metrics}");

    replace(BETTER);
    gate.says("rules reloaded", PATIENCE);
    let metrics = net.get("/metrics");
    assert!(metrics.contains("mpgate_rule_hits_total{rule=\"second\"} 0"), "{metrics}");
    assert!(!metrics.contains("rule=\"first\""), "{metrics}");

    replace(WRONG);
    gate.says("rules not reloaded", PATIENCE);
    gate.signal(Signal::HUP);
    gate.says("rules not reloaded", PATIENCE);
    let metrics = net.get("/metrics");
    assert!(metrics.contains("mpgate_rules_reloads_total{result=\"error\"} 2"), "{metrics}");
    assert!(metrics.contains("mpgate_rules_reloads_total{result=\"ok\"} 2"), "{metrics}");
    assert!(metrics.contains("mpgate_rules_generation 3"), "{metrics}");
    assert!(metrics.contains("mpgate_rule_hits_total{rule=\"second\"} 0"), "{metrics}");

    gate.signal(Signal::TERM);
    assert!(gate.ended(PATIENCE).success());
}

#[test]
fn rules_reload_when_a_list_that_a_set_names_changes_or_appears() {
    let net = Net::new();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("rules.toml");
    let rules = |list: &str| {
        format!(
            "[sets]\nbad = {{ file = \"{list}\" }}\n[[rule]]\nname = \"r\"\nfrom = \"@bad\"\naction = \"strip\"\n"
        )
    };
    fs::write(home.path().join("first.txt"), "192.0.2.1\n").unwrap();
    fs::write(&file, rules("first.txt")).unwrap();
    let gate = net.start(&["--rules", path(&file)]);

    fs::write(home.path().join("first.txt"), "192.0.2.2\n").unwrap();
    gate.says("rules reloaded", PATIENCE);
    fs::write(&file, rules("lists/second.txt")).unwrap();
    gate.says("cannot be read: No such file", PATIENCE);
    fs::create_dir(home.path().join("lists")).unwrap();
    gate.says("rules not reloaded", PATIENCE);
    fs::write(home.path().join("lists/second.txt"), "192.0.2.3\n").unwrap();
    gate.says("rules reloaded", PATIENCE);
    fs::write(home.path().join("lists/second.txt"), "host.example\n").unwrap();
    gate.says("lists/second.txt:1:1", PATIENCE);

    gate.signal(Signal::TERM);
    assert!(gate.ended(PATIENCE).success());
}

#[test]
fn an_attached_gate_takes_its_kernel_rules_out_at_every_signal_that_ends_it() {
    let net = Net::new();
    let foreign = ["-t", "mangle", "-A", "FORWARD", "-p", "udp", "-j", "ACCEPT"];
    assert!(net.command("iptables").args(foreign).status().unwrap().success());
    let before = net.ruleset();
    for signal in [Signal::TERM, Signal::INT, Signal::QUIT] {
        let gate = net.start(&["--attach", "forward", "--queue", "1-2"]);
        assert_ne!(net.ruleset(), before);
        gate.signal(signal);
        assert!(gate.ended(PATIENCE).success());
        assert_eq!(net.ruleset(), before, "after {signal:?}");
    }
}

#[test]
fn the_sample_configuration_is_understood() {
    let net = Net::new();
    let home = tempfile::tempdir().unwrap();
    let logs = home.path().join("logs");
    let sample = &include_str!("../deploy/mpgate.toml").replace("/var/log/mpgate", path(&logs));
    // Prose has a space behind the #, a default that is commented out has none.
    let defaults = sample.replace("\n#queue = \"0-3\"", "").replace("\n#", "\n");
    let settings: String =
        defaults.lines().filter(|line| !line.starts_with(' ')).map(|line| format!("{line}\n")).collect();
    for (name, text) in [("sample.toml", sample), ("defaults.toml", &settings)] {
        let file = home.path().join(name);
        fs::write(&file, text).unwrap();
        fs::write(home.path().join("rules"), GOOD).unwrap();
        let gate = net.start(&["--config", path(&file), "--attach", "forward", "--backend", "iptables"]);
        gate.signal(Signal::TERM);
        assert!(gate.ended(PATIENCE).success());
        assert_eq!(logs.is_dir(), name == "defaults.toml", "nothing is captured unless asked for");
    }
}

#[test]
fn systemd_is_told_when_it_is_ready_while_it_is_well_and_when_it_ends() {
    let net = Net::new();
    let home = tempfile::tempdir().unwrap();
    let systemd = UnixDatagram::bind(home.path().join("notify")).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut words = [0; 100];
        let len = systemd.recv(&mut words).unwrap();
        String::from_utf8_lossy(&words[..len]).trim().to_owned()
    };
    let mut gate = net.command(GATE);
    gate.arg("run").env("NOTIFY_SOCKET", home.path().join("notify")).env("WATCHDOG_USEC", "9000000");
    let child = gate.stderr(Stdio::null()).spawn().unwrap();
    let (_nothing, lines) = sync_channel(0);
    let gate = Gate { child, lines };
    assert_eq!([told(), told(), told()], ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]);
    gate.signal(Signal::TERM);
    assert!(told() == "STOPPING=1" || told() == "STOPPING=1", "one more sign of life may come between");
}

#[test]
fn a_closed_standard_error_ends_nothing() {
    let net = Net::new();
    let mut child = net.command(GATE).arg("run").stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "ready"));
    let (_nothing, lines) = sync_channel(0);
    let mut gate = Gate { child, lines };
    gate.signal(Signal::HUP);
    assert_eq!(net.get("/healthz"), "ok\n200");
    gate.signal(Signal::TERM);
    assert!(gate.child.wait().unwrap().success());
}

#[test]
fn the_workers_and_no_other_thread_come_before_ordinary_programs_unless_told_otherwise() {
    let net = Net::new();
    let threads = |gate: &Gate| {
        let tasks = fs::read_dir(format!("/proc/{}/task", gate.child.id())).unwrap();
        let mut threads: Vec<_> = tasks
            .map(|task| {
                let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
                let (name, fields) = stat.split_once('(').unwrap().1.rsplit_once(") ").unwrap();
                // Fields 40 and 41 of proc_pid_stat(5), of which these begin with the third.
                let fields: Vec<_> = fields.split(' ').collect();
                format!("{name}: priority {}, policy {}", fields[37], fields[38])
            })
            .collect();
        threads.sort();
        threads
    };
    for (option, workers) in
        [(None, "priority 1, policy 2"), (Some("--ordinary-priority"), "priority 0, policy 0")]
    {
        let gate = net.start(&["--queue", "0-1"].into_iter().chain(option).collect::<Vec<_>>());
        // Its `ready` may come before a new thread's first step.
        thread::park_timeout(Duration::from_millis(300));
        let threads = threads(&gate);
        let (ours, others): (Vec<_>, Vec<_>) = threads
            .iter()
            .partition(|thread| thread.starts_with("mpgate-q") || thread.starts_with("mpgate-guard"));
        let guard = option.is_none().then(|| format!("mpgate-guard: {workers}"));
        let expected = guard.into_iter().chain((0..2).map(|queue| format!("mpgate-q{queue}: {workers}")));
        assert_eq!(ours, expected.collect::<Vec<_>>().iter().collect::<Vec<_>>());
        assert!(others.iter().all(|thread| thread.ends_with("priority 0, policy 0")), "{others:?}");
    }
    let unprivileged = Gate::spawn(net.command("setpriv").args(["--bounding-set=-sys_nice", GATE, "run"]));
    unprivileged.says("CAP_SYS_NICE or LimitRTPRIO=1 lets it", PATIENCE);
}

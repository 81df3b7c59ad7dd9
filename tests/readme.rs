//! Every command of the README is run, its output and its rule file are true.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use mpgate::rules::{Source, compile};
use rustix::process::{Pid, Signal, geteuid, kill_process};

const TOP: &str = env!("CARGO_MANIFEST_DIR");

/// The two that run this test, or what it tests, among much else: continuous integration runs both.
const SCRIPTS: [&str; 2] = ["sudo ./deploy/quickstart", "sudo ./tests/run"];

/// The blocks of that language.
fn blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(Path::new(TOP).join("README.md")).unwrap();
    let fence = format!("```{language}\n");
    readme.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// A network namespace, and a folder of programs with `mpgate`, and `sudo` that is no hurdle to root.
struct Shell {
    net: String,
    programs: tempfile::TempDir,
}

impl Shell {
    fn new() -> Self {
        assert!(geteuid().is_root(), "needs root for a network namespace: run it by sudo ./tests/run");
        let programs = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mpgate"), programs.path().join("mpgate")).unwrap();
        let sudo = programs.path().join("sudo");
        fs::write(&sudo, "#!/bin/sh\nexec \"$@\"\n").unwrap();
        fs::set_permissions(&sudo, fs::Permissions::from_mode(0o755)).unwrap();
        let net = format!("mpg{}readme", std::process::id());
        assert!(Command::new("ip").args(["netns", "add", &net]).status().unwrap().success());
        assert!(Command::new("ip").args(["-n", &net, "link", "set", "lo", "up"]).status().unwrap().success());
        Self { net, programs }
    }

    fn command(&self, line: &str) -> Command {
        let path = format!("{}:{}", self.programs.path().display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.net, "sh", "-c", &format!("exec {line}")]);
        command.env("PATH", path).current_dir(TOP).stdin(Stdio::null());
        command
    }

    /// Runs a gate until it is ready, and ends it as a service manager would.
    fn run_gate(&self, line: &str) {
        let mut gate = self.command(line).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(gate.stderr.take().unwrap());
        let mut lines = stderr.lines().map(Result::unwrap);
        assert!(lines.any(|line| line == "ready"), "{line}: never ready");
        kill_process(Pid::from_child(&gate), Signal::TERM).unwrap();
        let log: Vec<_> = lines.collect();
        assert!(gate.wait().unwrap().success(), "{line}: {log:?}");
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let gone = Command::new("ip").args(["netns", "delete", &self.net]).status();
        assert!(gone.is_ok_and(|status| status.success()));
    }
}

#[test]
fn every_command_works() {
    let shell = Shell::new();
    let blocks = blocks("sh").concat();
    let lines: Vec<_> = blocks.lines().map(|line| line.split('#').next().unwrap().trim()).collect();
    assert!(lines.len() >= 8, "only {} commands", lines.len());
    for line in lines {
        if SCRIPTS.contains(&line) {
            let script = Path::new(TOP).join(line.trim_start_matches("sudo "));
            assert_ne!(fs::metadata(script).unwrap().permissions().mode() & 0o111, 0, "{line}");
        } else if line.contains("mpgate run") {
            shell.run_gate(line);
        } else {
            let output = shell.command(line).output().unwrap();
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn the_output_is_real() {
    let blocks = blocks("console");
    assert!(!blocks.is_empty());
    for block in blocks {
        let (line, wanted) = block.strip_prefix("$ ").unwrap().split_once('\n').unwrap();
        let path = Path::new(env!("CARGO_BIN_EXE_mpgate")).parent().unwrap();
        let path = format!("{}:{}", path.display(), std::env::var("PATH").unwrap());
        let output =
            Command::new("sh").args(["-c", line]).env("PATH", path).current_dir(TOP).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), wanted, "{line}");
    }
}

#[test]
fn the_rule_file_is_clean() {
    for text in blocks("toml") {
        let (_rules, warnings) = compile(&[Source { path: "README.md".to_owned(), text }]).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
    }
}

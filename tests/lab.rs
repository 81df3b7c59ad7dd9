//! `mpgate lab` as a person meets it: every scene over both families, what ^C leaves behind, and what it says when it
//! cannot run.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on shall say where")]

mod labs;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use labs::{left_by, text};
use mpgate::lab::SCENES;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;

const MPGATE: &str = env!("CARGO_BIN_EXE_mpgate");

/// Enough to judge both links by.
const BYTES: &str = "20M";

/// Debian's `nobody`.
const NOBODY: u32 = 65_534;

fn lab(args: &[&str]) -> Command {
    assert!(geteuid().is_root(), "needs root for network namespaces: run it by sudo ./tests/run");
    let mut command = Command::new(MPGATE);
    command.arg("lab").args(args).stdin(Stdio::null());
    command
}

fn every_scene_passes(family: &[&str]) {
    let mut command = lab(family);
    command.args(["--json", "--bytes", BYTES]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let pid = child.id();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&stdout).unwrap();
    assert!(status.success(), "{report:#}\n{}", text(&stderr));
    let scenes = report["scenes"].as_array().unwrap();
    let numbers: Vec<_> = scenes.iter().map(|scene| scene["scene"].as_u64().unwrap()).collect();
    assert_eq!(numbers, SCENES.map(|scene| u64::from(scene.number)));
    assert!(scenes.iter().all(|scene| scene["checks"].as_array().unwrap().len() >= 5), "{report:#}");
    assert_eq!(left_by(pid), [""; 0]);
}

#[test]
fn every_scene_passes_over_ipv4() {
    every_scene_passes(&[]);
}

#[test]
fn every_scene_passes_over_ipv6() {
    every_scene_passes(&["--ipv6"]);
}

/// Starts a scene with a gate, and ends the lab in the middle of the transfer.
fn ended_by(signal: Signal) {
    let mut command = lab(&["--scene", "4"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child: Child = command.spawn().unwrap();
    let pid = child.id();
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(progress.any(|line| line.contains("Mbit/s, link100")), "a transfer is under way");
    assert_eq!(left_by(pid).len(), 4, "three namespaces and the rules");
    kill_process(Pid::from_child(&child), signal).unwrap();
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(130));
    assert_eq!(text(&stdout), "");
    assert_eq!(left_by(pid), [""; 0]);
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    ended_by(Signal::INT);
}

#[test]
fn a_termination_leaves_nothing_behind() {
    ended_by(Signal::TERM);
}

/// Downloads through the proxy, and checks what `--json` says of it, and `--plot` draws.
fn a_download_passes(family: &[&str]) {
    let place = tempfile::tempdir().unwrap();
    let plot = place.path().join("download.svg");
    let mut command = lab(&["proxy", "--json", "--bytes", "60MB", "--plot"]);
    let child =
        command.arg(&plot).args(family).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&stdout).unwrap();
    assert!(status.success() && report["passed"] == true, "{report:#}\n{}", text(&stderr));
    assert_eq!((report["bytes"].as_u64(), report["received"].as_u64()), (Some(60_000_000), Some(60_000_000)));
    assert_eq!(report["sha256"]["file"].as_str().unwrap().len(), 64);
    assert_eq!(report["sha256"]["file"], report["sha256"]["received"]);
    let links = report["links"].as_array().unwrap();
    assert_eq!(links.iter().map(|link| &link["name"]).collect::<Vec<_>>(), ["eth0", "wlan0"]);
    assert!(links.iter().all(|link| link["percent_both_up"].as_u64().unwrap() >= 25), "{report:#}");
    let events: Vec<_> = report["events"].as_array().unwrap().iter().map(|event| &event["what"]).collect();
    assert_eq!(events, ["join_accepted", "link_cut", "link_back", "join_accepted"]);
    assert_eq!(report["checks"].as_array().unwrap().len(), 11, "{report:#}");
    let plot = fs::read_to_string(plot).unwrap();
    let words = ["eth0", "wlan0", "the gate accepts a join", "wlan0 is cut", "wlan0 is back"];
    assert_eq!(words.map(|word| plot.contains(word)), [true; 5]);
    assert_eq!(left_by(pid), [""; 0]);
}

#[test]
fn a_download_over_ipv4_passes_twice_in_a_row() {
    a_download_passes(&[]);
    a_download_passes(&[]);
}

#[test]
fn a_download_over_ipv6_passes_twice_in_a_row() {
    a_download_passes(&["--ipv6"]);
    a_download_passes(&["--ipv6"]);
}

/// The programs that a process has started and that still are there, by their numbers.
fn children(pid: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let number = entry.unwrap().file_name().into_string().unwrap().parse::<u32>().ok()?;
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        let parent = stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse::<u32>().ok()?;
        Some((number, parent))
    });
    processes.filter(|(_, parent)| *parent == pid).map(|(number, _)| number).collect()
}

#[test]
fn an_interrupted_download_leaves_nothing_behind() {
    let plot = tempfile::tempdir().unwrap();
    let mut command = lab(&["proxy", "--bytes", "60MB", "--plot"]);
    command.arg(plot.path().join("download.svg")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child: Child = command.spawn().unwrap();
    let pid = child.id();
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(progress.any(|line| line.contains("wlan0 is cut")), "a download is under way");
    assert_eq!(left_by(pid).len(), 6, "four namespaces, the rules, and what is served");
    let programs = children(pid);
    assert!(programs.len() >= 4, "the gate, nginx, HAProxy and curl: {programs:?}");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    assert_eq!((status.code(), text(&stdout)), (Some(130), ""));
    assert_eq!(left_by(pid), [""; 0]);
    let alive = |number: &u32| Path::new("/proc").join(number.to_string()).exists();
    assert_eq!(programs.into_iter().filter(alive).collect::<Vec<_>>(), [0; 0]);
    assert_eq!(fs::read_dir(plot.path()).unwrap().count(), 0);
}

fn refused(mut command: Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!((status.code(), text(&stdout)), (Some(2), ""));
    let said = text(&stderr).to_owned();
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn without_root_it_says_so() {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = place.path().join("mpgate");
    fs::copy(MPGATE, &program).unwrap();
    let mut command = Command::new(program);
    command.arg("lab");
    if geteuid().is_root() {
        command.uid(NOBODY);
    }
    assert!(refused(command).contains("sudo"));
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    let mut command = lab(&[]);
    command.env("PATH", "/nonexistent");
    assert!(refused(command).contains("apt install iproute2"));
}

#[test]
fn a_program_that_only_the_download_needs_is_named_too() {
    let programs = tempfile::tempdir().unwrap();
    for program in ["ip", "tc", "iptables", "ip6tables"] {
        std::os::unix::fs::symlink("/bin/true", programs.path().join(program)).unwrap();
    }
    let mut command = lab(&["proxy"]);
    command.env("PATH", programs.path());
    assert!(refused(command).contains("apt install haproxy"));
}

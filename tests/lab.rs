//! `mpgate lab` as a person meets it: every scene over both families, what ^C leaves behind, and what it says when it
//! cannot run.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on shall say where")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

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

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Names of namespaces and of files that bear the number of a lab's process.
fn left_by(pid: u32) -> Vec<String> {
    let directories = ["/run/netns".into(), std::env::temp_dir()];
    let entries = directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&format!("mpg{pid}-"))).collect()
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

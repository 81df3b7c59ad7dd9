//! The two programs, and what they print.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// The objects that replay prints, one a segment.
pub(super) fn replay(capture: &Path) -> Vec<Value> {
    let lines = mpgate(capture, "--json");
    let objects = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    objects.filter(|object| object.get("type").is_none_or(|kind| kind == "segment")).collect()
}

/// All that replay says in the two forms of its output.
pub(super) fn replay_as_text(capture: &Path) -> String {
    mpgate(capture, "--all") + &mpgate(capture, "--json")
}

fn mpgate(capture: &Path, form: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpgate"));
    text(command.arg("replay").arg(capture).arg(form).output().unwrap())
}

/// The layers that tshark prints, one object a segment.
pub(super) fn tshark(capture: &Path) -> Vec<Value> {
    let mut command = Command::new("tshark");
    let output =
        command.args(["-n", "-Y", "tcp", "-T", "json", "--no-duplicate-keys", "-r"]).arg(capture).output();
    serde_json::from_str(&text(output.expect("tshark is not installed: apt install tshark"))).unwrap()
}

/// The fields that tshark has for MPTCP options, without their prefix.
pub(super) fn fields_of_tshark() -> Vec<String> {
    let fields = text(Command::new("tshark").args(["-G", "fields"]).output().unwrap());
    let names =
        fields.lines().filter_map(|line| line.split('\t').nth(2)?.strip_prefix(super::options::PREFIX));
    names.map(str::to_owned).collect()
}

fn text(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

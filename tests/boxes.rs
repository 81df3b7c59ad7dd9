//! `mpgate lab boxes` as a person meets it: what boxes do to MPTCP and mpgate does not, over both families, what ^C
//! leaves behind, and the page.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on shall say where")]

mod labs;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use labs::{left_by, text};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;

fn boxes(args: &[&str]) -> Command {
    assert!(geteuid().is_root(), "needs root for network namespaces: run it by sudo ./tests/run");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpgate"));
    command.args(["lab", "boxes"]).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// One lab at a time: what it judges by are times, too.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Plays these boxes with a small download; gives the rows by their order.
fn played(names: &[&str], more: &[&str]) -> Vec<Value> {
    let child = boxes(&["--json", "--bytes", "10MB", "--box", &names.join(",")]).args(more).spawn().unwrap();
    let pid = child.id();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert!(!stdout.is_empty(), "{}", text(&stderr));
    let report: Value = serde_json::from_slice(&stdout).unwrap();
    assert!(status.success() && report["passed"] == true, "{report:#}\n{}", text(&stderr));
    assert_eq!(left_by(pid), [""; 0]);
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| &row["box"]).collect::<Vec<_>>(), names);
    rows.clone()
}

/// The part of `whole` that one link carried, from 0 to 100.
fn percent(row: &Value, link: usize) -> u64 {
    let by_link = &row["transfer"]["by_link"];
    let bytes = [0, 1].map(|link| by_link[link].as_u64().unwrap());
    bytes[link] * 100 / bytes.iter().sum::<u64>().max(1)
}

#[test]
fn boxes_over_ipv4_and_a_page_that_needs_nothing_else() {
    let _alone = alone();
    let place = tempfile::tempdir().unwrap();
    let html = place.path().join("boxes.html");
    let names = ["none", "resets-syn", "strips-all", "mpgate-default"];
    let rows = played(&names, &["--html", html.to_str().unwrap()]);
    let [none, resets, strips, gate] = [0, 1, 2, 3].map(|at| &rows[at]);
    for works in [none, gate] {
        assert_eq!((&works["outcome"], &works["mptcp"]["turned_off"]), (&"whole".into(), &0.into()));
        assert!(percent(works, 0) >= 10 && percent(works, 1) >= 10, "{works:#}");
        assert_eq!(works["probe"]["findings"], Value::Array(Vec::new()));
    }
    assert_eq!(gate["gate"]["joins_verified"], 1);
    assert!(none["gate"].is_null());
    assert_eq!((&resets["outcome"], &resets["connects"]["failed"]), (&"refused".into(), &6.into()));
    assert!(resets["connects"]["worst_micros"].is_null());
    assert_eq!((&strips["outcome"], &strips["mptcp"]["connections"]), (&"whole".into(), &0.into()));
    assert!(percent(strips, 1) <= 1, "{strips:#}");
    for (row, name) in [(resets, "resets-syn"), (strips, "strips-all")] {
        let finding = &row["probe"]["findings"][0];
        assert_eq!((&finding["box"], &finding["by_hop"]), (&name.into(), &3.into()), "{row:#}");
    }

    let page = fs::read_to_string(html).unwrap();
    assert!(names.iter().all(|name| page.contains(&format!("<th>{name}<"))), "{page}");
    assert!(page.contains("Nothing works: each connection is refused."), "{page}");
    let foreign = ["<script", "http:", "https:", "src=", "@import", "url(", "{{"];
    assert_eq!(foreign.map(|foreign| page.contains(foreign)), [false; 7], "{page}");
}

#[test]
fn boxes_over_ipv6() {
    let _alone = alone();
    let rows = played(&["none", "mirrors", "mpgate-strict", "mpgate-strip-all"], &["--ipv6"]);
    let [none, mirrors, strict, strip_all] = [0, 1, 2, 3].map(|at| &rows[at]);
    assert!(percent(none, 1) >= 10 && percent(strict, 1) >= 10, "{rows:#?}");
    assert_eq!((&mirrors["outcome"], &mirrors["mptcp"]["connections"]), (&"whole".into(), &0.into()));
    assert_eq!(mirrors["probe"]["findings"][0]["box"], "mirrors");
    let plain = (&strip_all["mptcp"]["connections"], &strip_all["mptcp"]["turned_off"]);
    assert_eq!(plain, (&0.into(), &0.into()));
    assert_eq!(strip_all["gate"]["stripped"].as_u64().unwrap(), strip_all["mptcp"]["capable_syns"]);
}

/// Ends it in the middle of the download; the thread that is the box has a queue then.
#[test]
fn an_interrupt_leaves_nothing_behind() {
    let _alone = alone();
    let mut child: Child = boxes(&["--bytes", "1GB", "--box", "mirrors"]).spawn().unwrap();
    let pid = child.id();
    let mut progress = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(progress.any(|line| line.contains("Mbit/s, wlan0")), "a download is under way");
    assert_eq!(left_by(pid).len(), 5, "five namespaces");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    assert_eq!((status.code(), text(&stdout)), (Some(130), ""));
    assert_eq!(left_by(pid), [""; 0]);
}

#[test]
fn a_box_that_is_held_stands_until_it_is_ended() {
    let _alone = alone();
    let mut child: Child = boxes(&["--box", "mpgate-strict", "--hold", "--ipv6"]).spawn().unwrap();
    let pid = child.id();
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let told: Vec<_> =
        std::iter::from_fn(|| told.next().filter(|line| !line.starts_with("and ^C"))).collect();
    assert!(told.iter().any(|line| line.contains(&format!("hop 2   mpg{pid}-b  the box"))), "{told:#?}");
    let middle = format!("mpg{pid}-b");
    let rules = Command::new("ip").args(["netns", "exec", &middle, "ip6tables-save"]).output().unwrap();
    assert!(text(&rules.stdout).contains("NFQUEUE"), "the gate stands in the middle");
    assert_eq!(left_by(pid).len(), 6, "five namespaces and the rules");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(left_by(pid), [""; 0]);
}

#[test]
fn what_is_no_box_is_told_with_those_that_there_are() {
    for (args, said) in [
        (&["--box", "sharks"][..], "drops-syn, resets-syn"),
        (&["--box", "none,mirrors", "--hold"], "--hold lets one box stand"),
        (&["--hold"], "--box"),
    ] {
        let Output { status, stdout, stderr } = boxes(args).output().unwrap();
        assert_eq!((status.code(), text(&stdout)), (Some(2), ""), "{args:?}");
        assert!(text(&stderr).contains(said), "{args:?}: {}", text(&stderr));
    }
}

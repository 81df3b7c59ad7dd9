//! Replay reads what Wireshark reads: every field of every MPTCP option, and which subflows make one connection.
//!
//! Where the two differ on purpose:
//! - keys (`sendkey`, `recvkey`) are secrets and are not told; the test looks that they are in no output;
//! - `flags` and `reserved` are raw bytes whose meaning is in the single flags; ours leaves them out;
//! - Wireshark 4.0 does not show the checksum of a DSS (it wants two bytes more than there are): ours is looked up in the
//!   segment's bytes instead, behind the data-level length;
//! - Wireshark ties a subflow to its connection only from some segment on, and has no connection for segments without
//!   an option: the grouping is compared where it has one.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

const PREFIX: &str = "tcp.options.mptcp.";
const SUBTYPES: [&str; 9] = [
    "mp_capable",
    "mp_join",
    "dss",
    "add_addr",
    "remove_addr",
    "mp_prio",
    "mp_fail",
    "mp_fastclose",
    "mp_tcprst",
];
const KEYS: [&str; 2] = ["sendkey", "recvkey"];
const RAW: [&str; 4] = ["subtype", "flags", "reserved", "reserved.flag"];

#[derive(Default)]
struct Compared {
    segments: usize,
    options: usize,
    fields: BTreeMap<String, usize>,
    grouped: usize,
}

#[test]
fn every_field_is_what_tshark_reads() {
    let mut compared = Compared::default();
    for capture in captures() {
        compare(&capture, &mut compared);
    }
    println!(
        "{} segments, {} options, {} fields of {} kinds equal; {} segments in the same connection",
        compared.segments,
        compared.options,
        compared.fields.values().sum::<usize>(),
        compared.fields.len(),
        compared.grouped
    );
    for (field, count) in &compared.fields {
        println!("{count:>7} {field}");
    }
    assert!(compared.fields.len() >= 25, "the captures hold most fields");
    assert!(compared.grouped > 0);
}

/// Ours, and those beside the checkout where they are.
fn captures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for directory in [root.join("tests/captures"), root.join("../shared/captures")] {
        let entries = fs::read_dir(directory).into_iter().flatten();
        found.extend(
            entries
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension() == Some("pcap".as_ref())),
        );
    }
    assert!(!found.is_empty());
    found.sort();
    found
}

fn compare(capture: &Path, compared: &mut Compared) {
    let text = replay(capture, &["--all"]);
    let ours: Vec<Value> =
        replay(capture, &["--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let theirs: Vec<Value> = tshark(capture);
    assert_eq!(ours.len(), theirs.len(), "{}: segments", capture.display());
    let mut connections = BTreeMap::new();
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let layers = &theirs["_source"]["layers"];
        let what = format!("{}, frame {}", capture.display(), ours["frame"]);
        compare_segment(ours, layers, &what);
        compared.segments += 1;
        let their_options = options(&layers["tcp"]);
        let segment_options = layers["tcp"]["tcp.options"].as_str().unwrap_or_default().replace(':', "");
        let our_options = ours["options"].as_array().unwrap();
        assert_eq!(our_options.len(), their_options.len(), "{what}: options");
        for (ours, theirs) in our_options.iter().zip(&their_options) {
            compare_option(ours.as_object().unwrap(), theirs, &segment_options, &what, compared);
            for key in KEYS.iter().filter_map(|key| theirs.get(&format!("{PREFIX}{key}"))) {
                is_not_told(key, &text, &what);
                is_not_told(key, &Value::from(our_options.clone()).to_string(), &what);
            }
        }
        if let Some(stream) = find(&layers["tcp"], "mptcp.stream") {
            let connection = ours["connection"].as_u64().unwrap_or_else(|| panic!("{what}: no connection"));
            let known = connections.entry(stream.to_owned()).or_insert(connection);
            assert_eq!(*known, connection, "{what}: Wireshark's connection {stream}");
            compared.grouped += 1;
        }
    }
    let distinct: BTreeSet<_> = connections.values().collect();
    assert_eq!(distinct.len(), connections.len(), "{}: connections", capture.display());
}

fn compare_segment(ours: &Value, layers: &Value, what: &str) {
    let frame = &layers["frame"];
    assert_eq!(ours["frame"].to_string(), frame["frame.number"].as_str().unwrap(), "{what}");
    let time: f64 = frame["frame.time_relative"].as_str().unwrap().parse().unwrap();
    assert!((ours["time"].as_f64().unwrap() - time).abs() < 1e-9, "{what}: time");
    let tcp = &layers["tcp"];
    for (end, name) in [("src", "src"), ("dst", "dst")] {
        let port = tcp[format!("tcp.{name}port")].as_str().unwrap();
        let address = match &layers["ip"][format!("ip.{name}")] {
            Value::String(v4) => v4.clone(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                format!("[{}]", layers["ipv6"][format!("ipv6.{name}")].as_str().unwrap())
            }
        };
        assert_eq!(ours[end], format!("{address}:{port}"), "{what}");
    }
    let flags = u16::from_str_radix(tcp["tcp.flags"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let segment = match flags {
        flags if flags & 0x04 != 0 => "rst",
        flags if flags & 0x12 == 0x12 => "syn_ack",
        flags if flags & 0x02 != 0 => "syn",
        flags if flags & 0x01 != 0 => "fin",
        _ if tcp["tcp.len"] != "0" => "data",
        _ => "ack",
    };
    assert_eq!(ours["segment"], segment, "{what}");
}

fn compare_option(
    ours: &Map<String, Value>,
    theirs: &BTreeMap<String, Value>,
    segment_options: &str,
    what: &str,
    compared: &mut Compared,
) {
    compared.options += 1;
    let subtype: usize = theirs[&format!("{PREFIX}subtype")].as_str().unwrap().parse().unwrap();
    assert_eq!(ours["subtype"], SUBTYPES[subtype], "{what}");
    let mut names: BTreeSet<&str> = theirs.keys().filter_map(|name| name.strip_prefix(PREFIX)).collect();
    names.retain(|name| !KEYS.contains(name) && !RAW.contains(name));
    let mut our_names: BTreeSet<&str> =
        ours.keys().map(String::as_str).filter(|name| *name != "subtype").collect();
    if ours["subtype"] == "dss" && !names.contains("checksum") && our_names.remove("checksum") {
        let number = |name: &str| u16::try_from(ours[name].as_u64().unwrap()).unwrap();
        let digits = format!("{:04x}{:04x}", number("datalvllen"), number("checksum"));
        assert!(segment_options.contains(&digits), "{what}: checksum of dss");
        *compared.fields.entry("checksum".to_owned()).or_default() += 1;
    }
    assert_eq!(our_names, names, "{what}: fields of {}", SUBTYPES[subtype]);
    for name in names {
        let (ours, theirs) = (canonical(&ours[name]), canonical(&theirs[&format!("{PREFIX}{name}")]));
        assert_eq!(ours, theirs, "{what}: {name} of {}", SUBTYPES[subtype]);
        *compared.fields.entry(name.to_owned()).or_default() += 1;
    }
}

/// Numbers, flags and byte strings as hexadecimal digits, addresses as they are.
fn canonical(value: &Value) -> Vec<String> {
    let one = |text: &str| match text.parse::<u64>() {
        Ok(number) => format!("{number:x}"),
        Err(_) if text.contains('.') || text.contains("::") => text.to_owned(),
        Err(_) => {
            let digits = text.trim_start_matches("0x").replace(':', "");
            let digits = digits.trim_start_matches('0');
            if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
        }
    };
    match value {
        Value::Bool(flag) => vec![u8::from(*flag).to_string()],
        Value::String(text) => vec![one(text)],
        Value::Array(list) => list.iter().flat_map(canonical).collect(),
        Value::Number(number) => vec![one(&number.to_string())],
        Value::Null | Value::Object(_) => panic!("no field of an option is {value}"),
    }
}

/// The options of kind 30 of one segment, each with the fields of its subtrees.
fn options(tcp: &Value) -> Vec<BTreeMap<String, Value>> {
    let trees = match tcp.get("tcp.options_tree").and_then(|tree| tree.get("mptcp")) {
        None => Vec::new(),
        Some(Value::Array(trees)) => trees.iter().collect(),
        Some(tree) => vec![tree],
    };
    trees
        .into_iter()
        .map(|tree| {
            let mut fields = BTreeMap::new();
            flatten(tree, &mut fields);
            fields
        })
        .collect()
}

fn flatten(tree: &Value, fields: &mut BTreeMap<String, Value>) {
    for (name, value) in tree.as_object().into_iter().flatten() {
        if value.is_object() {
            flatten(value, fields);
        } else {
            fields.insert(name.clone(), value.clone());
        }
    }
}

fn find<'v>(tree: &'v Value, name: &str) -> Option<&'v str> {
    tree.as_object()?
        .iter()
        .find_map(|(key, value)| if key == name { value.as_str() } else { find(value, name) })
}

fn is_not_told(key: &Value, text: &str, what: &str) {
    let key: u64 = key.as_str().unwrap().parse().unwrap();
    for spelling in [format!("{key:x}"), format!("{key:X}"), key.to_string()] {
        assert!(!text.contains(&spelling), "{what}: a key is told");
    }
}

fn replay(capture: &Path, words: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_mpgate")).arg("replay").arg(capture).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn tshark(capture: &Path) -> Vec<Value> {
    let output = Command::new("tshark")
        .args(["-n", "-Y", "tcp", "-T", "json", "--no-duplicate-keys", "-r"])
        .arg(capture)
        .output()
        .expect("tshark is not installed: apt install tshark");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

//! `mpgate replay` as a user meets it: on captures of real MPTCP, in every format and on every link, and on bad input.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod formats;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use formats::{frames, path, pcap, pcapng, relinked};
use mpgate::script::{Script, Step};
use pcap_file::pcap::PcapHeader;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
use pcap_file::pcapng::blocks::simple_packet::SimplePacketBlock;
use pcap_file::{Endianness, TsResolution};
use serde_json::Value;

/// Name, connections, subflows, and standings that must be among its segments.
const CAPTURES: [(&str, u64, usize, &[&str]); 19] = [
    ("join-ipv4", 1, 2, &["new_connection", "join_known", "join_answered", "join_verified"]),
    ("join-ipv6", 1, 2, &["new_connection", "join_known", "join_answered", "join_verified"]),
    ("join-backup", 1, 2, &["join_verified"]),
    ("join-refused", 1, 2, &["join_known", "reset"]),
    ("join-by-server", 1, 2, &["join_known", "join_answered", "join_verified"]),
    ("add-addr-ipv4", 1, 2, &["address_announced", "join_verified"]),
    ("add-addr-ipv6", 1, 2, &["address_announced", "join_verified"]),
    ("add-addr-port-ipv4", 1, 2, &["address_announced", "join_verified"]),
    ("add-addr-port-ipv6", 1, 2, &["address_announced", "join_verified"]),
    ("remove-addr", 1, 2, &["address_announced", "address_removed"]),
    ("mp-prio", 1, 2, &["priority_changed"]),
    ("fastclose", 1, 2, &["fastclose"]),
    ("checksum", 1, 2, &["join_verified"]),
    ("checksum-failed", 1, 1, &["fallback"]),
    ("fallback", 1, 1, &["fallback", "plain"]),
    ("plain", 0, 0, &["plain"]),
    ("fastopen", 2, 2, &["new_connection"]),
    ("cooked-v1", 1, 2, &["join_verified"]),
    ("cooked-v2", 1, 2, &["join_verified"]),
];

fn mpgate() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpgate"));
    command.arg("replay");
    command
}

fn replay(capture: &Path, words: &[&str]) -> Output {
    mpgate().arg(capture).args(words).output().unwrap()
}

/// Replays bytes through standard input.
fn replay_bytes(bytes: &[u8], words: &[&str]) -> Output {
    let mut child = mpgate()
        .arg("-")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).ok());
        child.wait_with_output().unwrap()
    })
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The objects of the segments.
fn objects(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", stderr(output));
    segments(output)
}

/// Those that came before an error, too.
fn segments(output: &Output) -> Vec<Value> {
    let objects =
        stdout(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    objects.into_iter().filter(|object| object.get("type").is_none()).collect()
}

fn words_of<'o>(objects: &'o [Value], field: &str) -> Vec<&'o str> {
    objects.iter().filter_map(|object| object[field].as_str()).collect()
}

#[test]
fn real_captures_are_read_and_accepted_by_the_default_policy() {
    for (name, connections, subflows, standings) in CAPTURES {
        let objects = objects(&replay(&path(name), &["--json"]));
        assert_eq!(objects.len(), frames(name).len(), "{name}: every frame is a segment");
        let refused: Vec<_> = objects.iter().filter(|object| object["verdict"] != "accept").collect();
        assert!(refused.is_empty(), "{name}: {refused:?}");
        let highest = objects.iter().filter_map(|object| object["connection"].as_u64()).max();
        assert_eq!(highest.unwrap_or(0), connections, "{name}: connections");
        let mut seen: Vec<_> = objects
            .iter()
            .filter_map(|object| Some((object["connection"].as_u64()?, object["subflow"].as_u64()?)))
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), subflows, "{name}: subflows {seen:?}");
        for standing in standings {
            assert!(words_of(&objects, "standing").contains(standing), "{name}: no segment is {standing}");
        }
        let malformed: Vec<_> =
            objects.iter().filter(|object| object["options"].to_string().contains("malformed")).collect();
        assert!(malformed.is_empty(), "{name}: {malformed:?}");
    }
}

#[test]
fn an_object_has_the_documented_shape() {
    let objects = objects(&replay(&path("join-ipv4"), &["--json"]));
    let line = stdout(&replay(&path("join-ipv4"), &["--json"])).lines().next().unwrap().to_owned();
    assert_eq!(
        line,
        r#"{"frame":1,"time":0.0,"src":"10.0.1.2:59380","dst":"10.0.3.2:4430","segment":"syn","options":[{"subtype":"mp_capable","version":1,"checksumreq.flags":false,"extensibility.flag":false,"nomoresubflows.flag":false,"sha256.flag":true}],"standing":"new_connection","connection":1,"subflow":0,"verdict":"accept","reason":"default","rule":null}"#
    );
    let join = &objects[11];
    assert_eq!(
        join["options"],
        serde_json::json!([{"subtype": "mp_join", "backup.flag": false, "addrid": 1, "recvtok": "0x6491b1b6", "sendrand": "0x140edf33"}])
    );
    assert_eq!(join["time"], 0.000_848);
}

/// A capture of ours in every format and on every link that replay reads.
fn variants(name: &str) -> Vec<(&'static str, Vec<u8>)> {
    let frames = frames(name);
    let ip = |frame: &[u8]| frame[14..].to_vec();
    let behind = |header: &[u8]| {
        let header = header.to_vec();
        move |frame: &[u8]| [&header, &frame[14..]].concat()
    };
    let tagged = |tags: &'static [u8]| move |frame: &[u8]| [&frame[..12], tags, &frame[12..]].concat();
    let family = if name == "join-ipv4" { 2 } else { 30 };
    let header = PcapHeader::default();
    let little = Endianness::Little;
    vec![
        ("pcap, big endian, µs", pcap(header, &frames)),
        ("pcap, little endian, µs", pcap(PcapHeader { endianness: little, ..header }, &frames)),
        ("pcap, ns", pcap(PcapHeader { ts_resolution: TsResolution::NanoSecond, ..header }, &frames)),
        ("raw IP, 101", relinked(101, &frames, ip)),
        ("raw IP, 12", relinked(12, &frames, ip)),
        ("raw IP, 14", relinked(14, &frames, ip)),
        ("raw IP, 228/229", relinked(if family == 2 { 228 } else { 229 }, &frames, ip)),
        ("loopback, little endian", relinked(0, &frames, behind(&[family, 0, 0, 0]))),
        ("loopback, big endian", relinked(0, &frames, behind(&[0, 0, 0, family]))),
        ("OpenBSD loopback", relinked(108, &frames, behind(&[0, 0, 0, family]))),
        ("VLAN", relinked(1, &frames, tagged(&[0x81, 0, 0, 7]))),
        ("QinQ", relinked(1, &frames, tagged(&[0x88, 0xa8, 0, 7, 0x81, 0, 0, 9]))),
        ("pcapng, µs", pcapng(&frames, Endianness::Little, None)),
        ("pcapng, ns", pcapng(&frames, Endianness::Big, Some(9))),
        ("pcapng, 2^-30 s", pcapng(&frames, Endianness::Little, Some(0x80 | 30))),
    ]
}

#[test]
fn every_format_and_link_says_the_same() {
    for name in ["join-ipv4", "join-ipv6"] {
        let expected = objects(&replay(&path(name), &["--json"]));
        for (variant, bytes) in variants(name) {
            let got = objects(&replay_bytes(&bytes, &["--json"]));
            assert_eq!(got.len(), expected.len(), "{name} as {variant}");
            for (got, expected) in got.into_iter().zip(&expected) {
                same(got, expected.clone(), &format!("{name} as {variant}"));
            }
        }
    }
}

/// As tshark reads them, of those frames that bear one.
fn comments(capture: &Path) -> Vec<String> {
    let output = Command::new("tshark")
        .args(["-Y", "frame.comment", "-T", "fields", "-e", "frame.number", "-e", "frame.comment", "-r"])
        .arg(capture)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).lines().map(str::to_owned).collect()
}

#[test]
fn comments_are_written_whatever_the_capture_was() {
    let home = tempfile::tempdir().unwrap();
    let rules = home.path().join("rules.toml");
    let out = home.path().join("out.pcapng");
    fs::write(&rules, "[[rule]]\nname = \"no-joins\"\noption = \"mp_join\"\naction = \"reject\"\n").unwrap();
    let words =
        ["--rules", rules.to_str().unwrap(), "--write", out.to_str().unwrap(), "--force", "--no-segments"];
    let mut told = BTreeSet::new();
    for (variant, bytes) in variants("join-ipv4") {
        assert!(replay_bytes(&bytes, &words).status.success(), "{variant}");
        let comments = comments(&out);
        assert!(comments.iter().any(|comment| comment.contains("rule no-joins")), "{variant}: {comments:?}");
        told.insert(comments);
        let cut = replay_bytes(&bytes[..bytes.len() - 7], &words);
        assert_eq!(cut.status.code(), Some(1), "{variant}");
        assert!(!self::comments(&out).is_empty(), "{variant}, cut short");
    }
    assert_eq!(told.len(), 1, "all say the same: {told:?}");
}

/// The gate knows nothing of a connection whose SYN it strips, and would count on from the next one.
#[test]
fn comments_name_connections_and_subflows_by_the_numbers_of_the_report() {
    let script = "
c>s   syn      mp_capable
s>c   syn_ack  mp_capable
c>s   ack      mp_capable
c2>s  syn      mp_join
a>z   syn      mp_capable
z>a   syn_ack  mp_capable
a>z   ack      mp_capable
a2>z  syn      mp_join
a3>z  syn      mp_join
";
    let steps = Script::parse(script).unwrap().cases.into_iter().flat_map(|case| case.steps);
    let frames: Vec<_> = steps
        .filter_map(|step| match step {
            Step::Packet(line) => Some((line.now.nanos(), line.bytes)),
            Step::Rules(_) | Step::Wait(_) => None,
        })
        .collect();
    let home = tempfile::tempdir().unwrap();
    let [capture, rules, out] = ["in.pcap", "rules.toml", "out.pcapng"].map(|name| home.path().join(name));
    fs::write(&capture, relinked(101, &frames, <[u8]>::to_vec)).unwrap();
    let text = "[[rule]]\nname = \"plain\"\nto = \"10.0.1.115\"\noption = \"mp_capable\"\naction = \"strip\"\n\
                [[rule]]\nname = \"one-path\"\nto = \"10.0.1.122\"\noption = \"mp_join\"\naction = \"reject\"\n";
    fs::write(&rules, text).unwrap();
    let words = ["--json", "--rules", rules.to_str().unwrap(), "--write", out.to_str().unwrap()];
    let report = objects(&replay(&capture, &words));
    let named =
        |object: &Value| format!(", connection {} subflow {}", object["connection"], object["subflow"]);
    let refused = report.iter().filter(|object| object["verdict"] != "accept");
    let wanted: Vec<_> = refused.map(|object| (object["frame"].to_string(), named(object))).collect();
    let told = comments(&out);
    assert_eq!(told.len(), wanted.len(), "{told:?}");
    for (comment, (frame, numbers)) in told.iter().zip(&wanted) {
        let (number, text) = comment.split_once('\t').unwrap();
        assert!(number == frame && text.ends_with(numbers), "{comment}, and the report says {numbers}");
    }
    let ends = ["1 subflow 0", "1 subflow 1", "2 subflow 1", "2 subflow 2"];
    for end in ends {
        assert!(told.iter().any(|comment| comment.ends_with(end)), "{end}: {told:?}");
    }
}

/// Equal but for the time, where a unit of 2^-30 s rounds.
fn same(mut got: Value, mut expected: Value, what: &str) {
    let times = [got["time"].take().as_f64().unwrap(), expected["time"].take().as_f64().unwrap()];
    assert!((times[0] - times[1]).abs() < 1e-8, "{what}: {times:?}");
    assert_eq!(got, expected, "{what}");
}

#[test]
fn simple_packets_and_new_sections_are_read() {
    let frames = frames("join-ipv4");
    let mut bytes = Vec::new();
    for (part, endianness) in frames.chunks(21).zip([Endianness::Big, Endianness::Little]) {
        let mut writer = PcapNgWriter::with_endianness(Vec::new(), endianness).unwrap();
        writer.write_pcapng_block(InterfaceDescriptionBlock::new(1_u32.into(), 0)).unwrap();
        for (_, frame) in part {
            let packet =
                SimplePacketBlock { original_len: frame.len().try_into().unwrap(), data: frame.into() };
            writer.write_pcapng_block(packet).unwrap();
        }
        bytes.extend(writer.into_inner());
    }
    let expected = objects(&replay(&path("join-ipv4"), &["--json"]));
    let got = objects(&replay_bytes(&bytes, &["--json"]));
    assert_eq!(words_of(&got, "standing"), words_of(&expected, "standing"));
    assert_eq!(words_of(&got, "segment"), words_of(&expected, "segment"), "padding is no payload");
}

#[test]
fn a_capture_cut_short_anywhere_shows_what_came_before() {
    let bytes = fs::read(path("fastopen")).unwrap();
    let offsets: Vec<usize> = frames("fastopen")
        .iter()
        .scan(24, |offset, (_, frame)| {
            let start = *offset;
            *offset += 16 + frame.len();
            Some(start)
        })
        .collect();
    for (index, start) in offsets.iter().enumerate() {
        for behind in [1, 15, 16, 40] {
            let output = replay_bytes(&bytes[..start + behind], &["--json"]);
            assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
            let place = format!("cut short in frame {}, at byte offset {start}", index + 1);
            assert!(stderr(&output).contains(&place), "{}", stderr(&output));
            assert_eq!(stderr(&output).lines().count(), 1);
            assert_eq!(segments(&output).len(), index);
        }
    }
    let pcapng = pcapng(&frames("fastopen"), Endianness::Big, None);
    let output = replay_bytes(&pcapng[..pcapng.len() - 30], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cut short in frame 27, at byte offset "), "{}", stderr(&output));
}

#[test]
fn input_that_is_no_capture_is_refused_in_one_line() {
    let header = PcapHeader { datalink: 105_u32.into(), ..PcapHeader::default() };
    let cases: [(&[u8], &str); 6] = [
        (b"", "the file is empty"),
        (b"hello", "not a capture: neither pcap nor pcapng"),
        (b"\xd4\xc3\xb2\xa1", "not a capture"),
        (b"\x0a\x0d\x0d\x0a\x1c\x00\x00\x00????????????????", "not a capture"),
        (b"\x1f\x8b\x08\x00", "compressed: unpack it first"),
        (&pcap(header, &[]), "link type 105 is none of those that replay reads"),
    ];
    for (bytes, word) in cases {
        refused(&replay_bytes(bytes, &[]), word);
    }
    refused(&replay(Path::new("/does/not/exist"), &[]), "/does/not/exist: No such file");
    refused(&replay(Path::new("/"), &[]), "/: is a directory");
}

fn refused(output: &Output, word: &str) {
    assert_eq!(output.status.code(), Some(2), "{}", stderr(output));
    assert!(stderr(output).contains(word), "{}", stderr(output));
    assert_eq!(stderr(output).lines().count(), 1, "{}", stderr(output));
    assert!(output.stdout.is_empty());
}

#[test]
fn damage_is_told_apart_from_a_cut() {
    let mut long = fs::read(path("plain")).unwrap();
    long[32..36].copy_from_slice(&300_000_u32.to_le_bytes());
    let output = replay_bytes(&long, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("damaged at frame 1, byte offset 24: a frame of 300000 bytes"));
    let mut blocks = pcapng(&frames("plain"), Endianness::Little, None);
    let block_at = blocks.len() - 20;
    blocks[block_at + 4..block_at + 8].copy_from_slice(&7_u32.to_le_bytes());
    let output = replay_bytes(&blocks, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("a block of 7 bytes"), "{}", stderr(&output));
}

#[test]
fn a_capture_with_a_snap_length_is_read_as_far_as_it_goes() {
    let expected = objects(&replay(&path("join-ipv4"), &["--json"]));
    for (snap, readable) in [(100, expected.len()), (40, 0)] {
        let bytes = pcap(PcapHeader { snaplen: snap, ..PcapHeader::default() }, &frames("join-ipv4"));
        let got = objects(&replay_bytes(&bytes, &["--json"]));
        assert_eq!(got, expected[..readable], "snap length {snap}");
        if readable == 0 {
            let text = stdout(&replay_bytes(&bytes, &[]));
            assert!(text.contains("41  cut by the capture before the end of the TCP header"), "{text}");
        }
    }
}

#[test]
fn what_goes_on_is_written_as_it_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let rules = home.path().join("rules.toml");
    let out = home.path().join("out.pcapng");
    fs::write(&rules, "[[rule]]\nname = \"no-joins\"\noption = \"mp_join\"\naction = \"reject\"\n").unwrap();
    let words = ["--rules", rules.to_str().unwrap(), "--behind", out.to_str().unwrap()];
    for (name, resets) in [("join-ipv4", 5), ("join-ipv6", 5), ("cooked-v1", 5), ("cooked-v2", 5)] {
        let before = replay(&path(name), &[&words[..], &["--json", "--force"]].concat());
        let rejected =
            words_of(&objects(&before), "verdict").iter().filter(|word| **word == "reject").count();
        let after = objects(&replay(&out, &["--json"]));
        assert_eq!(after.len(), frames(name).len() - rejected + resets, "{name}");
        let added: Vec<_> = after.iter().filter(|object| object["segment"] == "rst").collect();
        assert_eq!(added.len(), resets, "{name}");
        assert!(added.iter().all(|object| object["options"][0]["rst_reason"] == 3), "{name}: {added:?}");
        assert!(!words_of(&after, "standing").contains(&"join_known"), "{name}");
    }
}

#[test]
fn stripped_frames_are_written_without_mptcp_and_with_right_checksums() {
    let home = tempfile::tempdir().unwrap();
    let rules = home.path().join("rules.toml");
    let out = home.path().join("out.pcapng");
    fs::write(&rules, "[policy]\ndefault = \"strip\"\n").unwrap();
    let words = ["--rules", rules.to_str().unwrap(), "--behind", out.to_str().unwrap(), "--json"];
    objects(&replay(&path("checksum-failed"), &words));
    let after = objects(&replay(&out, &["--json"]));
    assert_eq!(after.len(), frames("checksum-failed").len());
    assert!(after.iter().all(|object| object["options"] == serde_json::json!([])));
    let checked = Command::new("tshark")
        .args(["-o", "tcp.check_checksum:TRUE", "-T", "fields", "-e", "tcp.checksum.status", "-r"])
        .arg(&out)
        .output()
        .expect("tshark is not installed: apt install tshark");
    let status = stdout(&checked);
    assert_eq!(status.lines().count(), after.len());
    assert!(status.lines().all(|line| line == "1"), "1 is good: {status}");
}

#[test]
fn the_written_file_is_whole_or_not_there() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out.pcapng");
    let words = ["--write", out.to_str().unwrap()];
    refused(&replay_bytes(b"no capture at all", &words), "not a capture");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "nothing is left behind");
    let bytes = fs::read(path("plain")).unwrap();
    let cut = replay_bytes(&bytes[..2000], &words);
    assert_eq!(cut.status.code(), Some(1));
    let read = objects(&replay(&out, &["--json"])).len();
    assert_eq!(
        read,
        segments(&replay_bytes(&bytes[..2000], &["--json"])).len(),
        "what could be read is there"
    );
    fs::remove_file(&out).unwrap();

    assert!(replay_bytes(&bytes, &words).status.success());
    let first = fs::read(&out).unwrap();
    refused(&replay_bytes(&bytes, &words), "out.pcapng: exists; --force replaces it");
    assert_eq!(fs::read(&out).unwrap(), first);
    assert!(replay_bytes(&bytes, &[&words[..], &["--force"]].concat()).status.success());
    refused(
        &replay_bytes(&bytes, &["--write", "/does/not/exist/out.pcapng"]),
        "/does/not/exist/out.pcapng: No such file",
    );
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let mut child = mpgate()
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&fs::read(path("join-ipv4")).unwrap()).ok();
    drop(stdin);
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(errors, "");
}

#[test]
fn text_shows_mptcp_and_sums_up() {
    let text = stdout(&replay(&path("fallback"), &[]));
    let lines = |text: &str| text.lines().take_while(|line| !line.is_empty()).count();
    assert_eq!(lines(&text), 2, "the header and one SYN: {text}");
    assert!(text.contains("21  TCP segments, 1 of them with MPTCP"), "{text}");
    let all = stdout(&replay(&path("fallback"), &["--all"]));
    assert_eq!(lines(&all), 22, "{all}");
    let join = stdout(&replay(&path("join-ipv4"), &[]));
    assert!(join.contains("mp_join token 0x6491b1b6 id 1"), "{join}");
    let longest = join.lines().map(str::len).max();
    assert!(longest <= Some(110), "{longest:?} columns");
}

#[test]
fn rules_that_are_wrong_stop_it_before_it_starts() {
    let home = tempfile::tempdir().unwrap();
    let rules = home.path().join("rules.toml");
    fs::write(&rules, "[[rule]]\nnmae = \"x\"\n").unwrap();
    let output = replay(&path("plain"), &["--rules", rules.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(stderr(&output).contains("rules.toml"), "{}", stderr(&output));
}

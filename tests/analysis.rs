//! What replay tells of connections: the reports of real captures, each anomaly, and the forms in which it is told.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mpgate::analysis::{Analysis, AnomalyKind, Ending, Half, JoinResult, Sight};
use mpgate::capture::{Capture, Frame};
use mpgate::mptcp::signals;
use mpgate::replay::Replay;
use mpgate::script::{Script, Step};
use mpgate::wire::Packet;
use serde_json::Value;

fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut captures: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "pcap")).collect();
    captures.sort();
    assert!(captures.len() > 15, "{captures:?}");
    captures
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(format!("{name}.pcap"))
}

fn replay(capture: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mpgate")).arg("replay").arg(capture).args(words).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn objects(capture: &Path, words: &[&str]) -> Vec<Value> {
    let output = replay(capture, &[&["--json"], words].concat());
    stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn frames(name: &str) -> Vec<Frame> {
    let mut capture = Capture::open(fs::File::open(path(name)).unwrap()).unwrap();
    let mut frames = Vec::new();
    let mut frame = Frame::default();
    while capture.read(&mut frame).unwrap() {
        frames.push(frame.clone());
    }
    frames
}

/// What a capture of these frames shows.
fn analysis<'f>(frames: impl IntoIterator<Item = &'f Frame>) -> Analysis {
    let mut replay = Replay::undecided();
    for frame in frames {
        replay.step(frame);
    }
    replay.finish().0
}

/// What the conversation of a script shows.
fn told(conversation: &str) -> Analysis {
    let script = Script::parse(conversation).unwrap_or_else(|errors| panic!("{errors:#?}\n{conversation}"));
    let mut analysis = Analysis::default();
    for (step, frame) in script.cases.into_iter().flat_map(|case| case.steps).zip(1..) {
        let line = match step {
            Step::Packet(line) => line,
            // Packets have times.
            Step::Wait(_) => continue,
            Step::Rules(_) => panic!("no rules"),
        };
        let packet = Packet::parse(&line.bytes).unwrap();
        let signals = signals(&packet);
        analysis.observe(Sight { frame, at: line.now, packet: &packet, signals: &signals });
    }
    analysis.finish();
    analysis
}

fn labels(analysis: &Analysis) -> Vec<&'static str> {
    analysis.anomalies().iter().map(|anomaly| anomaly.kind.label()).collect()
}

#[test]
fn the_reports_of_real_captures() {
    let reports: String = captures()
        .iter()
        .map(|capture| {
            let name = capture.file_name().unwrap().to_string_lossy().into_owned();
            format!("=== {name}\n{}", stdout(&replay(capture, &["--no-segments"])))
        })
        .collect();
    let longest = reports.lines().filter(|line| !line.contains('[')).map(|line| line.chars().count()).max();
    assert!(longest <= Some(125), "{longest:?} columns; addresses of IPv6 alone may take more");
    insta::assert_snapshot!(reports);
}

/// A conversation, and the anomalies that it shows, by their labels.
const CONVERSATIONS: [(&str, &[&str]); 15] = [
    ("c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack mp_capable", &[]),
    ("c>s syn mp_capable\ns>c syn_ack\nc>s ack", &["fallback"]),
    ("c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack", &["fallback"]),
    ("c>s syn mp_capable\nc>s syn mp_capable\nc>s syn\ns>c syn_ack\nc>s ack", &["syn_unanswered"]),
    ("c>s syn mp_capable\ns>c syn_ack mp_capable mirrored", &["mirrored"]),
    ("c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack mp_capable otherpeer", &["key_changed"]),
    ("c>s syn mp_join token 0x12345678\ns>c rst mp_tcprst reason 1", &["join_unknown"]),
    ("c>s ack dss ack\ns>c ack dss ack", &["beginning_unseen"]),
    (
        "c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack mp_capable\nc2>s syn mp_join\n\
         s>c2 syn_ack mp_join hmac bad",
        &["join_forged_answer"],
    ),
    (
        "c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack mp_capable\nc2>s syn mp_join\ns>c2 syn_ack mp_join\n\
         c2>s ack mp_join hmac bad",
        &["join_forged_proof"],
    ),
    (
        "c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack mp_capable\nc2>s syn mp_join\ns>c2 syn_ack",
        &["join_plain_answer"],
    ),
    (
        "c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack mp_capable\nc2>s syn mp_join\n\
         s>c2 rst mp_tcprst reason 3",
        &["join_reset"],
    ),
    (
        "c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack mp_capable\ns>c ack add_addr 2 10.0.9.9 bad\n\
         s>c ack add_addr 3 10.0.9.3\ns>c ack add_addr 3 10.0.9.4",
        &["announcement_forged", "address_id_conflict"],
    ),
    (
        "c>s syn mp_capable v0\ns>c syn_ack mp_capable\nc>s ack mp_capable\ns>c ack add_addr 2 10.0.9.9 v0",
        &["announcement_unproven"],
    ),
    (
        "c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack mp_capable\nc>s ack raw 1e02\ns>c rst mp_fastclose",
        &["malformed", "fastclose"],
    ),
];

#[test]
fn each_anomaly_is_told_of_the_segment_that_shows_it_and_of_no_other() {
    for (conversation, expected) in CONVERSATIONS {
        assert_eq!(labels(&told(conversation)), expected, "{conversation}");
    }
}

#[test]
fn joins_end_as_their_handshakes_do() {
    let open = "c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack mp_capable\nc2>s syn mp_join\n";
    let cases = [
        ("", JoinResult::Unanswered),
        ("s>c2 syn_ack mp_join\n", JoinResult::Unverified),
        ("s>c2 syn_ack mp_join\nc2>s ack mp_join\n", JoinResult::Verified),
        ("s>c2 syn_ack mp_join hmac bad\n", JoinResult::Forged),
        ("s>c2 syn_ack\n", JoinResult::PlainAnswer),
        ("s>c2 rst\n", JoinResult::Refused),
    ];
    for (rest, expected) in cases {
        let analysis = told(&format!("{open}{rest}"));
        assert_eq!(analysis.connections()[0].subflows[1].join, expected, "{rest}");
    }
}

/// How many subflows each connection has.
fn subflows(analysis: &Analysis) -> Vec<usize> {
    analysis.connections().iter().map(|connection| connection.subflows.len()).collect()
}

#[test]
fn a_syn_that_comes_again_opens_nothing_and_one_with_another_number_does() {
    let open = "c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack mp_capable\n";
    let joined = format!("{open}c2>s syn mp_join\ns>c2 syn_ack mp_join\nc2>s ack mp_join\n");
    let cases = [
        ("c>s syn mp_capable\nc>s syn mp_capable\n".to_owned(), vec![1]),
        (
            "c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s syn mp_capable\nc>s ack mp_capable\n".to_owned(),
            vec![1],
        ),
        (format!("{open}c>s syn mp_capable\n"), vec![1]),
        (format!("{open}c>s syn mp_capable + seq 7\n"), vec![1, 1]),
        (format!("{open}s>c syn mp_capable\n"), vec![1, 1]),
        (format!("{open}c2>s syn mp_join\nc2>s syn mp_join\n"), vec![2]),
        (
            format!("{open}c2>s syn mp_join\ns>c2 syn_ack mp_join\nc2>s syn mp_join\nc2>s ack mp_join\n"),
            vec![2],
        ),
        (format!("{joined}c2>s syn mp_join\n"), vec![2]),
        (format!("{joined}c2>s syn mp_join + seq 7\n"), vec![3]),
    ];
    for (conversation, expected) in cases {
        assert_eq!(subflows(&told(&conversation)), expected, "{conversation}");
    }
}

#[test]
fn what_comes_behind_a_repeated_syn_belongs_where_it_did() {
    let open = "c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack mp_capable\nc>s syn mp_capable\n";
    let join = "c2>s syn mp_join\ns>c2 syn_ack mp_join\nc2>s ack mp_join\nc2>s syn mp_join\n";
    let rest = "c>s data dss map\nc2>s data dss map\ns>c2 rst mp_fastclose";
    let analysis = told(&format!("{open}{join}{rest}"));
    assert_eq!(subflows(&analysis), [2]);
    assert_eq!(analysis.connections()[0].subflows[1].join, JoinResult::Verified);
    assert_eq!(labels(&analysis), ["fastclose"]);
}

/// A minute after its SYN a handshake is forgotten.
#[test]
fn a_syn_that_comes_again_after_its_handshake_was_forgotten_opens_the_same_connection() {
    let open =
        "c>s syn mp_capable\nwait 100\nc>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack mp_capable\n";
    let join = "c2>s syn mp_join\ns>c2 syn_ack mp_join\nc2>s ack mp_join\n";
    let analysis = told(&format!("{open}{join}"));
    assert_eq!(subflows(&analysis), [2]);
    assert_eq!(analysis.connections()[0].subflows[1].join, JoinResult::Verified);
}

#[test]
fn a_fastclose_on_each_subflow_is_told_once() {
    let open = "c>s syn mp_capable\ns>c syn_ack mp_capable\nc>s ack mp_capable\n";
    let join = "c2>s syn mp_join\ns>c2 syn_ack mp_join\nc2>s ack mp_join\n";
    let analysis = told(&format!("{open}{join}s>c rst mp_fastclose\ns>c2 rst mp_fastclose"));
    assert_eq!(labels(&analysis), ["fastclose"]);
}

fn server_half(analysis: &Analysis) -> &Half {
    &analysis.connections()[0].subflows[0].halves.acceptor
}

/// Frames 20 and 21 are the client's second 2000 bytes.
#[test]
fn what_the_capture_lacks_is_told() {
    let whole = frames("join-ipv4");
    let without = |left_out: &'static [u64]| {
        analysis(whole.iter().filter(move |frame| !left_out.contains(&frame.number)))
    };
    let acked = without(&[20]);
    let kinds: Vec<_> = acked.anomalies().iter().map(|anomaly| (anomaly.frame, anomaly.kind)).collect();
    assert_eq!(kinds, [(Some(22), AnomalyKind::AckedUnseen(1420))]);
    assert_eq!(acked.connections()[0].data.opener.unseen(), 1420);

    let cut = analysis(whole.iter().filter(|frame| frame.number != 20 && frame.number < 22));
    let kinds: Vec<_> = cut.anomalies().iter().map(|anomaly| (anomaly.frame, anomaly.kind)).collect();
    assert_eq!(kinds, [(None, AnomalyKind::Gap(1420))]);
    assert_eq!(cut.connections()[0].ending(), Ending::Open);
}

#[test]
fn what_is_sent_again_is_told_apart_by_level() {
    let whole = frames("join-ipv4");
    let (before, repeated) = (analysis(&whole), analysis(whole.iter().flat_map(|frame| [frame, frame])));
    assert_eq!((server_half(&before).repeated_bytes, server_half(&before).reinjected_bytes), (0, 2000));
    assert_eq!(
        (server_half(&repeated).repeated_bytes, server_half(&repeated).reinjected_bytes),
        (6000, 2000)
    );
    assert_eq!(before.connections()[0].data, repeated.connections()[0].data);
}

/// The client's last mapping is sent in two segments, behind acknowledgments at the data level.
#[test]
fn a_stripped_dss_and_a_changed_payload_are_told() {
    let whole = frames("checksum");
    let has_data = |frame: &&Frame| {
        let packet = frame.packet().unwrap().packet.unwrap();
        packet.payload_len > 0 && packet.flow.dst.port == 4430
    };
    let numbers: Vec<_> = whole.iter().filter(has_data).map(|frame| frame.number).collect();
    let last_two = &numbers[numbers.len() - 2..];
    let edited = |edit: fn(&mut Frame)| {
        let frames = whole.iter().cloned().map(|mut frame| {
            if last_two.contains(&frame.number) {
                edit(&mut frame);
            }
            frame
        });
        analysis(&frames.collect::<Vec<_>>())
    };
    let stripped = edited(|frame| {
        let found = frame.packet().unwrap();
        let packet = found.packet.unwrap();
        let at = found.ip_at + packet.options_at();
        let options = at..at + packet.options_len();
        frame.bytes[options].fill(1);
    });
    let first = stripped.anomalies().first().unwrap();
    assert_eq!((first.frame, first.kind.label()), (Some(last_two[0]), "unmapped_data"));
    assert_eq!(stripped.connections()[0].subflows[0].halves.opener.unmapped_bytes, 2004);
    let changed = edited(|frame| *frame.bytes.last_mut().unwrap() ^= 1);
    assert_eq!(labels(&changed), ["checksum_wrong"]);
}

#[test]
fn the_objects_obey_their_schema_and_count_what_they_should() {
    let schema = Command::new(env!("CARGO_BIN_EXE_mpgate")).args(["replay", "--schema"]).output().unwrap();
    let schema: Value = serde_json::from_str(&stdout(&schema)).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut types = BTreeSet::new();
    for capture in captures() {
        for object in objects(&capture, &[]) {
            let errors: Vec<_> = validator.iter_errors(&object).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}\n{object}", capture.display());
            types.insert(object["type"].as_str().unwrap_or("segment").to_owned());
        }
    }
    assert_eq!(types.into_iter().collect::<Vec<_>>(), ["anomaly", "connection", "segment"]);
    assert!(!validator.is_valid(&serde_json::json!({"type": "connection", "schema": 1})));
}

#[test]
fn one_connection_can_be_chosen_and_must_be_there() {
    let capture = path("fastopen");
    let of_second = objects(&capture, &["--connection", "2"]);
    assert!(of_second.iter().all(|object| object["connection"] == 2), "{of_second:?}");
    assert_eq!(of_second.iter().filter(|object| object["type"] == "connection").count(), 1);
    let missing = replay(&capture, &["--connection", "3"]);
    assert_eq!(missing.status.code(), Some(2));
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert_eq!(said, "mpgate: there is no connection 3; the capture has 2\n");
}

#[test]
fn csv_has_a_line_for_each_subflow() {
    let text = stdout(&replay(&path("join-ipv4"), &["--csv"]));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("connection,subflow,version,checksum,client_token,"), "{text}");
    assert!(lines[2].contains(",10.0.2.2:57103,10.0.3.2:4430,client,verified,1,0,"), "{text}");
}

/// Frame numbers and comments, as tshark reads them.
fn comments(capture: &Path) -> Vec<(u64, String)> {
    let output = Command::new("tshark")
        .args(["-T", "json", "-e", "frame.number", "-e", "frame.comment", "-r"])
        .arg(capture)
        .output()
        .unwrap_or_else(|error| panic!("tshark is not installed ({error}): apt install tshark"));
    let frames: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let comment = |frame: &Value| {
        let fields = &frame["_source"]["layers"];
        let number = fields["frame.number"][0].as_str().unwrap().parse().unwrap();
        let comment = fields["frame.comment"][0].as_str().unwrap_or_default().to_owned();
        (number, comment)
    };
    frames.iter().map(comment).collect()
}

#[test]
fn wireshark_shows_why_a_segment_is_refused_and_what_is_wrong() {
    let home = tempfile::tempdir().unwrap();
    let (rules, out) = (home.path().join("rules.toml"), home.path().join("out.pcapng"));
    fs::write(&rules, "[[rule]]\nname = \"no-joins\"\noption = \"mp_join\"\naction = \"reject\"\n").unwrap();
    let [rules, written] = [&rules, &out].map(|path| path.to_str().unwrap());
    let write = |capture: &str, more: &[&str]| {
        let words = [&["--rules", rules, "--write", written, "--force", "--no-segments"], more].concat();
        stdout(&replay(&path(capture), &words));
        comments(&out)
    };
    for (capture, frames) in [("join-ipv4", 41), ("cooked-v1", 38), ("cooked-v2", 40)] {
        let all = write(capture, &[]);
        assert_eq!(all.len(), frames, "{capture}");
        let told: Vec<_> = all.into_iter().filter(|(_, comment)| !comment.is_empty()).collect();
        assert!(told.iter().all(|(_, comment)| comment.starts_with("mpgate: reject")), "{capture}: {told:?}");
        assert!(told.iter().any(|(_, comment)| comment.contains("no-joins")), "{capture}: {told:?}");
        let only: Vec<_> =
            write(capture, &["--only-decided"]).into_iter().map(|(_, comment)| comment).collect();
        assert_eq!(only, told.into_iter().map(|(_, comment)| comment).collect::<Vec<_>>(), "{capture}");
    }
    let anomalies = write("checksum-failed", &["--only-decided"]);
    let said: Vec<_> = anomalies.iter().map(|(_, comment)| comment.as_str()).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("a DSS checksum does not fit the data"), "{said:?}");
}

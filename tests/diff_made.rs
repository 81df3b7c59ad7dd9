//! `mpgate diff` on captures that are made: one change at a time, and nothing else may be named.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mpgate::capture::{Frame, Interface, Writer};
use mpgate::script::Script;
use mpgate::script::Step;
use mpgate::script::packet::Draft;
use mpgate::time::Timestamp;
use mpgate::wire::{Flow, Packet, Segment};
use serde_json::Value;

/// Raw IP.
const LINK: u32 = 101;

/// A box takes a millisecond.
const PASSING: u64 = 1;

const CLIENT: &str = "10.0.1.2:4000";
const SERVER: &str = "10.0.3.2:443";

/// A packet, and when it is captured, in milliseconds.
type Shot = (u64, Vec<u8>);

/// The timestamps option, and two NOPs before it.
fn stamps(value: u32, echo: u32) -> Vec<u8> {
    [&[1, 1, 8, 10][..], &value.to_be_bytes(), &echo.to_be_bytes()].concat()
}

fn draft(src: &str, dst: &str, segment: Segment) -> Draft {
    let end = |addr: &str| addr.parse::<std::net::SocketAddr>().unwrap().into();
    Draft { payload: Vec::new(), ..Draft::new(Flow { src: end(src), dst: end(dst) }, segment) }
}

/// A conversation of plain TCP with timestamps: handshake, a request, an answer in two segments, the end.
fn talk(client: &str, server: &str) -> Vec<(u64, Draft)> {
    let to = |segment, seq, ack, value, payload: &[u8]| {
        let mut draft = draft(client, server, segment).with_seq(seq).with_raw(&stamps(value, 70));
        (draft.ack, draft.payload) = (ack, payload.to_vec());
        draft
    };
    let back = |segment, seq, ack, value, payload: &[u8]| {
        let mut draft = draft(server, client, segment).with_seq(seq).with_raw(&stamps(value, 10));
        (draft.ack, draft.payload) = (ack, payload.to_vec());
        draft
    };
    let handshake = [2, 4, 5, 180, 1, 3, 3, 7];
    vec![
        (0, to(Segment::Syn, 1000, 0, 10, b"").with_raw(&handshake)),
        (10, back(Segment::SynAck, 9000, 1001, 70, b"").with_raw(&handshake)),
        (20, to(Segment::Ack, 1001, 9001, 20, b"")),
        (21, to(Segment::Data, 1001, 9001, 21, b"GET /index.html HTTP/1.1")),
        (40, back(Segment::Data, 9001, 1025, 90, &[b'a'; 1000])),
        (41, back(Segment::Data, 10001, 1025, 91, &[b'b'; 500])),
        (50, to(Segment::Ack, 1025, 10501, 50, b"")),
        (60, to(Segment::Fin, 1025, 10501, 60, b"")),
        (70, back(Segment::Fin, 10501, 1026, 110, b"")),
        (80, to(Segment::Ack, 1026, 10502, 80, b"")),
    ]
}

fn built(drafts: &[(u64, Draft)]) -> Vec<Shot> {
    drafts.iter().map(|(at, draft)| (*at, draft.build().unwrap())).collect()
}

/// A conversation in words, a millisecond apart.
fn spoken(text: &str) -> Vec<Shot> {
    let script = Script::parse(text).unwrap();
    let steps = script.cases.into_iter().flat_map(|case| case.steps);
    let packets = steps.filter_map(|step| match step {
        Step::Packet(line) => Some((line.now.nanos() / 1_000_000 * 10, line.bytes)),
        Step::Rules(_) | Step::Wait(_) => None,
    });
    packets.collect()
}

/// The same behind the box: what comes from the client is later and has a hop less, what goes to it was earlier.
fn behind(shots: &[Shot]) -> Vec<Shot> {
    let shots = shots.iter().map(|(at, bytes)| {
        let mut bytes = bytes.clone();
        let from_client = Packet::parse(&bytes).unwrap().flow.dst.port == 443;
        bytes[8] = if from_client { bytes[8] - 1 } else { bytes[8] + 1 };
        (if from_client { at + PASSING } else { at - PASSING }, bytes)
    });
    shots.collect()
}

struct Captures {
    folder: tempfile::TempDir,
}

impl Captures {
    fn new(before: &[Shot], after: &[Shot]) -> Self {
        let captures = Self { folder: tempfile::tempdir().unwrap() };
        captures.write("before", before, usize::MAX);
        captures.write("after", after, usize::MAX);
        captures
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.pcapng"))
    }

    fn write(&self, name: &str, shots: &[Shot], snap: usize) {
        let mut writer = Writer::new(fs::File::create(self.path(name)).unwrap()).unwrap();
        writer.describe(&[Interface { link_number: LINK, snap_len: 0, name: None }]).unwrap();
        for (number, (at, bytes)) in (1..).zip(shots) {
            let frame = Frame {
                number,
                at: Timestamp::from_nanos((1_000_000 + at) * 1_000_000),
                interface: 0,
                link_number: LINK,
                original_len: bytes.len().try_into().unwrap(),
                bytes: bytes[..bytes.len().min(snap)].to_vec(),
            };
            writer.frame(&frame, None).unwrap();
        }
        writer.finish().unwrap();
    }

    fn diff(&self, words: &[&str]) -> Output {
        run(&self.path("before"), &self.path("after"), words)
    }

    fn json(&self) -> Value {
        let output = self.diff(&["--json", "--segments"]);
        assert!(!output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn run(before: &Path, after: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpgate"));
    command.arg("diff").args(words).args([before, after]).output().unwrap()
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Title, count and upstream and downstream frames of each finding.
fn findings(json: &Value) -> Vec<String> {
    let list = json["findings"].as_array().unwrap().iter();
    let told = list.map(|finding| {
        let frames = |side: &str| -> Vec<String> {
            let places = finding["places"].as_array().unwrap().iter();
            places.flat_map(|place| place[side].as_array().unwrap()).map(Value::to_string).collect()
        };
        let (up, down) = (frames("upstream").join(" "), frames("downstream").join(" "));
        let fields = finding["fields"].as_array().unwrap().iter().map(|field| {
            let word = |name: &str| field[name].as_str().unwrap_or("?");
            format!(" [{} {}→{}]", word("name"), word("from"), word("to"))
        });
        let of = finding["of"].as_u64().map_or_else(String::new, |of| format!("/{of}"));
        let fields: String = fields.collect();
        format!("{}: {}{of} {up}→{down}{fields}", finding["title"].as_str().unwrap(), finding["count"])
    });
    told.collect()
}

/// The client's side is BEFORE; what the box makes of the packets is in AFTER.
fn check(before: &[Shot], after: &[Shot], wanted: &[&str]) -> Value {
    let captures = Captures::new(before, after);
    let json = captures.json();
    assert_eq!(findings(&json), wanted, "{json:#}");
    let code = captures.diff(&[]).status.code();
    assert_eq!(code, Some(i32::from(!wanted.is_empty())));
    // The same box from its other side.
    let swapped = Captures::new(after, before).json();
    assert_eq!(findings(&swapped), wanted, "swapped: {swapped:#}");
    json
}

/// Changes the drafts of a plain conversation, by their frames.
fn changed(change: impl Fn(u64, &mut Draft)) -> Vec<Shot> {
    let mut drafts = talk(CLIENT, SERVER);
    for (number, (_, draft)) in (1..).zip(&mut drafts) {
        change(number, draft);
    }
    behind(&built(&drafts))
}

fn plain() -> Vec<Shot> {
    built(&talk(CLIENT, SERVER))
}

const MPTCP: &str = "
from 10.0.1.2:4000 to 10.0.3.2:443  syn mp_capable
from 10.0.3.2:443 to 10.0.1.2:4000  syn_ack mp_capable
from 10.0.1.2:4000 to 10.0.3.2:443  ack mp_capable
from 10.0.1.2:4000 to 10.0.3.2:443  data:100 dss ack map
from 10.0.3.2:443 to 10.0.1.2:4000  ack dss ack
from 10.0.3.2:443 to 10.0.1.2:4000  ack add_addr 4 10.0.4.2
from 10.0.3.2:443 to 10.0.1.2:4000  data:50 dss ack map
from 10.0.1.2:4000 to 10.0.3.2:443  ack dss ack
";

#[test]
fn what_only_passes_is_unchanged() {
    for shots in [plain(), spoken(MPTCP)] {
        check(&shots, &behind(&shots), &[]);
    }
}

#[test]
fn an_option_that_is_cut_out_is_removed_and_moves_nothing() {
    let without = changed(|number, draft| {
        if number == 1 {
            draft.options.splice(12..16, []);
        }
    });
    let json = check(&plain(), &without, &["mss removed from the SYN, client to server: 1/1 1→1"]);
    assert_eq!(json["findings"][0]["noped"], false);
}

#[test]
fn values_and_the_order_and_the_padding_of_options_are_told_apart() {
    let mss = changed(|number, draft| {
        if number == 1 {
            draft.options[15] = 100;
        }
    });
    check(&plain(), &mss, &["mss changed in the SYN, client to server: 1/1 1→1 [mss_val 1460→1380]"]);
    let reordered = changed(|number, draft| {
        if number == 1 {
            draft.options.rotate_left(12);
        }
    });
    check(&plain(), &reordered, &["options reordered in the SYN, client to server: 1/1 1→1"]);
    let padded = changed(|number, draft| {
        if number == 4 {
            draft.options.rotate_left(2);
        }
    });
    check(&plain(), &padded, &["padding between options changed in the data, client to server: 1/1 4→4"]);
    let added = changed(|number, draft| {
        if number == 1 {
            draft.options.extend([4, 2]);
        }
    });
    check(&plain(), &added, &["sack_permitted added to the SYN, client to server: 1/1 1→1"]);
}

#[test]
fn mptcp_is_told_field_by_field_and_keys_never() {
    let shots = spoken(MPTCP);
    let tampered = |frame: usize, at: usize| {
        let mut after = behind(&shots);
        let options = Packet::parse(&after[frame].1).unwrap().options_at();
        after[frame].1[options + at] ^= 1;
        after
    };
    check(
        &shots,
        &tampered(1, 6),
        &["MP_CAPABLE changed in the SYN/ACK, server to client: 1/1 2→2 [key ?→?]"],
    );
    let checksum = "MP_CAPABLE changed in the SYN, client to server: 1/1 1→1 [checksumreq.flags false→true]";
    let mut flagged = behind(&shots);
    let options = Packet::parse(&flagged[0].1).unwrap().options_at();
    flagged[0].1[options + 3] |= 0x80;
    check(&shots, &flagged, &[checksum]);
    let json = Captures::new(&shots, &tampered(5, 3)).json();
    let wanted = "ADD_ADDR changed in the ACK, server to client: 1/1 6→6 [addrid 5→4]";
    assert_eq!(findings(&json), [wanted], "{json:#}");
    let captures = Captures::new(&shots, &tampered(1, 6));
    let text = String::from_utf8(captures.diff(&[]).stdout).unwrap();
    assert!(text.contains("\n  key changed\n"), "{text}");
}

/// Like ACKs stand around it.
#[test]
fn the_right_one_of_like_segments_is_dropped() {
    let shots = spoken(MPTCP);
    let mut after = behind(&shots);
    let mut before = shots;
    // Who says it is the server, upstream is AFTER.
    before.remove(5);
    let wanted = "ACK with ADD_ADDR dropped, server to client: 1/1 6→";
    let json = check(&before, &after, &[wanted]);
    assert_eq!(json["findings"][0]["effects"][0]["weight"], "safe");
    after.remove(5);
    check(&before, &after, &[]);
}

fn rewritten(offsets: [u32; 2], shots: &[Shot]) -> Vec<Shot> {
    let [client, server] = offsets;
    let mut after = behind(shots);
    for (_, bytes) in &mut after {
        let packet = Packet::parse(bytes).unwrap();
        let from_client = packet.flow.src.port == 4000;
        let (own, other) = if from_client { (client, server) } else { (server, client) };
        let seq = packet.seq.wrapping_add(own).to_be_bytes();
        let ack = packet.ack.map(|ack| ack.wrapping_add(other).to_be_bytes());
        let at = packet.tcp_at;
        bytes[at + 4..at + 8].copy_from_slice(&seq);
        if let Some(ack) = ack {
            bytes[at + 8..at + 12].copy_from_slice(&ack);
        }
    }
    after
}

#[test]
fn rewritten_sequence_numbers_are_seen_through() {
    let there = "sequence numbers rewritten, client to server: 1/1 →";
    let back = "sequence numbers rewritten, server to client: 1/1 →";
    check(&plain(), &rewritten([u32::MAX - 500, 0], &plain()), &[there]);
    check(&plain(), &rewritten([77, 1 << 31], &plain()), &[there, back]);
}

#[test]
fn sack_blocks_that_were_forgotten_are_told() {
    let mut drafts = talk(CLIENT, SERVER);
    let blocks = [&[1, 1, 5, 10][..], &9001_u32.to_be_bytes(), &9101_u32.to_be_bytes()].concat();
    drafts[6].1.options.extend(blocks);
    let shots = built(&drafts);
    let after = rewritten([0, 5000], &shots);
    let forgotten = "sack changed in the ACK, client to server: 1/1 7→7 [sack (not rewritten with the sequence numbers) ?→?]";
    let back = "sequence numbers rewritten, server to client: 1/1 →";
    check(&shots, &after, &[back, forgotten]);
}

#[test]
fn a_payload_that_an_alg_makes_longer_moves_what_is_behind_it_and_no_more_is_told() {
    let longer = changed(|number, draft| {
        if number == 4 {
            draft.payload = b"GET /index.html?longer HTTP/1.1".to_vec();
        } else if draft.flow.dst.port == 443 && number > 4 {
            draft.seq += 7;
        } else if draft.flow.src.port == 443 && number > 4 {
            draft.ack += 7;
        }
    });
    check(&plain(), &longer, &["payload changed, client to server: 1/1 4→4"]);
    let same_length = changed(|number, draft| {
        if number == 6 {
            draft.payload[0] = b'B';
        }
    });
    check(&plain(), &same_length, &["payload changed, server to client: 1/2 6→6"]);
}

/// NOPs stand in the place of all options of these frames.
fn blanked(shots: &[Shot], frames: &[usize]) -> Vec<Shot> {
    let mut shots = shots.to_vec();
    for frame in frames {
        let bytes = &mut shots[frame - 1].1;
        let packet = Packet::parse(bytes).unwrap();
        let (from, len) = (packet.options_at(), packet.options_len());
        bytes[from..from + len].fill(1);
    }
    shots
}

/// An opened connection, then so many requests of the client and as many answers.
fn requests(count: usize) -> Vec<Shot> {
    let (there, back) = (format!("from {CLIENT} to {SERVER}"), format!("from {SERVER} to {CLIENT}"));
    let open = format!("{there} syn mp_capable\n{back} syn_ack mp_capable\n{there} ack mp_capable\n");
    let talk = |number: usize| {
        let (request, answer) = (2000 + 100 * number, 1000 + 50 * number);
        format!("{there} data:100 dss ack map + seq {request}\n{back} data:50 dss ack map + seq {answer}\n")
    };
    spoken(&(open + &(0..count).map(talk).collect::<String>()))
}

/// Frames 4, 6, 8 and so on are the client's, ten milliseconds after each other.
#[test]
fn what_begins_or_ends_in_mid_connection_is_told_with_its_beginning_and_end() {
    let shots = requests(6);
    let cases: [(&[usize], [u64; 3], &str); 5] = [
        (&[10, 12, 14], [3, 0, 0], "flow 1: from frame 10 at 0.090 s on (3 before untouched)"),
        (&[4, 6], [0, 0, 4], "flow 1: up to frame 6 at 0.050 s (4 behind untouched)"),
        (
            &[6, 10, 12],
            [1, 1, 1],
            "flow 1: from frame 6 at 0.050 s to frame 12 at 0.110 s (1 before, 1 between, 1 behind untouched)",
        ),
        // All of them, and here and there: there is no moment to tell of.
        (&[4, 6, 8, 10, 12, 14], [0, 0, 0], ""),
        (&[6, 14], [1, 3, 0], ""),
    ];
    for (frames, untouched, told) in cases {
        let captures = Captures::new(&shots, &behind(&blanked(&shots, frames)));
        let json = captures.json();
        let span = &json["findings"][0]["spans"][0];
        let counts = ["before", "between", "behind"].map(|field| span[field].as_u64().unwrap());
        assert_eq!(counts, untouched, "{frames:?}: {json:#}");
        let ends = ["first", "last"].map(|end| span[end]["frame"].as_u64().unwrap());
        assert_eq!(ends.map(usize::try_from), [Ok(frames[0]), Ok(frames[frames.len() - 1])], "{json:#}");
        let text = String::from_utf8(captures.diff(&[]).stdout).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with("  flow ")).map(str::trim).collect();
        assert_eq!(lines.join(" "), told, "{text}");
        assert!(!text.contains("only in flow"), "{text}");
    }
}

#[test]
fn a_sender_that_falls_back_behind_the_strip_is_seen_to_do_so() {
    // The client leaves DSS out itself.
    let shots = blanked(&requests(4), &[10]);
    let captures = Captures::new(&shots, &behind(&blanked(&shots, &[6, 8])));
    let json = captures.json();
    let fallen = serde_json::json!({"frame": 10, "time": 0.09});
    assert_eq!(json["findings"][0]["spans"][0]["fallen_back"], fallen, "{json:#}");
    let text = String::from_utf8(captures.diff(&[]).stdout).unwrap().replace("\n  ", " ");
    assert!(
        text.contains("its sender has fallen back: from frame 10 at 0.090 s on, its data has none"),
        "{text}"
    );
}

/// A DATA_ACK does no harm by its absence where another subflow brings it; the DATA_FIN in frame 12 comes once.
#[test]
fn a_stripped_dss_without_data_matters_where_no_other_segment_says_the_same() {
    let (first, second) = (format!("from {CLIENT} to {SERVER}"), format!("from 10.0.2.2:4001 to {SERVER}"));
    let back = |client: &str, acked: u32| format!("from {SERVER} to {client} ack raw 1e082001{acked:08x}\n");
    let script = [
        format!("{first} syn mp_capable\nfrom {SERVER} to {CLIENT} syn_ack mp_capable\n"),
        format!("{first} ack mp_capable\n{first} data:100 dss ack map\n"),
        back(CLIENT, 100),
        format!(
            "{second} syn mp_join\nfrom {SERVER} to 10.0.2.2:4001 syn_ack mp_join\n{second} ack mp_join\n"
        ),
        format!("{second} data:100 dss ack map\n"),
        back("10.0.2.2:4001", 200),
        back(CLIENT, 200),
        format!("from {SERVER} to {CLIENT} ack dss fin\n"),
    ];
    let shots = spoken(&script.concat());
    let cases: [(&[usize], &str); 4] =
        [(&[10], "safe"), (&[11], "safe"), (&[10, 11], "breaks"), (&[12], "breaks")];
    for (frames, weight) in cases {
        let json = Captures::new(&blanked(&shots, frames), &behind(&shots)).json();
        let effects = json["findings"][0]["effects"].as_array().unwrap();
        assert_eq!(findings(&json).len(), 1, "{json:#}");
        let weights: Vec<_> = effects.iter().map(|effect| effect["weight"].as_str().unwrap()).collect();
        assert_eq!(weights, [weight], "{frames:?}: {json:#}");
    }
    let captures = Captures::new(&blanked(&shots, &[10]), &behind(&shots));
    assert_eq!(captures.json()["findings"][0]["spans"][0]["flow"], 2);
    let text = String::from_utf8(captures.diff(&[]).stdout).unwrap();
    assert!(text.contains("\n  only in flow 2, of 2 flows with such segments\n"), "{text}");
}

#[test]
fn a_reset_that_only_one_side_sees_is_injected() {
    let mut drafts = talk(CLIENT, SERVER);
    drafts.truncate(5);
    let before = built(&drafts);
    let reset = draft(SERVER, CLIENT, Segment::Rst).with_seq(10001).build().unwrap();
    let after = behind(&before);
    let before = [before, vec![(45, reset)]].concat();
    let json = check(&before, &after, &["RST injected, server to client: 1 →6"]);
    assert_eq!(json["findings"][0]["effects"][0]["weight"], "breaks");
}

/// A large segment on the one side, its pieces on the other, one of which is lost and sent again.
#[test]
fn pieces_of_a_large_segment_are_it() {
    let data = |at: u64, seq: u32, bytes: std::ops::Range<usize>, value: u32| {
        let payload: Vec<u8> = (0..=255).cycle().skip(bytes.start).take(bytes.len()).collect();
        let mut draft = draft(CLIENT, SERVER, Segment::Data).with_seq(seq).with_raw(&stamps(value, 70));
        (draft.ack, draft.payload) = (9001, payload);
        (at, draft)
    };
    let start = &talk(CLIENT, SERVER)[..3];
    let ack = |at: u64| {
        let mut draft = draft(SERVER, CLIENT, Segment::Ack).with_seq(9001).with_raw(&stamps(99, 30));
        draft.ack = 4001;
        (at, draft)
    };
    let whole = [start, &[data(30, 1001, 0..3000, 30), ack(60)]].concat();
    let pieces = [30, 30, 30].into_iter().zip([0, 1000, 2000]);
    let pieces: Vec<_> = pieces
        .map(|(at, from)| data(at, 1001 + u32::try_from(from).unwrap(), from..from + 1000, 30))
        .collect();
    let split = [start, &pieces, &[ack(60)]].concat();
    let json = check(&built(&whole), &behind(&built(&split)), &[]);
    assert_eq!(json["notes"].as_array().unwrap().len(), 1, "{json:#}");
    let again = [start, &[data(30, 1001, 0..3000, 30), data(50, 2001, 1000..2000, 50), ack(60)]].concat();
    let with_loss = [start, &pieces[..1], &pieces[2..], &[data(50, 2001, 1000..2000, 50), ack(60)]].concat();
    check(&built(&again), &behind(&built(&with_loss)), &[]);
}

#[test]
fn a_capture_that_began_later_or_ended_earlier_proves_nothing() {
    let shots = plain();
    let after = behind(&shots);
    let json = check(&shots, &after[4..8], &[]);
    assert!(json["notes"][0].as_str().unwrap().contains("were not compared"), "{json:#}");
}

#[test]
fn a_capture_that_missed_frames_proves_nothing() {
    let shots = plain();
    let mut after = behind(&shots);
    after.remove(3);
    let json = check(&shots, &after, &[]);
    assert!(json["notes"][0].as_str().unwrap().contains("tcpdump lost frames"), "{json:#}");
}

fn through_nat(shots: &[Shot], addr: [u8; 4], port: u16) -> Vec<Shot> {
    let mut after = behind(shots);
    for (_, bytes) in &mut after {
        let packet = Packet::parse(bytes).unwrap();
        let (at, tcp) =
            if packet.flow.src.port == 4000 { (12, packet.tcp_at) } else { (16, packet.tcp_at + 2) };
        bytes[at..at + 4].copy_from_slice(&addr);
        bytes[tcp..tcp + 2].copy_from_slice(&port.to_be_bytes());
    }
    after
}

/// What is random in a conversation goes first; less and less is left to know it by.
#[test]
fn a_nat_is_seen_through_and_how_sure_that_is_is_said() {
    let nat = "client address rewritten (NAT), 10.0.1.2 → 192.0.2.1, client to server: 1/1 →";
    let numbers = ["client to server", "server to client"]
        .map(|direction| format!("sequence numbers rewritten, {direction}: 1/1 →"));
    let [there, back] = numbers.each_ref().map(String::as_str);
    let certain = |shots: &[Shot], after: &[Shot], wanted: &[&str]| {
        let json = Captures::new(shots, after).json();
        assert_eq!(findings(&json), wanted, "{json:#}");
        let flow = &json["flows"][0];
        (flow["certainty"].as_str().unwrap().to_owned(), flow["percent"].as_u64().unwrap())
    };
    let shots = spoken(MPTCP);
    assert_eq!(certain(&shots, &through_nat(&shots, [192, 0, 2, 1], 61000), &[nat]), ("certain".into(), 99));
    let shots = plain();
    let after = through_nat(&rewritten([5, 6], &shots), [192, 0, 2, 1], 61000);
    let (word, percent) = certain(&shots, &after, &[nat, there, back]);
    assert_eq!((word.as_str(), percent), ("certain", 99), "timestamps and payload are left");
    // A SYN alone, with other numbers and no timestamps.
    let mut drafts = talk(CLIENT, SERVER);
    drafts.truncate(1);
    drafts[0].1.options.drain(..12);
    let shots = built(&drafts);
    let after = through_nat(&rewritten([5, 6], &shots), [192, 0, 2, 1], 61000);
    let (word, percent) = certain(&shots, &after, &[nat, there]);
    assert_eq!((word.as_str(), percent), ("likely", 95));
}

fn real(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures").join(name)
}

#[test]
fn a_capture_is_like_itself() {
    let captures = fs::read_dir(real("")).unwrap().map(|entry| entry.unwrap().path());
    let captures: Vec<_> = captures.filter(|path| path.extension() == Some("pcap".as_ref())).collect();
    assert!(captures.len() > 20);
    for capture in captures {
        let output = run(&capture, &capture, &["--json"]);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}: {json:#}", capture.display());
        assert_eq!(json["notes"].as_array().unwrap().len(), 0, "{}: {json:#}", capture.display());
        assert_eq!(json["unpaired"].as_array().unwrap().len(), 0, "{}", capture.display());
    }
}

/// `replay --behind` makes a copy in which all segments have gone through the gate, whoever sent them.
#[test]
fn a_copy_that_the_gate_wrote_shows_what_the_gate_does() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.toml");
    fs::write(&rules, "[[rule]]\nname = \"one path\"\noption = \"mp_join\"\naction = \"reject\"\n").unwrap();
    for name in ["join-ipv4.pcap", "join-ipv6.pcap"] {
        let copy = folder.path().join(name);
        let mut replay = Command::new(env!("CARGO_BIN_EXE_mpgate"));
        replay.arg("replay").arg(real(name)).arg("--rules").arg(&rules).arg("--behind").arg(&copy);
        assert!(replay.output().unwrap().status.success());
        let json: Value = serde_json::from_slice(&run(&real(name), &copy, &["--json"]).stdout).unwrap();
        let first = &json["findings"][0];
        assert_eq!(first["title"], "SYN with MP_JOIN dropped, client to server", "{json:#}");
        assert_eq!(first["remark"], "a RST came back that no host had sent: a box");
        assert!(
            json["findings"].as_array().unwrap().iter().all(|finding| finding["option"].is_null()),
            "{json:#}"
        );
    }
}

#[test]
fn a_cut_payload_is_not_compared() {
    let shots = plain();
    let captures = Captures::new(&shots, &behind(&shots));
    captures.write("after", &behind(&shots), 60);
    let json = captures.json();
    assert_eq!(findings(&json), Vec::<String>::new());
    assert!(json["notes"][0].as_str().unwrap().contains("payload cut by the capture"), "{json:#}");
}

#[test]
fn what_cannot_be_compared_says_why() {
    let shots = plain();
    let captures = Captures::new(&shots, &[]);
    assert!(complaint(&captures.diff(&[])).contains("AFTER holds no TCP segment (0 frames)"));
    let other = built(&talk("10.9.9.9:1", "10.8.8.8:2"));
    let mut other: Vec<_> = other[..1].to_vec();
    other[0].1[20 + 4] ^= 0xff;
    other[0].0 += 100_000;
    other[0].1[20 + 26] ^= 0xff;
    let strangers = Captures::new(&shots, &other);
    assert!(complaint(&strangers.diff(&[])).contains("the captures share no flow"));
    fs::write(captures.path("after"), "").unwrap();
    assert!(complaint(&captures.diff(&[])).contains("after.pcapng: the file is empty"));
    fs::write(captures.path("after"), "no capture at all").unwrap();
    assert!(complaint(&captures.diff(&[])).contains("not a capture"));
    fs::remove_file(captures.path("after")).unwrap();
    assert!(complaint(&captures.diff(&[])).contains("after.pcapng: No such file"));
    assert!(complaint(&run(Path::new("-"), Path::new("-"), &[])).contains("standard input"));
    assert!(complaint(&run(Path::new("/"), &captures.path("before"), &[])).contains("is a directory"));
}

#[test]
fn of_a_damaged_capture_what_can_be_read_is_compared() {
    let shots = plain();
    let captures = Captures::new(&shots, &behind(&shots));
    let mut bytes = fs::read(captures.path("after")).unwrap();
    bytes.truncate(bytes.len() - 20);
    fs::write(captures.path("after"), bytes).unwrap();
    let output = captures.diff(&[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("after.pcapng: cut short in frame 10") && said.contains("what comes before"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn flows_beyond_the_limit_are_counted_and_said() {
    let syn = |number: u32| {
        let [_, _, high, low] = number.to_be_bytes();
        let client = format!("10.{}.{high}.{low}:4000", 1 + number / 60_000);
        (u64::from(number), draft(&client, SERVER, Segment::Syn).build().unwrap())
    };
    let shots: Vec<_> = (0..10_002).map(syn).collect();
    let captures = Captures::new(&shots, &shots);
    let json = captures.json();
    assert_eq!(json["flows"].as_array().unwrap().len(), 10_000);
    let wanted = "BEFORE: 2 segments of flows beyond the first 10000 were left out";
    assert_eq!(json["notes"][0], wanted);
}

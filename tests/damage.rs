//! A capture with a byte changed, or with its end gone, wherever that is: what stands before the damage is read as if there
//! were none, the rest is read or said in one line to be unreadable, and nothing panics.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

mod formats;

use std::io::Write;
use std::process::{Command, Stdio};

use formats::{frames, pcap, pcapng, relinked};
use mpgate::capture::{Capture, CaptureError, Frame};
use mpgate::engine::{Engine, Mode};
use mpgate::replay::Replay;
use mpgate::replay::objects::write_segment;
use mpgate::rules::RuleSet;
use mpgate::track::Limits;
use pcap_file::pcap::PcapHeader;
use pcap_file::{Endianness, TsResolution};

/// As many frames as hold the handshakes of two subflows, and data.
const FRAMES: usize = 11;

/// One bit, and all.
const CHANGES: [fn(u8) -> u8; 2] = [|byte| byte ^ 1, |byte| !byte];

/// The same frames in each format, as a snap length leaves them: the headers whole, or cut.
fn captures() -> Vec<(&'static str, Vec<u8>)> {
    let frames: Vec<_> = frames("fastclose").into_iter().take(FRAMES).collect();
    let snapped: Vec<_> =
        frames.iter().map(|(at, frame)| (*at, frame[..frame.len().min(96)].to_vec())).collect();
    let header = PcapHeader { snaplen: 96, ..PcapHeader::default() };
    let little = Endianness::Little;
    let nanoseconds = TsResolution::NanoSecond;
    vec![
        ("pcap, big endian, µs", pcap(header, &frames)),
        ("pcap, little endian, µs", pcap(PcapHeader { endianness: little, ..header }, &frames)),
        ("pcap, big endian, ns", pcap(PcapHeader { ts_resolution: nanoseconds, ..header }, &frames)),
        ("pcap, cut in the TCP header", pcap(PcapHeader { snaplen: 60, ..header }, &frames)),
        ("loopback", relinked(0, &snapped, |frame| [&[2, 0, 0, 0], &frame[14..]].concat())),
        ("cooked", relinked(113, &snapped, |frame| [&[0; 14], &frame[12..]].concat())),
        ("pcapng of two interfaces, µs", pcapng(&snapped, little, None)),
        ("pcapng of two interfaces, big endian, ns", pcapng(&snapped, Endianness::Big, Some(9))),
    ]
}

/// What replay prints of a capture, a line a segment; for each frame, how many lines there are up to it; and what it says
/// of the rest.
#[derive(Debug)]
struct Told {
    lines: Vec<String>,
    lines_at: Vec<usize>,
    error: Option<CaptureError>,
}

fn tell(bytes: &[u8]) -> Told {
    let mut told = Told { lines: Vec::new(), lines_at: vec![0], error: None };
    let mut replay = Replay::new(Engine::new(RuleSet::default(), Limits::default(), Mode::Enforce));
    let mut frame = Frame::default();
    let mut capture = match Capture::open(bytes) {
        Ok(capture) => capture,
        Err(error) => return Told { error: Some(error), ..told },
    };
    loop {
        match capture.read(&mut frame) {
            Ok(true) => {}
            Ok(false) => return told,
            Err(error) => return Told { error: Some(error), ..told },
        }
        let mut line = Vec::new();
        write_segment(&mut line, &replay.step(&frame)).unwrap();
        if !line.is_empty() {
            told.lines.push(String::from_utf8(line).unwrap());
        }
        told.lines_at.push(told.lines.len());
    }
}

/// How many lines those frames make that end before each byte of a capture, and at its end.
fn lines_before(bytes: &[u8], whole: &Told) -> Vec<usize> {
    let frames = |bytes| {
        let mut frame = Frame::default();
        let mut capture = Capture::open(bytes).ok()?;
        Some((0..).take_while(|_| capture.read(&mut frame).is_ok_and(|found| found)).count())
    };
    (0..=bytes.len()).map(|end| whole.lines_at[frames(&bytes[..end]).unwrap_or(0)]).collect()
}

/// What is read is read as without the damage, up to it; the rest is said in one line.
fn check(what: &str, whole: &Told, told: &Told, untouched: usize) {
    assert!(told.lines.len() >= untouched, "{what}: {} of {untouched} lines", told.lines.len());
    assert_eq!(told.lines[..untouched], whole.lines[..untouched], "{what}");
    if let Some(error) = &told.error {
        let said = format!("{error}");
        assert!(!said.contains('\n') && said.len() < 200, "{what}: {said}");
    }
}

#[test]
fn a_capture_changed_in_any_byte_is_read_up_to_there() {
    for (format, bytes) in captures() {
        let whole = tell(&bytes);
        let untouched = lines_before(&bytes, &whole);
        let mut ends = [0; 2];
        for (at, untouched) in untouched.iter().enumerate().take(bytes.len()) {
            for change in CHANGES {
                let mut damaged = bytes.clone();
                damaged[at] = change(damaged[at]);
                let told = tell(&damaged);
                check(&format!("{format}, byte {at}"), &whole, &told, *untouched);
                ends[usize::from(told.error.is_some())] += 1;
            }
        }
        assert!(ends.iter().all(|count| *count > 0), "{format}: {ends:?} read to the end, and not");
    }
}

#[test]
fn a_capture_cut_anywhere_is_read_up_to_there() {
    for (format, bytes) in captures() {
        let whole = tell(&bytes);
        assert!(whole.error.is_none(), "{format}: {whole:?}");
        for end in 0..bytes.len() {
            let told = tell(&bytes[..end]);
            let what = format!("{format}, cut at byte {end}");
            check(&what, &whole, &told, told.lines.len());
            match &told.error {
                None => {}
                Some(CaptureError::CutShort { have, need, .. }) => assert!(have < need, "{what}"),
                Some(CaptureError::Empty) => assert_eq!(end, 0, "{what}"),
                Some(error) => assert!(told.lines.is_empty() && end < 24, "{what}: {error}"),
            }
        }
        assert!(tell(&bytes[..bytes.len() - 1]).error.is_some(), "{format}");
    }
}

#[test]
fn the_program_shows_what_came_before_the_damage_and_says_one_line() {
    for (format, bytes) in captures() {
        let whole = tell(&bytes);
        let untouched = lines_before(&bytes, &whole);
        for part in 0..12 {
            let at = bytes.len() * part / 12;
            let mut damaged = bytes.clone();
            damaged[at] = !damaged[at];
            let cut = damaged[..at].to_vec();
            for (how, bytes) in [("changed", damaged), ("cut", cut)] {
                let what = format!("{format}, {how} at byte {at}");
                let told = tell(&bytes);
                let (code, stdout, stderr) = run(&bytes);
                let shown: Vec<_> = stdout.split_inclusive('\n').take(untouched[at]).collect();
                assert_eq!(shown, whole.lines[..untouched[at]], "{what}");
                let expected = match told.error {
                    None => 0,
                    Some(_) if told.lines_at.len() == 1 && Capture::open(&bytes[..]).is_err() => 2,
                    Some(_) => 1,
                };
                assert_eq!(code, Some(expected), "{what}: {stderr}");
                assert_eq!(stderr.lines().count(), usize::from(expected != 0), "{what}: {stderr}");
            }
        }
    }
}

fn run(bytes: &[u8]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mpgate"));
    let command = command.args(["replay", "-", "--json"]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes).ok());
        child.wait_with_output().unwrap()
    });
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

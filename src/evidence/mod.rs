//! Closet: live evidence. What was not accepted is written to pcapng files, each frame with a comment that says why.
//!
//! Workers put frames down in trays ([`Collector`]) and go on; one thread of the lowest priority collects and writes them
//! ([`Recorder`]). What it cannot write in time is lost and counted; no packet ever waits for it.

mod tray;
mod files;
mod recorder;

use std::path::PathBuf;

pub use recorder::Recorder;
pub use tray::Collector;

/// What is written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The directory; it is made where only it is missing.
    pub directory: PathBuf,
    /// A file of so many bytes gets no further frame.
    pub file_bytes: u64,
    /// So many files are kept; the oldest make room.
    pub files: usize,
    /// So many bytes of a packet are kept.
    pub snap_bytes: usize,
    /// What would not be accepted, if the gate or a rule did not only observe, is written too.
    pub observed: bool,
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::sync::{Arc, Mutex};
    use std::thread;

    use super::files::Files;
    use super::tray::{Tray, collect};
    use super::*;
    use crate::capture::{Capture, Frame};
    use crate::engine::{Decision, Ingress};
    use crate::metrics::{CaptureMetrics, Metrics};
    use crate::rules::RuleSet;
    use crate::script::Script;
    use crate::script::play::play;
    use crate::time::Timestamp;
    use crate::wire::InterfaceName;

    const FORGED: &str = "c>s syn mp_join token 0x1";
    const SECOND: u64 = 1_000_000_000;

    /// The packets of a conversation, each with its decision.
    pub(super) fn decisions(script: &str) -> Vec<(Decision, Vec<u8>)> {
        let played = play(Script::parse(script).unwrap(), |_no_rules| RuleSet::default());
        played.into_iter().map(|played| (played.decision, played.line.bytes)).collect()
    }

    /// A collector whose frames nobody collects.
    pub(super) fn collector(snap_bytes: usize, observed: bool) -> Collector {
        let (tray, lost) = (Arc::new(Mutex::new(Tray::new())), Metrics::default().capture().lost);
        Collector { tray, snap_bytes, observed, lost, recorder: thread::current() }
    }

    fn settings(directory: &Path) -> Settings {
        let directory = directory.to_owned();
        Settings { directory, file_bytes: 1 << 20, files: 3, snap_bytes: 256, observed: true }
    }

    /// So many forged joins, in a tray.
    fn tray(count: usize, snap_bytes: usize, interface: Option<&str>) -> Tray {
        let (decision, bytes) = decisions(FORGED).remove(0);
        let collector = collector(snap_bytes, true);
        let ingress = Ingress { input: interface.and_then(InterfaceName::new), ..Ingress::default() };
        for _ in 0..count {
            collector.offer(&decision, &ingress, &bytes, bytes.len());
        }
        let mut tray = Tray::new();
        collect(&collector.tray, &mut tray);
        tray
    }

    fn files(settings: &Settings) -> (Files, CaptureMetrics) {
        let metrics = Metrics::default().capture();
        (Files::new(settings.clone(), metrics.clone()), metrics)
    }

    const fn at(secs: u64) -> Timestamp {
        Timestamp::from_nanos(secs * SECOND)
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The frames of all files in the directory, which are whole captures.
    fn frames(directory: &Path) -> Vec<Frame> {
        let mut frames = Vec::new();
        for name in names(directory).iter().filter(|name| name.starts_with("mpgate-2")) {
            let mut capture = Capture::open(fs::File::open(directory.join(name)).unwrap()).unwrap();
            let mut frame = Frame::default();
            while capture.read(&mut frame).unwrap() {
                frames.push(frame.clone());
            }
        }
        frames
    }

    #[test]
    fn every_file_is_a_whole_capture_after_every_tray_and_its_owners_alone() {
        let home = tempfile::tempdir().unwrap();
        let settings = settings(&home.path().join("evidence"));
        let (mut files, metrics) = files(&settings);
        files.look();
        assert_eq!(names(&settings.directory), [""; 0], "nothing to write, no file");
        for written in 1..=3 {
            files.write(at(1), &tray(1, 256, Some("eth0")));
            assert_eq!(frames(&settings.directory).len(), written);
        }
        let [name] = names(&settings.directory).try_into().unwrap();
        let file = settings.directory.join(name);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(settings.directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(metrics.bytes.get(), file.metadata().unwrap().len());
        assert_eq!((metrics.written.get(), metrics.files.get()), (3, 1));
        let frame = frames(&settings.directory).remove(0);
        assert_eq!(frame.packet().unwrap().ip, decisions(FORGED).remove(0).1, "as it came");
    }

    #[test]
    fn a_full_file_is_followed_by_the_next_and_the_oldest_of_our_own_goes() {
        let home = tempfile::tempdir().unwrap();
        let mut settings = settings(home.path());
        settings.file_bytes = 4096;
        let foreign = ["mpgate-incident.pcapng", "mpgate-20250101T000000Z-000001.pcapng.gz", "other.pcapng"];
        for name in foreign {
            fs::write(home.path().join(name), "").unwrap();
        }
        fs::create_dir(home.path().join("mpgate-20250101T000000Z-000002.pcapng")).unwrap();
        fs::write(home.path().join("mpgate-20250101T000000Z-000007.pcapng"), "of a gate before").unwrap();
        let (mut files, metrics) = files(&settings);
        files.look();
        assert_eq!(metrics.files.get(), 1);
        for _ in 0..100 {
            files.write(at(1), &tray(7, 256, None));
            assert!(names(home.path()).len() <= foreign.len() + 1 + settings.files);
        }
        let left = names(home.path());
        assert_eq!(left.len(), foreign.len() + 1 + settings.files, "{left:?}");
        assert_eq!(metrics.files.get(), 3);
        assert_eq!(metrics.written.get(), 700);
        let numbers: Vec<u64> = left.iter().filter_map(|name| name.get(24..30)?.parse().ok()).collect();
        assert!(numbers.iter().max().unwrap() > &20, "the numbers go on from those before: {left:?}");
        for name in left.iter().filter(|name| name.get(24..30).is_some_and(|number| number > "000007")) {
            assert!(home.path().join(name).metadata().unwrap().len() < settings.file_bytes + 512, "{name}");
        }
    }

    #[test]
    fn a_deleted_directory_is_made_anew_and_the_next_frames_are_in_it() {
        let home = tempfile::tempdir().unwrap();
        let settings = settings(&home.path().join("evidence"));
        let (mut files, metrics) = files(&settings);
        files.write(at(1), &tray(1, 256, None));
        fs::remove_dir_all(&settings.directory).unwrap();
        files.write(at(2), &tray(2, 256, None));
        assert_eq!(frames(&settings.directory).len(), 2);
        assert_eq!((metrics.written.get(), metrics.failed.get()), (3, 0));
    }

    #[test]
    fn where_no_file_can_be_made_frames_are_counted_and_it_is_tried_again_later() {
        let home = tempfile::tempdir().unwrap();
        let settings = settings(&home.path().join("evidence"));
        fs::write(&settings.directory, "no directory").unwrap();
        let (mut files, metrics) = files(&settings);
        files.look();
        files.write(at(1), &tray(3, 256, None));
        fs::remove_file(&settings.directory).unwrap();
        files.write(at(2), &tray(3, 256, None));
        assert_eq!((metrics.written.get(), metrics.failed.get()), (0, 6), "not yet");
        files.write(at(7), &tray(3, 256, None));
        assert_eq!((metrics.written.get(), metrics.failed.get()), (3, 6));
        assert_eq!(frames(&settings.directory).len(), 3);
    }

    #[test]
    fn interfaces_without_end_are_not_described_without_end() {
        let home = tempfile::tempdir().unwrap();
        let settings = settings(home.path());
        let (mut files, metrics) = files(&settings);
        for number in 0..600 {
            files.write(at(1), &tray(1, 256, Some(&format!("tun{number}"))));
        }
        let frames = frames(home.path());
        assert_eq!((frames.len(), metrics.failed.get()), (600, 0));
        assert_eq!(frames.iter().map(|frame| frame.interface).max(), Some(256), "the last one has no name");
    }

    #[test]
    fn what_was_put_down_before_the_end_is_written() {
        let home = tempfile::tempdir().unwrap();
        let metrics = Metrics::default().capture();
        let (recorder, collectors) = Recorder::start(settings(home.path()), metrics.clone(), 2).unwrap();
        let (decision, bytes) = decisions(FORGED).remove(0);
        for collector in &collectors {
            for _ in 0..1000 {
                collector.offer(&decision, &Ingress::default(), &bytes, bytes.len());
            }
        }
        recorder.stop();
        assert_eq!(metrics.written.get() + metrics.lost.get(), 2000);
        assert_eq!(u64::try_from(frames(home.path()).len()).unwrap(), metrics.written.get());
        assert!(metrics.written.get() > 0);
    }
}

//! The thread that writes.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::evidence::files::Files;
use crate::evidence::tray::{Tray, collect};
use crate::evidence::{Collector, Settings};
use crate::metrics::CaptureMetrics;
use crate::{clock, priority};

/// How often the trays are emptied into the file, where they do not fill before: whoever reads it sees what happened a moment
/// ago, and ten writes a second are nothing to a disk.
const COLLECT_EVERY: Duration = Duration::from_millis(100);

/// Writes what collectors put down.
#[derive(Debug)]
pub struct Recorder {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Recorder {
    /// Starts the thread, and gives a collector for each of so many workers. Files are made only when there is something to
    /// write; a directory that cannot be written is warned of now.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(
        settings: Settings,
        metrics: CaptureMetrics,
        workers: usize,
    ) -> io::Result<(Self, Vec<Collector>)> {
        let trays: Vec<_> = (0..workers).map(|_| Arc::new(Mutex::new(Tray::new()))).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let (snap_bytes, observed) = (settings.snap_bytes, settings.observed);
        let lost = metrics.lost.clone();
        let work = {
            let (trays, stop) = (trays.clone(), Arc::clone(&stop));
            move || run(&trays, Files::new(settings, metrics), &stop)
        };
        let thread = thread::Builder::new().name("mpgate-evidence".to_owned()).spawn(work)?;
        let collector = |tray| Collector {
            tray,
            snap_bytes,
            observed,
            lost: lost.clone(),
            recorder: thread.thread().clone(),
        };
        let collectors = trays.into_iter().map(collector).collect();
        Ok((Self { stop, thread }, collectors))
    }

    /// Writes what lies there, ends the file, and returns: within the time that the disk takes for a few megabytes. End those
    /// who put frames down before.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!("the thread that writes evidence did not come to its end");
        }
    }
}

fn run(trays: &[Arc<Mutex<Tray>>], mut files: Files, stop: &AtomicBool) {
    priority::yield_to_workers();
    files.look();
    let mut empty = Tray::new();
    loop {
        let last = stop.load(Ordering::Acquire);
        for tray in trays {
            collect(tray, &mut empty);
            if !empty.is_empty() {
                files.write(clock::now(), &empty);
            }
            empty.clear();
        }
        if last {
            return;
        }
        thread::park_timeout(COLLECT_EVERY);
    }
}

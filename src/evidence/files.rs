//! The files: one after the other, so many at most, each a whole capture up to its last byte.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use pcap_file::PcapResult;
use rustix::fs::{Access, access};

use crate::capture::{Frame, Interface, RAW_IP, Writer};
use crate::clock;
use crate::comment::{Numbers, comment};
use crate::evidence::Settings;
use crate::evidence::tray::{Caught, Tray};
use crate::metrics::CaptureMetrics;
use crate::time::Timestamp;
use crate::wire::InterfaceName;

/// After an error nothing is written for so long: a full disk needs a person, and the log one line at a time.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Blocks that gather before they go to the file; a system call for each would cost more than the block.
const GATHERED_MAX: usize = 64 << 10;

/// Interfaces that one file describes. Names can be made up without end where tunnels come and go; the others stay unnamed.
const INTERFACES_MAX: usize = 256;

/// The files of one gate.
#[derive(Debug)]
pub(super) struct Files {
    settings: Settings,
    metrics: CaptureMetrics,
    current: Option<Current>,
    /// The number of the last file.
    last: u64,
    /// By the boot clock.
    failed_until: Option<Timestamp>,
}

/// The file that is written.
#[derive(Debug)]
struct Current {
    file: File,
    path: PathBuf,
    /// How much of it is whole.
    len: u64,
    section: Section,
}

/// Blocks of one section that are not yet in the file.
#[derive(Debug)]
struct Section {
    writer: Writer<Vec<u8>>,
    interfaces: Vec<Interface>,
    frames: u64,
    /// Filled anew for each frame.
    frame: Frame,
}

/// A file of ours, told by its name alone: those of former gates are among them, or each start would leave some behind.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Own {
    number: u64,
    path: PathBuf,
}

impl Files {
    pub(super) const fn new(settings: Settings, metrics: CaptureMetrics) -> Self {
        Self { settings, metrics, current: None, last: 0, failed_until: None }
    }

    /// Looks at what is there from before, and warns of what will not work.
    pub(super) fn look(&self) {
        let directory = &self.settings.directory;
        let found = make(directory).and_then(|()| {
            access(directory, Access::WRITE_OK)?;
            own(directory)
        });
        match found {
            Ok(own) => self.metrics.files.set(i64::try_from(own.len()).unwrap_or(i64::MAX)),
            Err(error) => tracing::warn!("[capture] cannot write to {}: {error}", directory.display()),
        }
    }

    /// Writes the frames of a tray.
    pub(super) fn write(&mut self, now: Timestamp, tray: &Tray) {
        if self.current.as_ref().is_some_and(Current::is_deleted) {
            self.current = None;
        }
        for (caught, bytes) in tray.frames() {
            self.add(now, caught, bytes);
        }
        self.flush(now);
    }

    fn add(&mut self, now: Timestamp, caught: &Caught, bytes: &[u8]) {
        if self.failed_until.is_some_and(|until| now < until) {
            return self.metrics.failed.inc();
        }
        let (limit, snap_bytes) = (self.settings.file_bytes, self.settings.snap_bytes);
        let added = self.open().and_then(|current| {
            current.section.add(caught, bytes, snap_bytes).map_err(io::Error::other)?;
            let gathered = current.section.writer.out().len();
            Ok(gathered >= GATHERED_MAX || current.len.saturating_add(as_u64(gathered)) >= limit)
        });
        match added {
            Ok(false) => {}
            Ok(true) => self.flush(now),
            Err(error) => {
                self.metrics.failed.inc();
                self.fail(now, &error);
            }
        }
    }

    /// The file that is written, or the next one. What must go goes before it comes: where none can be made, no more than one
    /// old file is lost for it, however often that is tried.
    fn open(&mut self) -> io::Result<&mut Current> {
        if self.current.is_none() {
            let Settings { directory, files, .. } = &self.settings;
            make(directory)?;
            let mut own = own(directory)?;
            self.last = own.iter().map(|own| own.number).max().unwrap_or(0).max(self.last);
            own.sort();
            let surplus = (own.len() + 1).saturating_sub(*files);
            for oldest in own.drain(..surplus.min(own.len())) {
                remove(&oldest.path)?;
            }
            let opened = Current::create(directory, &mut self.last)?;
            self.metrics.files.set(i64::try_from(own.len() + 1).unwrap_or(i64::MAX));
            self.current = Some(opened);
        }
        self.current.as_mut().ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Brings what has gathered into the file; a full file is the last frame's.
    fn flush(&mut self, now: Timestamp) {
        let Some(current) = &mut self.current else { return };
        let frames = current.section.frames;
        if frames == 0 {
            return;
        }
        match current.flush() {
            Ok(bytes) => {
                self.metrics.written.inc_by(frames);
                self.metrics.bytes.inc_by(bytes);
                if current.len >= self.settings.file_bytes {
                    self.current = None;
                }
                if self.failed_until.take().is_some() {
                    tracing::info!("[capture] writes again");
                }
            }
            Err(error) => {
                self.metrics.failed.inc_by(frames);
                if current.mend().is_err() {
                    self.current = None;
                }
                self.fail(now, &error);
            }
        }
    }

    fn fail(&mut self, now: Timestamp, error: &io::Error) {
        self.failed_until = Some(now.after(RETRY_AFTER));
        let failed = self.metrics.failed.get();
        tracing::warn!(failed, "[capture] cannot write to {}: {error}", self.settings.directory.display());
    }
}

impl Current {
    /// A new file behind that of number `last`, which becomes its own.
    fn create(directory: &Path, last: &mut u64) -> io::Result<Self> {
        let time = UNIX_EPOCH + Duration::from_nanos(clock::unix().nanos());
        let time = humantime::format_rfc3339_seconds(time).to_string().replace(['-', ':'], "");
        let section = Section::new().map_err(io::Error::other)?;
        *last = last.saturating_add(1);
        let path = directory.join(format!("mpgate-{time}-{last:06}.pcapng"));
        // Readable by its owner alone: third ACKs hold the keys of connections. Appending, so that what is cut off after an
        // error leaves no hole.
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { file, path, len: 0, section })
    }

    /// Somebody took it away: what is written to it would be for nobody.
    fn is_deleted(&self) -> bool {
        self.file.metadata().is_ok_and(|about| about.nlink() == 0)
    }

    fn flush(&mut self) -> io::Result<u64> {
        let blocks = self.section.writer.out();
        self.file.write_all(blocks)?;
        let bytes = as_u64(blocks.len());
        blocks.clear();
        self.section.frames = 0;
        self.len = self.len.saturating_add(bytes);
        Ok(bytes)
    }

    /// Cuts off what was written in part, and goes on with a section of its own, since interfaces may have been described
    /// there. A file of which nothing is whole is no file.
    fn mend(&mut self) -> io::Result<()> {
        if self.len == 0 {
            remove(&self.path)?;
            return Err(ErrorKind::NotFound.into());
        }
        self.file.set_len(self.len)?;
        self.section = Section::new().map_err(io::Error::other)?;
        Ok(())
    }
}

impl Section {
    fn new() -> PcapResult<Self> {
        let writer = Writer::new(Vec::new())?;
        Ok(Self { writer, interfaces: Vec::new(), frames: 0, frame: Frame::default() })
    }

    fn add(&mut self, caught: &Caught, bytes: &[u8], snap_bytes: usize) -> PcapResult<()> {
        self.frame.interface = self.describe(caught.interface.as_ref(), snap_bytes);
        self.frame.at = caught.at;
        self.frame.link_number = RAW_IP;
        self.frame.original_len = u32::try_from(caught.original_len).unwrap_or(u32::MAX);
        self.frame.bytes.clear();
        self.frame.bytes.extend_from_slice(bytes);
        self.writer.describe(&self.interfaces)?;
        let comment = comment(&caught.decision, bytes, Numbers::of(&caught.decision));
        self.writer.frame(&self.frame, comment.as_deref())?;
        self.frames += 1;
        Ok(())
    }

    /// The place of that interface among those of the section.
    fn describe(&mut self, name: Option<&InterfaceName>, snap_bytes: usize) -> usize {
        let place = |interfaces: &[Interface], name: Option<&str>| {
            interfaces.iter().position(|interface| interface.name.as_deref() == name)
        };
        let name = name.map(InterfaceName::as_str);
        if let Some(known) = place(&self.interfaces, name) {
            return known;
        }
        let name = name.filter(|_| self.interfaces.len() < INTERFACES_MAX);
        place(&self.interfaces, name).unwrap_or_else(|| {
            let snap_len = u32::try_from(snap_bytes).unwrap_or(u32::MAX);
            self.interfaces.push(Interface { link_number: RAW_IP, snap_len, name: name.map(str::to_owned) });
            self.interfaces.len() - 1
        })
    }
}

/// Makes the directory where only it is missing: a whole path that is missing is more likely a slip.
fn make(directory: &Path) -> io::Result<()> {
    if directory.is_dir() { Ok(()) } else { DirBuilder::new().mode(0o700).create(directory) }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The files that a gate made in that directory.
fn own(directory: &Path) -> io::Result<Vec<Own>> {
    let mut own = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_str().and_then(number)
            && entry.file_type()?.is_file()
        {
            own.push(Own { number, path: entry.path() });
        }
    }
    Ok(own)
}

/// The number in a file's name, if it is one that [`Current::create`] gives.
fn number(name: &str) -> Option<u64> {
    let (time, number) = name.strip_prefix("mpgate-")?.strip_suffix(".pcapng")?.split_once('-')?;
    let is_time = time.len() == 16
        && time.bytes().enumerate().all(|(at, byte)| match at {
            8 => byte == b'T',
            15 => byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    let is_number = number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_time && is_number { number.parse().ok() } else { None }
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

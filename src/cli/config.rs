//! The settings of `mpgate run`: the command line wins over the file, the file over the defaults.

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Deserializer};

use crate::attach::{Backend, Hook, QueueMode};
use crate::cli::workers::Place;
use crate::evidence::Settings;
use crate::priority::Precedence;
use crate::queue::PACKETS_MAX;
use crate::track::Limits;

/// The longest configuration file that is read: a hundred times what a long one with comments takes.
const FILE_MAX: u64 = 1 << 20;

/// The most queues: each has a thread and 8 MiB of socket buffer, and few routers have more cores.
const QUEUES_MAX: u16 = 64;

/// A file of evidence, unless told otherwise: some 25 000 frames, which Wireshark opens in a second.
const FILE_MIB: u16 = 10;

/// So many of them: 100 MiB, which the log partition of a small router can spare.
const FILES: u16 = 10;

/// Of each packet: the headers and options of any, and little of what people say.
const SNAP_BYTES: u16 = 256;

/// The settings as written, on the command line or in the file; what is not written is absent.
#[derive(Debug, Default, Deserialize, clap::Args)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Config {
    /// Rules: a file, or a directory whose *.toml files are read in name order; may be given more than once [default:
    /// the built-in policy: MPTCP goes on, joins that are unknown or forged are rejected]
    #[arg(long, value_name = "PATH")]
    pub(super) rules: Vec<PathBuf>,

    /// The NFQUEUE, or all from A to B, a thread each [default: 0]
    #[arg(long, value_name = "N|A-B")]
    pub(super) queue: Option<Queues>,

    /// Put the kernel rules in that bring packets to the queues, and take them out at the end
    #[arg(long, value_name = "HOOK")]
    #[serde(deserialize_with = "word")]
    pub(super) attach: Option<Hook>,

    /// Which packets --attach brings [default: control]
    #[arg(long)]
    #[serde(deserialize_with = "word")]
    pub(super) mode: Option<QueueMode>,

    /// The processor that a packet arrives on chooses among the queues of --attach, instead of its flow, and each worker is kept on
    /// its own
    #[arg(long)]
    pub(super) fanout: bool,

    /// By which tool --attach does it [default: the one that works here]
    #[arg(long)]
    #[serde(deserialize_with = "word")]
    pub(super) backend: Option<Backend>,

    /// Only say what would be done: every packet goes on as it is
    #[arg(long)]
    pub(super) observe: bool,

    /// Where /metrics, /healthz and /readyz are served [default: 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR:PORT|none")]
    pub(super) listen: Option<Listen>,

    /// Drop packets that find the queue full, or nobody at it, instead of letting them pass
    #[arg(long)]
    pub(super) fail_closed: bool,

    /// Packets that may wait in a queue [default: 1024]
    #[arg(long, value_name = "N")]
    pub(super) queue_packets: Option<NonZeroU16>,

    /// Let packets wait for other programs, instead of giving the workers a real-time priority
    #[arg(long)]
    pub(super) ordinary_priority: bool,

    /// Keep each worker on a processor of its own, in turn; --fanout does so too
    #[arg(long)]
    pub(super) pin: bool,

    /// The form of the log on standard error; RUST_LOG chooses how much [default: text]
    #[arg(long)]
    #[serde(deserialize_with = "word")]
    pub(super) log: Option<LogFormat>,

    #[arg(skip)]
    limits: LimitsTable,

    #[arg(skip)]
    capture: Option<CaptureTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LimitsTable {
    connections: Option<NonZeroUsize>,
    handshakes: Option<NonZeroUsize>,
    idle_secs: Option<NonZeroU32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaptureTable {
    directory: PathBuf,
    file_mib: Option<NonZeroU16>,
    files: Option<NonZeroU16>,
    snap_bytes: Option<NonZeroU16>,
    observed: Option<bool>,
}

/// The queues of one gate, at least one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "QueueWords")]
pub(super) struct Queues {
    pub(super) first: u16,
    pub(super) last: u16,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a queue number, or \"first-last\"")]
enum QueueWords {
    Number(u16),
    Text(String),
}

/// Where HTTP is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Listen {
    Nowhere,
    At(SocketAddr),
}

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// What is wrong with a configuration file.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    #[error("cannot read the configuration {}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("the configuration {} is longer than {FILE_MAX} bytes; is it the right file?", path.display())]
    TooLong { path: PathBuf },
    #[error("{}:{line}:{column}: {message}", path.display())]
    Wrong { path: PathBuf, line: usize, column: usize, message: String },
}

impl Config {
    /// Reads a file; paths in it count from its own directory.
    ///
    /// # Errors
    /// When it cannot be read, or says something that is not understood.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |cause| ConfigError::Unreadable { path: path.to_owned(), cause };
        let mut text = String::new();
        let file = File::open(path).map_err(unreadable)?;
        let len = file.take(FILE_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
        if u64::try_from(len).is_ok_and(|len| len > FILE_MAX) {
            return Err(ConfigError::TooLong { path: path.to_owned() });
        }
        let mut config: Self = toml::from_str(&text).map_err(|error| {
            let (line, column) = place(&text, error.span().map_or(0, |span| span.start));
            let message = error.message().replace('\n', " ");
            ConfigError::Wrong { path: path.to_owned(), line, column, message }
        })?;
        let home = path.parent().unwrap_or(Path::new(""));
        config.rules = config.rules.iter().map(|rules| home.join(rules)).collect();
        if let Some(capture) = &mut config.capture {
            capture.directory = home.join(&capture.directory);
        }
        Ok(config)
    }

    /// These settings, and those of `below` where these say nothing.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            rules: if self.rules.is_empty() { below.rules } else { self.rules },
            queue: self.queue.or(below.queue),
            attach: self.attach.or(below.attach),
            mode: self.mode.or(below.mode),
            fanout: self.fanout || below.fanout,
            backend: self.backend.or(below.backend),
            observe: self.observe || below.observe,
            listen: self.listen.or(below.listen),
            fail_closed: self.fail_closed || below.fail_closed,
            queue_packets: self.queue_packets.or(below.queue_packets),
            ordinary_priority: self.ordinary_priority || below.ordinary_priority,
            pin: self.pin || below.pin,
            log: self.log.or(below.log),
            limits: below.limits,
            capture: below.capture,
        }
    }

    /// How much is remembered.
    pub(super) fn limits(&self) -> Limits {
        let default = Limits::default();
        let LimitsTable { connections, handshakes, idle_secs } = self.limits;
        Limits {
            connections_max: connections.map_or(default.connections_max, NonZeroUsize::get),
            handshakes_max: handshakes.map_or(default.handshakes_max, NonZeroUsize::get),
            idle_secs: idle_secs.map_or(default.idle_secs, NonZeroU32::get),
        }
    }

    /// What is written of what is not accepted, if anything.
    pub(super) fn capture(&self) -> Option<Settings> {
        let CaptureTable { directory, file_mib, files, snap_bytes, observed } = self.capture.as_ref()?;
        let or = |number: &Option<NonZeroU16>, default| number.map_or(default, NonZeroU16::get);
        Some(Settings {
            directory: directory.clone(),
            file_bytes: u64::from(or(file_mib, FILE_MIB)) << 20,
            files: or(files, FILES).into(),
            snap_bytes: or(snap_bytes, SNAP_BYTES).into(),
            observed: observed.unwrap_or(true),
        })
    }

    /// The queues, one worker each.
    pub(super) fn queues(&self) -> RangeInclusive<u16> {
        let Queues { first, last } = self.queue.unwrap_or_default();
        first..=last
    }

    /// When the workers get a processor, and which.
    pub(super) fn place(&self) -> Place {
        let precedence = if self.ordinary_priority { Precedence::Ordinary } else { Precedence::Realtime };
        // A worker on another processor than its packets costs more than one queue for all of them.
        Place { precedence, pinned: self.pin || (self.fanout && self.attach.is_some()) }
    }

    /// How many packets may wait in a queue.
    pub(super) fn queue_packets_max(&self) -> u32 {
        self.queue_packets.map_or(PACKETS_MAX, |packets| u32::from(packets.get()))
    }
}

impl FromStr for Queues {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| {
            let wrong =
                |_wrong| format!("`{text}` is not a queue number; they go from 0 to 65535, as in 4 or 0-3");
            text.trim().parse::<u16>().map_err(wrong)
        };
        let (first, last) = (number(first)?, number(last)?);
        match last.checked_sub(first) {
            None => Err(format!("{first}-{last} runs backwards; write {last}-{first}")),
            Some(more) if more >= QUEUES_MAX => {
                Err(format!("more than {QUEUES_MAX} queues; one for each core is enough"))
            }
            Some(_more) => Ok(Self { first, last }),
        }
    }
}

impl TryFrom<QueueWords> for Queues {
    type Error = String;

    fn try_from(words: QueueWords) -> Result<Self, String> {
        match words {
            QueueWords::Number(number) => Ok(Self { first: number, last: number }),
            QueueWords::Text(text) => text.parse(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self::At((Ipv4Addr::LOCALHOST, 9464).into())
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::Nowhere);
        }
        let wrong = |_wrong| {
            format!(
                "`{text}` is no address with a port; write one like 127.0.0.1:9464 or [::1]:9464, or none"
            )
        };
        text.parse().map(Self::At).map_err(wrong)
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A word of the file is spelt as on the command line.
fn word<'de, T: ValueEnum, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(from)?;
    let words = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let known = words.map(|word| format!("`{}`", word.get_name())).collect::<Vec<_>>().join(", ");
    let unknown = |_unknown| serde::de::Error::custom(format!("`{text}` is not one of {known}"));
    T::from_str(&text, false).map(Some).map_err(unknown)
}

/// Line and column of a byte, both from 1.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or(before);
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let shown = format!("{}", file.path().display());
        Config::read(file.path()).map_err(|error| error.to_string().replace(&shown, "FILE"))
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let file =
            read("queue = \"2-5\"\nlisten = \"none\"\nrules = [\"a\"]\n[limits]\nconnections = 7").unwrap();
        let line = Config { queue: "1".parse().ok(), ..Config::default() };
        let both = line.over(file);
        assert_eq!(both.queue, Some(Queues { first: 1, last: 1 }));
        assert_eq!(both.listen, Some(Listen::Nowhere));
        assert!(both.rules.first().unwrap().is_absolute(), "{:?}", both.rules);
        assert_eq!(both.limits(), Limits { connections_max: 7, ..Limits::default() });
    }

    #[test]
    fn every_setting_can_stand_in_the_file() {
        let text = "rules = []\nqueue = 3\nattach = \"forward\"\nmode = \"strict\"\nbackend = \"iptables\"\n\
                    observe = true\nlisten = \"[::1]:1\"\nfail_closed = true\nqueue_packets = 9\n\
                    ordinary_priority = true\nlog = \"json\"\n[limits]\nconnections = 1\nhandshakes = 2\nidle_secs = 3\n\
                    [capture]\ndirectory = \"/d\"\nfile_mib = 4\nfiles = 5\nsnap_bytes = 6\nobserved = false";
        let config = read(text).unwrap();
        assert_eq!(config.queue, Some(Queues { first: 3, last: 3 }));
        assert_eq!(config.attach, Some(Hook::Forward));
        assert_eq!(config.mode, Some(QueueMode::Strict));
        assert_eq!(config.log, Some(LogFormat::Json));
        assert_eq!(config.queue_packets_max(), 9);
        assert_eq!(config.place().precedence, Precedence::Ordinary);
        assert_eq!(config.limits(), Limits { connections_max: 1, handshakes_max: 2, idle_secs: 3 });
        let directory = PathBuf::from("/d");
        let capture = Settings { directory, file_bytes: 4 << 20, files: 5, snap_bytes: 6, observed: false };
        assert_eq!(config.capture(), Some(capture));
    }

    #[test]
    fn nothing_is_captured_without_its_table_and_a_directory_counts_from_the_file() {
        assert_eq!(read("").unwrap().capture(), None);
        let capture = read("[capture]\ndirectory = \"evidence\"").unwrap().capture().unwrap();
        assert!(capture.directory.is_absolute() && capture.directory.ends_with("evidence"), "{capture:?}");
        assert!(capture.observed && capture.files == usize::from(FILES));
    }

    #[test]
    fn errors_name_file_line_column_and_what_would_be_right() {
        let cases = [
            ("\nquue = 1", "FILE:2:1: unknown field `quue`, expected one of "),
            ("queue = \"5-2\"", "FILE:1:9: 5-2 runs backwards; write 2-5"),
            ("queue = \"0-64\"", "FILE:1:9: more than 64 queues"),
            ("queue = 70000", "FILE:1:9: a queue number, or \"first-last\""),
            ("mode = \"contrl\"", "FILE:1:8: `contrl` is not one of `control`, `strict`, `all`"),
            ("listen = \"9464\"", "FILE:1:10: `9464` is no address with a port"),
            ("queue_packets = 0", "FILE:1:17: "),
            ("[limits]\nconnections = 0", "FILE:2:15: "),
            ("[capture]\nfiles = 3", "FILE:1:1: missing field `directory`"),
            ("[capture]\ndirectory = \"d\"\nfiles = 0", "FILE:3:9: "),
            ("rules = [", "FILE:1:10: unclosed array"),
        ];
        for (text, right) in cases {
            let error = read(text).unwrap_err();
            assert!(error.contains(right), "{text}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}

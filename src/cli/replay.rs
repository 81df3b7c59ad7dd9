//! `mpgate replay`: a capture climbs the stairs of production, and the gate says what it would have done.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tempfile::NamedTempFile;

use crate::capture::{Capture, CaptureError, Frame};
use crate::engine::{Engine, Mode};
use crate::live::load;
use crate::replay::{Behind, Lines, Replay, Seen, Show, Summary, write_json};
use crate::rules::{Diagnostic, RuleSet};
use crate::track::Limits;

/// From this size on reading takes long enough to be watched.
const PROGRESS_BYTES_MIN: u64 = 50 << 20;

/// What is written at once where nobody waits for a line: system calls become rare.
const OUTPUT_CHUNK: usize = 64 << 10;

const EXAMPLES: &str = "\
Examples:
  mpgate replay office.pcapng                        what the gate reads and finds in a capture
  mpgate replay office.pcapng --rules rules/         what these rules would have done
  mpgate replay office.pcapng --rules rules/ --write behind.pcapng
                                                     the same, and the capture as seen behind the gate
  tcpdump -w - tcp | mpgate replay -                 a live capture

Exit codes: 0 all was read, 1 the capture is cut short or damaged (what could be read was shown), 2 nothing was read.";

/// Say what the gate would have done with a capture
///
/// Reads pcap and pcapng on Ethernet (with VLAN tags), raw IP, Linux cooked v1 and v2, and loopback.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The capture; `-` is standard input
    capture: PathBuf,

    /// A rule file, or a directory of them; without any, the default policy speaks
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,

    /// One JSON object a TCP segment, one a line
    #[arg(long)]
    json: bool,

    /// Show segments without MPTCP too
    #[arg(long, conflicts_with = "json")]
    all: bool,

    /// Write the frames that go on, as they go on, and the resets, as pcapng
    #[arg(long, value_name = "OUT.pcapng")]
    write: Option<PathBuf>,

    /// Let --write replace a file
    #[arg(long, requires = "write")]
    force: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let rules = rules(&args.rules)?;
    let name = args.capture.display();
    let mut capture = Capture::open(source(&args.capture)?).with_context(|| format!("{name}"))?;
    let mut copy = args.write.as_deref().map(|path| Copy::create(path, args.force)).transpose()?;
    let mut printer = Printer::new(args);
    let mut replay = Replay::new(Engine::new(rules, Limits::default(), Mode::Enforce));
    match pass(&mut capture, &mut replay, &mut printer, copy.as_mut())? {
        Passed::All => {
            printer.finish()?;
            copy.map_or(Ok(()), Copy::finish)?;
            Ok(ExitCode::SUCCESS)
        }
        Passed::ReaderGone => Ok(ExitCode::SUCCESS),
        Passed::UpTo(error) => {
            printer.finish()?;
            let left_out = if copy.is_some() { "; nothing was written" } else { "" };
            writeln!(io::stderr(), "mpgate: {name}: {:#}{left_out}", anyhow::Error::from(error))?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// How far a capture was read.
enum Passed {
    All,
    /// Who reads our output has gone, and nothing else waits for the rest.
    ReaderGone,
    UpTo(CaptureError),
}

fn pass(
    capture: &mut Capture<impl Read>,
    replay: &mut Replay,
    printer: &mut Printer,
    mut copy: Option<&mut Copy>,
) -> anyhow::Result<Passed> {
    let mut frame = Frame::default();
    loop {
        match capture.read(&mut frame) {
            Ok(true) => {}
            Ok(false) => return Ok(Passed::All),
            Err(error) => return Ok(Passed::UpTo(error)),
        }
        let seen = replay.step(&frame);
        if printer.print(&seen)? == Heard::No && copy.is_none() {
            return Ok(Passed::ReaderGone);
        }
        if let Some(copy) = copy.as_deref_mut() {
            copy.write(capture, &mut frame, &seen)?;
        }
    }
}

fn rules(paths: &[PathBuf]) -> anyhow::Result<RuleSet> {
    if paths.is_empty() {
        return Ok(RuleSet::default());
    }
    let (rules, findings) = load::load(paths)?;
    for Diagnostic { place, message, .. } in findings {
        writeln!(io::stderr(), "{}:{}:{}: {message}", place.path, place.line, place.column)?;
    }
    Ok(rules)
}

fn source(path: &Path) -> anyhow::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).with_context(|| format!("{}", path.display()))?;
    let about = file.metadata().with_context(|| format!("{}", path.display()))?;
    if about.is_dir() {
        bail!("{}: is a directory", path.display());
    }
    if about.len() < PROGRESS_BYTES_MIN {
        return Ok(Box::new(file));
    }
    let style = ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {eta} left")?;
    Ok(Box::new(ProgressBar::new(about.len()).with_style(style).wrap_read(file)))
}

/// Whether somebody still reads standard output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    Yes,
    No,
}

/// What goes to standard output.
struct Printer {
    out: Box<dyn Write>,
    /// `None` prints JSON.
    lines: Option<Lines>,
    summary: Summary,
    heard: Heard,
}

impl Printer {
    fn new(args: &Args) -> Self {
        let out = io::stdout().lock();
        let show = if args.all { Show::All } else { Show::Mptcp };
        Self {
            // Who watches a live capture wants each line at once.
            out: if out.is_terminal() || args.capture == Path::new("-") {
                Box::new(out)
            } else {
                Box::new(BufWriter::with_capacity(OUTPUT_CHUNK, out))
            },
            lines: (!args.json).then(|| Lines::new(show)),
            summary: Summary::default(),
            heard: Heard::Yes,
        }
    }

    fn print(&mut self, seen: &Seen) -> io::Result<Heard> {
        if self.heard == Heard::No {
            return Ok(Heard::No);
        }
        let written = match &mut self.lines {
            Some(lines) => {
                self.summary.count(seen);
                lines.write(&mut self.out, seen)
            }
            None => write_json(&mut self.out, seen),
        };
        self.heard_of(written)
    }

    fn finish(&mut self) -> io::Result<()> {
        let written = match self.lines {
            Some(_) => writeln!(self.out).and_then(|()| self.summary.write(&mut self.out)),
            None => Ok(()),
        };
        let written = written.and_then(|()| self.out.flush());
        self.heard_of(written).map(|_| ())
    }

    fn heard_of(&mut self, written: io::Result<()>) -> io::Result<Heard> {
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.heard = Heard::No,
            Err(error) => return Err(error),
        }
        Ok(self.heard)
    }
}

/// The capture behind the gate, which takes its name only once it is whole.
struct Copy {
    path: PathBuf,
    force: bool,
    output: Behind<BufWriter<NamedTempFile>>,
}

impl Copy {
    fn create(path: &Path, force: bool) -> anyhow::Result<Self> {
        if !force && path.exists() {
            bail!("{}: exists; --force replaces it", path.display());
        }
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Readable by its owner alone: captures hold the keys of connections.
        let file = NamedTempFile::new_in(directory).with_context(|| format!("{}", path.display()))?;
        let output = Behind::new(BufWriter::new(file)).with_context(|| format!("{}", path.display()))?;
        Ok(Self { path: path.to_owned(), force, output })
    }

    fn write(&mut self, capture: &Capture<impl Read>, frame: &mut Frame, seen: &Seen) -> anyhow::Result<()> {
        self.output
            .write(capture.interfaces(), frame, seen)
            .with_context(|| format!("{}", self.path.display()))
    }

    fn finish(self) -> anyhow::Result<()> {
        let Self { path, force, output } = self;
        let name = path.display();
        let file = output.finish().with_context(|| format!("{name}"))?;
        let file =
            file.into_inner().map_err(io::IntoInnerError::into_error).with_context(|| format!("{name}"))?;
        let persisted = if force { file.persist(&path) } else { file.persist_noclobber(&path) };
        persisted.map(|_| ()).with_context(|| format!("{name}"))
    }
}

//! `mpgate replay`: what happened to MPTCP in a capture, and what the gate would have done.

mod lines;
mod plot;
mod printer;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::analysis::Analysis;
use crate::capture::{Capture, CaptureError, Frame};
use crate::cli::output::{self, Target};
use crate::cli::replay::plot::Plot;
use crate::cli::replay::printer::{Heard, Printer};
use crate::engine::{Engine, Mode};
use crate::live::load;
use crate::replay::annotated::Which;
use crate::replay::objects::schema;
use crate::replay::{Annotated, Behind, Replay, Seen};
use crate::rules::{Diagnostic, RuleSet};
use crate::track::Limits;

/// From this size on reading takes long enough to be watched.
const PROGRESS_BYTES_MIN: u64 = 50 << 20;

const EXAMPLES: &str = "\
Examples:
  mpgate replay office.pcapng                        each segment with MPTCP, each connection, and what is wrong
  mpgate replay office.pcapng --no-segments          the connections alone
  mpgate replay office.pcapng --rules rules/         what these rules would have done
  mpgate replay office.pcapng --rules rules/ --write told.pcapng --only-decided
                                                     the segments that they refuse, with the reason, for Wireshark
  mpgate replay office.pcapng --rules rules/ --behind behind.pcapng
                                                     the capture as seen behind the gate
  mpgate replay office.pcapng --no-segments --plot office.svg
                                                     and the largest connection as a picture
  tcpdump -w - tcp | mpgate replay -                 a live capture

Exit codes: 0 all was read, 1 the capture is cut short or damaged (what could be read was shown), 2 nothing was read.";

/// Say what happened to MPTCP in a capture, and what the gate would have done
///
/// Reads pcap and pcapng on Ethernet (with VLAN tags), raw IP, Linux cooked v1 and v2, and loopback.
///
/// Of each subflow it tells the way from the host that opened it, both address ids (the client's, the server's), how its
/// join went, what the client sent and the server sent back with its share, what TCP sent `again`, and `reinj.`: data that
/// was sent before in other segments, mostly on another subflow.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The capture; `-` is standard input
    #[arg(required_unless_present = "schema")]
    capture: Option<PathBuf>,

    /// A rule file, or a directory of them; without any, the default policy speaks
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,

    /// One JSON object a line: for each TCP segment, then for each connection, then for each anomaly
    #[arg(long)]
    json: bool,

    /// A line of CSV for each subflow
    #[arg(long, conflicts_with = "json")]
    csv: bool,

    /// Print the JSON schema of those objects
    #[arg(long, exclusive = true)]
    schema: bool,

    /// Show segments without MPTCP too
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    all: bool,

    /// Show no segments, only what they make up
    #[arg(long, conflicts_with = "all")]
    no_segments: bool,

    /// Show that connection alone; they count from 1
    #[arg(long, value_name = "N")]
    connection: Option<u64>,

    /// Write the capture with a comment on each segment that is not accepted, and on each anomaly, as pcapng
    #[arg(long, value_name = "OUT.pcapng")]
    write: Option<PathBuf>,

    /// Let --write leave out what bears no comment
    #[arg(long, requires = "write")]
    only_decided: bool,

    /// Write the frames that go on, as they go on, and the resets, as pcapng
    #[arg(long, value_name = "OUT.pcapng")]
    behind: Option<PathBuf>,

    /// Draw a connection, the one of --connection or else the largest: the rate of each subflow, and where in the data
    /// each one was
    #[arg(long, value_name = "OUT.svg|.png")]
    plot: Option<PathBuf>,

    /// Let --write, --behind and --plot replace a file
    #[arg(long)]
    force: bool,
}

impl Args {
    const fn shows_segments(&self) -> bool {
        !self.no_segments && !self.csv
    }

    /// Whether anybody asks what the gate would have done.
    const fn decides(&self) -> bool {
        self.shows_segments() || !self.rules.is_empty() || self.write.is_some() || self.behind.is_some()
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let Some(path) = args.capture.as_deref() else {
        writeln!(io::stdout(), "{:#}", serde_json::to_value(schema())?)?;
        return Ok(ExitCode::SUCCESS);
    };
    let rules = rules(&args.rules)?;
    let name = path.display();
    let mut capture = Capture::open(source(path)?).with_context(|| format!("{name}"))?;
    let mut copies = Copies::create(args)?;
    let plot = Plot::new(args)?;
    let mut printer = Printer::new(args)?;
    let mut replay = if args.decides() {
        Replay::new(Engine::new(rules, Limits::default(), Mode::Enforce))
    } else {
        Replay::undecided()
    };
    if let Some(plot) = &plot {
        replay = plot.follow(replay);
    }
    let passed = pass(&mut capture, &mut replay, &mut printer, &mut copies)?;
    let (analysis, first) = replay.finish();
    printer.finish(&analysis, first)?;
    if let Passed::ReaderGone = passed {
        return Ok(ExitCode::SUCCESS);
    }
    copies.finish()?;
    exists(args, &analysis)?;
    if let Some(plot) = plot {
        plot.draw(path, &analysis)?;
    }
    match passed {
        Passed::UpTo(error) => {
            writeln!(io::stderr(), "mpgate: {name}: {:#}", anyhow::Error::from(error))?;
            Ok(ExitCode::FAILURE)
        }
        Passed::All | Passed::ReaderGone => Ok(ExitCode::SUCCESS),
    }
}

/// Who asks for one connection shall hear that there is none.
fn exists(args: &Args, analysis: &Analysis) -> anyhow::Result<()> {
    let connections = analysis.connections();
    match args.connection {
        Some(asked) if !connections.iter().any(|connection| connection.id.0 == asked) => {
            bail!("there is no connection {asked}; the capture has {}", connections.len())
        }
        Some(_) | None => Ok(()),
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
    copies: &mut Copies,
) -> anyhow::Result<Passed> {
    let mut frame = Frame::default();
    loop {
        match capture.read(&mut frame) {
            Ok(true) => {}
            Ok(false) => return Ok(Passed::All),
            Err(error) => return Ok(Passed::UpTo(error)),
        }
        let seen = replay.step(&frame);
        copies.write(capture, &mut frame, &seen)?;
        if printer.print(seen) == Heard::No && copies.is_empty() {
            return Ok(Passed::ReaderGone);
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

/// The captures that are written beside.
struct Copies {
    told: Option<(Target, Annotated<output::File>)>,
    behind: Option<(Target, Behind<output::File>)>,
}

impl Copies {
    fn create(args: &Args) -> anyhow::Result<Self> {
        let target =
            |path: &Option<PathBuf>| path.as_deref().map(|path| Target::new(path, args.force)).transpose();
        let which = if args.only_decided { Which::Decided } else { Which::All };
        let told = match target(&args.write)? {
            Some(target) => {
                let told = Annotated::new(target.start()?, which).with_context(|| target.name())?;
                Some((target, told))
            }
            None => None,
        };
        let behind = match target(&args.behind)? {
            Some(target) => {
                let behind = Behind::new(target.start()?).with_context(|| target.name())?;
                Some((target, behind))
            }
            None => None,
        };
        Ok(Self { told, behind })
    }

    const fn is_empty(&self) -> bool {
        self.told.is_none() && self.behind.is_none()
    }

    fn write(&mut self, capture: &Capture<impl Read>, frame: &mut Frame, seen: &Seen) -> anyhow::Result<()> {
        if let Some((target, told)) = &mut self.told {
            told.write(capture.interfaces(), frame, seen).with_context(|| target.name())?;
        }
        // The last one: it changes the frame.
        if let Some((target, behind)) = &mut self.behind {
            behind.write(capture.interfaces(), frame, seen).with_context(|| target.name())?;
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        if let Some((target, told)) = self.told {
            target.keep(told.finish().with_context(|| target.name())?)?;
        }
        if let Some((target, behind)) = self.behind {
            target.keep(behind.finish().with_context(|| target.name())?)?;
        }
        Ok(())
    }
}

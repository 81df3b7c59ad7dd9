//! `mpgate trace`: what the gate does with a packet, floor by floor, and what both hosts will then do.

mod frame;
mod words;

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::engine::Engine;
use crate::live::load::{self, LoadError};
use crate::rules::{Diagnostic, RuleSet, Source};
use crate::trace::{Arrival, Colour, Shown, Trace, trace, write_json, write_text};

const ABOUT: &str = "Tell what the gate does with a packet, and why

Goes up the stairs of production with a packet that you describe, or with a frame of a capture, and tells of each \
floor what it found: the TCP options on the wire, what those of MPTCP say, how the packet stands to the connections \
that are known, what each rule says up to the one that speaks, what is decided, which bytes change, and what both \
hosts will then do.";

const EXAMPLES: &str = "\
Examples:
  mpgate trace --rules rules/ 'from 10.0.1.2:4000 to 10.0.3.2:443 syn mp_capable v1'
                                                     one packet, to a gate that knows no connection
  mpgate trace --last 'c>s syn mp_capable; s>c syn_ack mp_capable; c>s ack mp_capable; c2>s syn mp_join'
                                                     a whole conversation in words; its last packet is traced
  mpgate trace --rules rules/ --script talk.script   the same from a file, each packet
  mpgate trace --rules rules/ --capture office.pcapng --frame 12
                                                     frame 12, to a gate that has seen those before it

A packet in words: who sends to whom (`from ADDR to ADDR`, or letters: `c>s`, `c2>s` from another address), its kind (syn, \
syn_ack, ack, data, fin, rst), and its options, joined by `+`:
  mp_capable [v0|v1]   mp_join [token 0x…] [hmac bad]   dss [ack] [map] [infinite] [fin]   add_addr ID ADDR [bad|echo|v0]
  remove_addr ID…   mp_prio   mp_fail   mp_fastclose   mp_tcprst   raw HEX   mss   sack_permitted   timestamps   fast_open …
Keys, tokens and proofs follow from the letters and are right by themselves.

With --json, each packet is one object on a line: `packet`, `line` and `case`, or `frame`; `src`, `dst`, `segment`, `seq`, \
`ack`, `payload`, `tcp_options`, `options` (as in `replay --json`), `standing`, `cause`, `connection`, `subflow`, `version`, \
`decided`, `parent`; `rules` (`number`, `rule`, `action`, `observes`, `answer`, `condition`, `path`, `line`), \
`rules_left_out`, `rules_not_asked`; `verdict`, `reason`, `rule`, `key`, `why`, `law`, `observed`, `trial`, `mark`; \
`stripped`, `resets`, `peers` (`option`, `deed`, `weight`, `sender`, `receiver`).

Exit codes: 0 traced, 1 the script or frame is not one that can be traced, 2 rules or a file cannot be read.";

#[derive(Debug, clap::Args)]
#[command(about = "Tell what the gate does with a packet, and why", long_about = ABOUT, after_help = EXAMPLES)]
pub(super) struct Args {
    /// Packets in words, in their order; a `;` or a new line parts them
    #[arg(value_name = "PACKET", required_unless_present_any = ["script", "capture"])]
    words: Vec<String>,

    /// A rule file, or a directory of them; without any, the default policy speaks
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,

    /// Read the packets in words from a file; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["words", "capture"])]
    script: Option<PathBuf>,

    /// Trace a frame of a capture (pcap, pcapng); `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "words", requires = "frame")]
    capture: Option<PathBuf>,

    /// The frame's number, from 1; those before it are decided silently
    #[arg(long, value_name = "N", requires = "capture", value_parser = clap::value_parser!(u64).range(1..))]
    frame: Option<u64>,

    /// Trace only the last packet of the conversation
    #[arg(long, conflicts_with = "capture")]
    last: bool,

    /// Show all rules up to the one that speaks, however many they are
    #[arg(long)]
    all_rules: bool,

    /// One JSON object a packet, one a line
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let sources = load::read(&args.rules)?;
    let book = Book::compiled(sources)?;
    let mut printer = Printer::new(args);
    let traced = match (&args.script, &args.capture) {
        (_, Some(path)) => frame::frame(args, path, &book, &mut printer),
        (Some(path), None) => {
            let text = words::script_text(path)?;
            words::conversation(args, words::Telling::File(path), &text, &book, &mut printer)
        }
        (None, None) => {
            let text = args.words.join("\n").replace(';', "\n");
            words::conversation(args, words::Telling::Words, &text, &book, &mut printer)
        }
    };
    match traced.and_then(|traced| printer.out.flush().map(|()| traced).map_err(anyhow::Error::from)) {
        Ok(Traced::All) => Ok(ExitCode::SUCCESS),
        Ok(Traced::Not(why)) => {
            writeln!(io::stderr(), "{why}")?;
            Ok(ExitCode::FAILURE)
        }
        // Whoever closed the pipe has read enough.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
    }
}

/// Whether what was asked for was traced.
enum Traced {
    All,
    /// What stands against it.
    Not(String),
}

/// Rules, and the files that they were read from.
struct Book {
    rules: Arc<RuleSet>,
    sources: Vec<Source>,
}

impl Book {
    fn compiled(sources: Vec<Source>) -> Result<Self, LoadError> {
        let (rules, warnings) = load::compiled(&sources)?;
        for Diagnostic { place, message, .. } in warnings {
            // Where standard error is closed there is nobody to warn.
            writeln!(io::stderr(), "{}:{}:{}: {message}", place.path, place.line, place.column).ok();
        }
        Ok(Self { rules: Arc::new(rules), sources })
    }
}

fn open(path: &Path) -> anyhow::Result<File> {
    let file = File::open(path).with_context(|| format!("{}", path.display()))?;
    if file.metadata().with_context(|| format!("{}", path.display()))?.is_dir() {
        bail!("{}: is a directory", path.display());
    }
    Ok(file)
}

/// What goes to standard output.
struct Printer {
    out: BufWriter<io::StdoutLock<'static>>,
    /// `None` prints JSON.
    colour: Option<Colour>,
    shown: Shown,
    /// The first packet that is traced.
    first: u64,
    /// How many have come.
    packets: u64,
}

impl Printer {
    fn new(args: &Args) -> Self {
        let out = io::stdout().lock();
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = if out.is_terminal() && !unwanted { Colour::Terminal } else { Colour::None };
        Self {
            out: BufWriter::new(out),
            colour: (!args.json).then_some(colour),
            shown: if args.all_rules { Shown::All } else { Shown::Some },
            first: 1,
            packets: 0,
        }
    }

    /// Decides a packet, and prints how where it is to be traced.
    fn arrive(&mut self, engine: &Engine, sources: &[Source], arrival: Arrival<'_>) -> io::Result<()> {
        self.packets += 1;
        if self.packets < self.first {
            engine.decide(arrival.now, arrival.ingress, arrival.bytes);
            return Ok(());
        }
        self.print(&trace(engine, sources, arrival, self.shown))
    }

    fn print(&mut self, trace: &Trace<'_>) -> io::Result<()> {
        match self.colour {
            Some(colour) => write_text(&mut self.out, trace, colour),
            None => write_json(&mut self.out, trace),
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

//! What goes to standard output: segments as they come, then what happened.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::Path;

use crate::analysis::{Analysis, Connection};
use crate::cli::replay::Args;
use crate::replay::objects::{write_analysis, write_segment};
use crate::replay::{Lines, Seen, Show, Summary, What, report, table};
use crate::time::Timestamp;
use crate::track::ConnectionId;

/// A system call for each 8 KiB costs more than what it writes.
const OUT_BYTES: usize = 64 << 10;

/// Whether somebody still reads standard output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Yes,
    No,
}

/// In which form.
enum Form {
    Text(Lines),
    Json,
    Csv,
}

pub(super) struct Printer {
    out: Box<dyn Write>,
    form: Form,
    segments: bool,
    /// The one connection that is shown.
    only: Option<ConnectionId>,
    summary: Summary,
    heard: Heard,
}

impl Printer {
    pub(super) fn new(args: &Args) -> Self {
        let out = io::stdout().lock();
        let show = if args.all { Show::All } else { Show::Mptcp };
        Self {
            // Who watches a live capture wants each line at once.
            out: if out.is_terminal() || args.capture.as_deref() == Some(Path::new("-")) {
                Box::new(out)
            } else {
                Box::new(BufWriter::with_capacity(OUT_BYTES, out))
            },
            form: match (args.json, args.csv) {
                (true, _) => Form::Json,
                (false, true) => Form::Csv,
                (false, false) => Form::Text(Lines::new(show)),
            },
            segments: args.shows_segments(),
            only: args.connection.map(ConnectionId),
            summary: Summary::default(),
            heard: Heard::Yes,
        }
    }

    /// A frame as it comes.
    pub(super) fn print(&mut self, seen: &Seen) -> io::Result<Heard> {
        if self.heard == Heard::No {
            return Ok(Heard::No);
        }
        if let Form::Text(_) = self.form {
            self.summary.count(seen);
        }
        if !self.segments || !self.is_chosen(seen) {
            return Ok(Heard::Yes);
        }
        let written = match &mut self.form {
            Form::Text(lines) => lines.write(&mut self.out, seen),
            Form::Json => write_segment(&mut self.out, seen),
            Form::Csv => Ok(()),
        };
        self.heard_of(written)
    }

    /// What all of them were.
    pub(super) fn finish(&mut self, analysis: &Analysis, first: Timestamp) -> io::Result<()> {
        let written = self.conclude(analysis, first).and_then(|()| self.out.flush());
        self.heard_of(written).map(|_| ())
    }

    fn conclude(&mut self, analysis: &Analysis, first: Timestamp) -> io::Result<()> {
        let only = self.only;
        let chosen = |connection: &&Connection| only.is_none_or(|only| connection.id == only);
        let connections = analysis.connections().iter().filter(chosen);
        match self.form {
            Form::Text(_) => {
                if self.segments {
                    writeln!(self.out)?;
                }
                report::write(&mut self.out, first, analysis, connections)?;
                self.summary.write(&mut self.out, analysis)
            }
            Form::Json => {
                let anomalies = analysis.anomalies().iter();
                let anomalies = anomalies.filter(|anomaly| only.is_none() || anomaly.connection == only);
                write_analysis(&mut self.out, first, connections, anomalies)
            }
            Form::Csv => table::write(&mut self.out, first, connections).map_err(io::Error::from),
        }
    }

    fn is_chosen(&self, seen: &Seen) -> bool {
        match (&seen.what, self.only) {
            (_, None) => true,
            (What::Segment(segment), only) => segment.observed.connection == only,
            (What::Unreadable { .. } | What::Other(_), Some(_)) => false,
        }
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

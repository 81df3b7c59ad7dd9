//! What goes to standard output: segments as they come, then what happened.

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;

use crate::analysis::{Analysis, Connection};
use crate::cli::replay::Args;
use crate::cli::replay::lines::{self, Lines, Out, Pace};
use crate::replay::objects::write_analysis;
use crate::replay::{self, Seen, Show, Summary, What, report, table};
use crate::time::Timestamp;
use crate::track::ConnectionId;

/// Whether somebody still reads standard output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    Yes,
    No,
}

/// In which form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Csv,
}

pub(super) struct Printer {
    form: Form,
    pace: Pace,
    /// The segments' lines, where they are asked for.
    lines: Option<Lines>,
    /// The one connection that is shown.
    only: Option<ConnectionId>,
    summary: Summary,
    heard: Heard,
}

impl Printer {
    pub(super) fn new(args: &Args) -> io::Result<Self> {
        // Who watches a live capture wants each line at once.
        let watched = io::stdout().is_terminal() || args.capture.as_deref() == Some(Path::new("-"));
        let pace = if watched { Pace::EachLine } else { Pace::Gathered };
        let show = if args.all { Show::All } else { Show::Mptcp };
        let (form, line) = match (args.json, args.csv) {
            (true, _) => (Form::Json, Some(lines::Form::Json)),
            (false, true) => (Form::Csv, None),
            (false, false) => (Form::Text, Some(lines::Form::Text(replay::Lines::new(show)))),
        };
        let line = line.filter(|_| args.shows_segments());
        Ok(Self {
            form,
            pace,
            lines: line.map(|line| Lines::start(line, pace)).transpose()?,
            only: args.connection.map(ConnectionId),
            summary: Summary::default(),
            heard: Heard::Yes,
        })
    }

    /// A frame as it comes.
    pub(super) fn print(&mut self, seen: Seen) -> Heard {
        if self.form == Form::Text {
            self.summary.count(&seen);
        }
        if self.is_chosen(&seen)
            && let Some(lines) = &mut self.lines
            && !lines.push(seen)
        {
            self.heard = Heard::No;
        }
        self.heard
    }

    /// What all of them were.
    pub(super) fn finish(self, analysis: &Analysis, first: Timestamp) -> io::Result<()> {
        match self.conclude(analysis, first) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            concluded => concluded,
        }
    }

    fn conclude(self, analysis: &Analysis, first: Timestamp) -> io::Result<()> {
        let with_segments = self.lines.is_some();
        let mut out: Out = self.lines.map_or_else(|| Ok(lines::out(self.pace)), Lines::finish)?;
        let only = self.only;
        let chosen = |connection: &&Connection| only.is_none_or(|only| connection.id == only);
        let connections = analysis.connections().iter().filter(chosen);
        match self.form {
            Form::Text => {
                if with_segments {
                    writeln!(out)?;
                }
                report::write(&mut out, first, analysis, connections)?;
                self.summary.write(&mut out, analysis)?;
            }
            Form::Json => {
                let anomalies = analysis.anomalies().iter();
                let anomalies = anomalies.filter(|anomaly| only.is_none() || anomaly.connection == only);
                write_analysis(&mut out, first, connections, anomalies)?;
            }
            Form::Csv => table::write(&mut out, first, connections)?,
        }
        out.flush()
    }

    fn is_chosen(&self, seen: &Seen) -> bool {
        match (&seen.what, self.only) {
            (_, None) => true,
            (What::Segment(segment), only) => segment.observed.connection == only,
            (What::Unreadable { .. } | What::Other(_), Some(_)) => false,
        }
    }
}

//! Segments as lines for people, in columns that fit 110 characters.

use std::io::{self, Write};

use crate::analysis::Observed;
use crate::engine::{Decision, Reason, Verdict};
use crate::mptcp::MptcpOption;
use crate::mptcp::option::{AddAddr, Announced, Capable, Dss, Join, Prio, Proof, Tcprst};
use crate::mptcp::signals::Signal;
use crate::replay::{Seen, SegmentSeen, What};
use crate::track::Standing;

/// Which segments are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    /// Those with MPTCP options, and those that do not go on as they are.
    #[default]
    Mptcp,
    /// All.
    All,
}

/// Lines of text; columns grow with what they have held.
#[derive(Debug)]
pub struct Lines {
    show: Show,
    header_due: bool,
    src_width: usize,
    dst_width: usize,
    verdict_width: usize,
}

impl Lines {
    /// Lines, none written yet.
    pub const fn new(show: Show) -> Self {
        // IPv4 with short addresses and a plain "accept"; what is longer pushes the columns apart from there on.
        Self { show, header_due: true, src_width: 14, dst_width: 13, verdict_width: 6 }
    }

    /// Writes the line of `seen`, if it is to be shown.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write(&mut self, out: &mut impl Write, seen: &Seen) -> io::Result<()> {
        let cells = match &seen.what {
            What::Segment(segment) if self.is_shown(segment) => [
                segment.flow.src.to_string(),
                segment.flow.dst.to_string(),
                segment.segment.label().to_owned(),
                segment.decision.as_ref().map(verdict).unwrap_or_default(),
                subflow(&segment.observed),
                standing(segment.observed.standing),
                segment.signals.list.iter().map(brief).collect::<Vec<_>>().join(", "),
            ],
            What::Unreadable { why, decision } => {
                let verdict = decision.as_ref().map(verdict).unwrap_or_default();
                let unknown = ["?", "?", "?"].map(str::to_owned);
                let [src, dst, kind] = unknown;
                [src, dst, kind, verdict, "-".to_owned(), String::new(), why.to_string()]
            }
            What::Segment(_) | What::Other(_) => return Ok(()),
        };
        let (number, time) = (seen.frame.to_string(), format!("{:.6}", seen.secs));
        let row = self.row([&number, &time], cells);
        if std::mem::take(&mut self.header_due) {
            let titles = ["from", "to", "segment", "action", "sub", "standing", "options"];
            writeln!(out, "{}", self.row(["no.", "time"], titles.map(str::to_owned)))?;
        }
        writeln!(out, "{row}")
    }

    fn row(&mut self, [number, time]: [&str; 2], cells: [String; 7]) -> String {
        let [src, dst, kind, verdict, flow, standing, options] = cells;
        self.src_width = self.src_width.max(src.len());
        self.dst_width = self.dst_width.max(dst.len());
        self.verdict_width = self.verdict_width.max(verdict.len());
        let Self { src_width, dst_width, verdict_width, .. } = *self;
        let row = format!(
            "{number:>3} {time:>8} {src:>src_width$} > {dst:<dst_width$} {kind:<7} {verdict:<verdict_width$} \
             {flow:<3} {standing:<16} {options}"
        );
        row.trim_end().to_owned()
    }

    fn is_shown(&self, segment: &SegmentSeen) -> bool {
        match self.show {
            Show::All => true,
            Show::Mptcp => {
                let verdict = segment.decision.as_ref().map(|decision| decision.verdict);
                !segment.signals.list.is_empty() || verdict.is_some_and(|verdict| verdict != Verdict::Accept)
            }
        }
    }
}

/// The verdict with the rule that spoke, or else the reason, but for the two reasons that most accepted segments have.
fn verdict(decision: &Decision) -> String {
    if decision.verdict == Verdict::Accept && matches!(decision.reason, Reason::Default | Reason::Decided) {
        return decision.verdict.label().to_owned();
    }
    let why = decision.rule.as_ref().map_or(decision.reason.label(), |rule| rule.name.as_str());
    format!("{}({why})", decision.verdict.label())
}

/// Connection and subflow, as `1.0`.
fn subflow(observed: &Observed) -> String {
    let subflow = observed.subflow.map_or_else(String::new, |place| format!(".{place}"));
    observed.connection.map_or_else(|| "-".to_owned(), |id| format!("{}{subflow}", id.0))
}

fn standing(standing: Standing) -> String {
    let label = standing.label();
    if let Standing::Fallback(cause) = standing {
        format!("{label} {}", cause.label())
    } else if let Standing::Reset(Some(reason)) = standing {
        format!("{label} {reason}")
    } else {
        label.to_owned()
    }
}

/// An option in a few words.
fn brief(signal: &Signal) -> String {
    let label = signal.subtype.label();
    let option = match &signal.option {
        Ok(option) => option,
        // The text names the subtype itself.
        Err(malformed) => return format!("malformed: {malformed}"),
    };
    let details = match option {
        MptcpOption::Capable(capable) => brief_capable(capable),
        MptcpOption::Join(join) => brief_join(join),
        MptcpOption::Dss(dss) => brief_dss(dss),
        MptcpOption::AddAddr(add_addr) => brief_add_addr(add_addr),
        MptcpOption::RemoveAddr(ids) => ids.iter().map(|id| format!(" id {id}")).collect::<Vec<_>>().concat(),
        MptcpOption::Prio(Prio { backup, address_id }) => {
            let id = address_id.map_or_else(String::new, |id| format!(" id {id}"));
            format!("{}{id}", if *backup { " backup" } else { " regular" })
        }
        MptcpOption::Fail(dsn) => format!(" dsn {dsn:#018x}"),
        MptcpOption::Fastclose(_) => String::new(),
        MptcpOption::Tcprst(Tcprst { transient, reason, .. }) => {
            format!(" {reason} {}{}", reason.label(), if *transient { " transient" } else { "" })
        }
        MptcpOption::Unassigned { number } => format!(" {number}"),
    };
    format!("{label}{details}")
}

fn brief_capable(capable: &Capable) -> String {
    let data = capable.data.map_or_else(String::new, |data| format!(" len {}", data.len));
    let checksum = if capable.flags.checksum() { " checksum" } else { "" };
    let no_join = if capable.flags.no_join() { " no-join" } else { "" };
    format!(" v{}{checksum}{no_join}{data}", capable.version)
}

fn brief_join(join: &Join) -> String {
    match join {
        Join::Syn { backup, address_id, token, .. } => {
            format!(" token {token} id {address_id}{}", backup_word(*backup))
        }
        Join::SynAck { backup, address_id, .. } => format!(" id {address_id}{}", backup_word(*backup)),
        Join::Ack { .. } => String::new(),
    }
}

const fn backup_word(backup: bool) -> &'static str {
    if backup { " backup" } else { "" }
}

fn brief_dss(dss: &Dss) -> String {
    let mapping = dss.mapping.map_or_else(String::new, |mapping| match mapping.len {
        0 => " infinite".to_owned(),
        len => format!(" len {len}"),
    });
    let ack = dss.data_ack.map_or("", |_| " ack");
    let fin = if dss.data_fin { " fin" } else { "" };
    format!("{mapping}{ack}{fin}")
}

fn brief_add_addr(AddAddr { announced, proof }: &AddAddr) -> String {
    let Announced { address_id, addr, port } = announced;
    let port = port.map_or_else(String::new, |port| format!(" port {port}"));
    let echo = if matches!(proof, Proof::Echo) { " echo" } else { "" };
    format!(" {addr}{port} id {address_id}{echo}")
}

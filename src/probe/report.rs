//! What is told of a path, to people and to programs.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::probe::Options;
use crate::probe::finding::Finding;
use crate::probe::judge::judge;
use crate::probe::observed::{Observed, quoted};
use crate::probe::stage::{Outcome, Stage, StageReport};

/// No wider than the tables of the lab.
const TABLE_WIDTH: u16 = 104;

/// Whether anything on the path harms MPTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing does.
    Healthy,
    /// Something does.
    Harmed,
}

/// A router on the way.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Hop {
    /// Which one, from 1.
    pub hop: u8,
    /// From where it answers.
    pub address: IpAddr,
    /// Bytes of a packet that it quotes.
    pub quoted: usize,
}

/// What is told.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// As it was asked for.
    pub target: String,
    /// Where that is.
    pub address: String,
    /// In a word.
    pub verdict: Verdict,
    /// How each stage went.
    pub stages: Vec<StageReport>,
    /// The routers that say something.
    pub hops: Vec<Hop>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Packets that this host sent.
    pub packets: usize,
    /// How long it took.
    pub millis: u64,
}

impl Report {
    /// Judges what was seen.
    pub(super) fn new(options: &Options, seen: &Observed, packets: usize, took: Duration) -> Self {
        let (stages, findings) = judge(seen);
        let harmed = findings.iter().any(|finding| finding.kind.is_harm());
        let hop = |(&hop, fate)| {
            let quoted = quoted(fate)?;
            Some(Hop { hop, address: quoted.router, quoted: quoted.len })
        };
        Self {
            target: options.name.clone(),
            address: options.target.to_string(),
            verdict: if harmed { Verdict::Harmed } else { Verdict::Healthy },
            stages,
            hops: seen.plain.iter().filter_map(hop).collect(),
            findings,
            packets,
            millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Report {
    fn tried(&self, wanted: Stage) -> bool {
        self.stages.iter().any(|report| report.stage == wanted && report.result != Outcome::NotTried)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(TABLE_WIDTH);
        table.set_header(["stage", "result", "what was seen"]);
        for column in table.column_iter_mut().take(2) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        for StageReport { stage, result, detail } in &self.stages {
            table.add_row([stage.label(), result.label(), detail]);
        }
        writeln!(f, "{} ({})\n{table}", self.target, self.address)?;
        for Hop { hop, address, quoted } in &self.hops {
            writeln!(f, "hop {hop:2}  {address}, quotes {quoted} bytes")?;
        }
        for finding in &self.findings {
            writeln!(f, "\n{}: {}", finding.kind.label(), place(finding))?;
            writeln!(f, "  means   {}", wrapped(&finding.means))?;
            writeln!(f, "  remedy  {}", wrapped(finding.remedy))?;
        }
        let verdict = match self.verdict {
            Verdict::Healthy if self.findings.is_empty() && self.tried(Stage::Dss) => "MPTCP passes unharmed",
            Verdict::Healthy if self.findings.is_empty() => "MPTCP passes unharmed as far as it was tried",
            Verdict::Healthy => "nothing on the path harms MPTCP",
            Verdict::Harmed => "the path harms MPTCP",
        };
        write!(
            f,
            "\n{verdict}; {} packets sent in {}.{:03} s",
            self.packets,
            self.millis / 1000,
            self.millis % 1000
        )
    }
}

fn place(finding: &Finding) -> String {
    let after = |hop: u8| if hop == 0 { "this host".to_owned() } else { format!("hop {hop}") };
    match (finding.after_hop, finding.by_hop) {
        (None, None) => "at a hop that is not known".to_owned(),
        (None, Some(by)) => format!("at the latest at hop {by}"),
        (Some(hop), None) => format!("behind {}", after(hop)),
        (Some(hop), Some(by)) => format!("behind {}, at the latest at hop {by}", after(hop)),
    }
}

/// Breaks a text into lines that stand below each other behind the word before them.
fn wrapped(text: &str) -> String {
    const INDENT: usize = 10;
    let mut lines = String::new();
    let mut width = INDENT;
    for word in text.split_whitespace() {
        let len = word.chars().count();
        if width + 1 + len > usize::from(TABLE_WIDTH) {
            lines.push('\n');
            lines.extend(std::iter::repeat_n(' ', INDENT));
            width = INDENT;
        } else if width > INDENT {
            lines.push(' ');
            width += 1;
        }
        lines.push_str(word);
        width += len;
    }
    lines
}

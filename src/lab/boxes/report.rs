//! What was measured of each box, as a table.

use std::fmt;
use std::time::Duration;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::lab::Family;
use crate::lab::boxes::catalogue::Kind;
use crate::lab::boxes::matrix::Matrix;
use crate::lab::boxes::measure::{Connects, Measured};
use crate::lab::boxes::probed::{Placed, Probed};
use crate::lab::counters::LinkBytes;
use crate::lab::report::{Check, Rate, verdict};
use crate::lab::world::Links;

/// As wide as the lab's other tables.
const TABLE_WIDTH: u16 = 104;

/// The column that is broken into lines where it would be wider.
const APPLICATION: usize = 7;

/// One box.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Its name.
    #[serde(rename = "box")]
    pub kind: &'static Kind,
    /// What it does.
    pub does: &'static str,
    /// Whether each check passed.
    pub passed: bool,
    /// What was measured.
    #[serde(flatten)]
    pub measured: Measured,
    /// Of the download, in Mbit/s.
    pub mbit: f64,
    /// What mpgate counted, where it stood there.
    pub gate: Option<Gated>,
    /// What `mpgate probe` said.
    pub probe: Option<Probed>,
    /// What was judged.
    pub checks: Vec<Check>,
}

/// What mpgate counted.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Gated {
    /// Segments with MP_CAPABLE that it saw.
    pub capable: u64,
    /// Joins whose proof it verified.
    pub joins_verified: u64,
    /// Packets that it stripped because of its rules.
    pub stripped: u64,
    /// Resets that it sent.
    pub resets: u64,
}

/// What others say of a way.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) gate: Option<Gated>,
    pub(super) probe: Option<Probed>,
}

/// All boxes.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The IP version of all addresses.
    pub family: Family,
    /// Whether every box showed what it is there for, and mpgate harmed nothing.
    pub passed: bool,
    /// Bytes of each download.
    pub bytes: u64,
    /// The client's links.
    pub links: [&'static str; 2],
    /// The rate of each, in Mbit/s.
    pub link_mbit: u32,
    /// Boxes beside mpgate that the probe named at their hop.
    pub named: usize,
    /// Those that it was asked about.
    pub probed: usize,
    /// How each box fared.
    pub rows: Vec<Row>,
}

impl Row {
    pub(super) fn new(kind: &'static Kind, measured: Measured, said: Said, checks: Vec<Check>) -> Self {
        let rate = Rate::of(measured.transfer.received, Duration::from_millis(measured.transfer.millis));
        let passed = checks.iter().all(|check| check.passed);
        let Said { gate, probe } = said;
        Self { kind, does: kind.does, passed, measured, mbit: rate.tenths(), gate, probe, checks }
    }

    /// Nothing is wrong there, and the probe says that something is.
    pub(super) fn is_blamed_wrongly(&self) -> bool {
        self.kind.known_as().is_none() && self.probe.as_ref().is_some_and(|probe| !probe.named)
    }

    /// What the connections were.
    pub(super) const fn mptcp(&self) -> &'static str {
        let counts = &self.measured.mptcp;
        match (counts.turned_off, counts.connections, counts.joins) {
            (1.., _, _) => "turned off",
            (0, 0, _) => "no",
            (0, _, 0) => "one link",
            (0, _, _) => "both links",
        }
    }
}

impl Report {
    pub(super) fn new(family: Family, bytes: u64, links: &Links, rows: Vec<Row>) -> Self {
        let [first, _] = links;
        let matrix = Matrix::of(&rows);
        let (named, probed) = matrix.as_ref().map_or((0, 0), Matrix::score);
        let passed = rows.iter().all(|row| row.passed) && matrix.is_none_or(|matrix| matrix.passed());
        Self {
            family,
            passed,
            bytes,
            links: links.map(|link| link.name),
            link_mbit: first.mbit,
            named,
            probed,
            rows,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(TABLE_WIDTH);
        let [first, second] = self.links;
        table.set_header([
            "box",
            "connect",
            "worst",
            "Mbit/s",
            first,
            second,
            "MPTCP",
            "application",
            "verdict",
        ]);
        for (at, column) in table.column_iter_mut().enumerate() {
            if at != APPLICATION {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        for row in &self.rows {
            let Connects { median_micros, worst_micros, .. } = row.measured.connects;
            let [median, worst] =
                [median_micros, worst_micros].map(|time| time.map_or("-".into(), told_micros));
            let [by_first, by_second] =
                percents(row.measured.transfer.by_link).map(|part| format!("{part} %"));
            table.add_row([
                row.kind.name.to_owned(),
                median,
                worst,
                format!("{:.1}", row.mbit),
                by_first,
                by_second,
                row.mptcp().to_owned(),
                row.measured.outcome.told(),
                verdict(row.passed).to_owned(),
            ]);
        }
        writeln!(f, "{table}")?;
        for row in &self.rows {
            if let Some(gate) = &row.gate {
                writeln!(f, "{}: {gate}", row.kind)?;
            }
            for check in row.checks.iter().filter(|check| !check.passed) {
                writeln!(f, "{} FAILED: expected {}, measured {}", row.kind, check.expected, check.measured)?;
            }
        }
        if let Some(matrix) = Matrix::of(&self.rows) {
            for (row, probe) in self.rows.iter().filter_map(|row| Some((row, row.probe.as_ref()?))) {
                if !probe.named || probe.placed.is_some_and(|placed| placed != Placed::Right) {
                    writeln!(f, "{}: mpgate probe says {probe}", row.kind)?;
                }
            }
            writeln!(f, "{matrix}")?;
        }
        let passed = self.rows.iter().filter(|row| row.passed).count();
        write!(f, "{}: {passed} of {} boxes did what they are there for", self.family.name(), self.rows.len())
    }
}

/// While others are still tried.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.measured.outcome.told();
        write!(f, "{told}, {:.1} Mbit/s, MPTCP: {}", self.mbit, self.mptcp())?;
        if let Some(probe) = &self.probe {
            write!(f, "; mpgate probe: {probe}")?;
        }
        write!(f, "; {}", verdict(self.passed))
    }
}

impl fmt::Display for Gated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capable, joins_verified, stripped, resets } = self;
        write!(
            f,
            "MP_CAPABLE seen {capable}, joins verified {joins_verified}, packets stripped {stripped}, resets sent {resets}"
        )
    }
}

/// The share of each link, rounded; of nothing each has none.
pub(super) fn percents(by_link: LinkBytes) -> [u64; 2] {
    let all = by_link.iter().sum::<u64>().max(1);
    by_link.map(|bytes| (bytes.saturating_mul(100) + all / 2) / all)
}

/// A time for people.
pub(super) fn told_micros(micros: u64) -> String {
    let span = Duration::from_micros(micros);
    if micros >= 1_000_000 {
        format!("{:.2} s", span.as_secs_f64())
    } else {
        format!("{:.1} ms", span.as_secs_f64() * 1000.0)
    }
}

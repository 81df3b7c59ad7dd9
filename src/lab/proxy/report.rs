//! What came by which link, what happened when, and what was judged.

use std::fmt;

use bytesize::ByteSize;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::lab::Family;
use crate::lab::proxy::Options;
use crate::lab::proxy::course::{Course, Digests, Look, percent};
use crate::lab::proxy::moment::{Moment, millis, seconds};
use crate::lab::report::{Check, Rate, verdict};
use crate::lab::world::{Link, Links};

/// Where what an error says is broken into lines.
const TABLE_WIDTH: u16 = 104;

/// One link's part.
#[derive(Clone, Debug, Serialize)]
pub struct LinkReport {
    /// The interface.
    pub name: &'static str,
    /// Its rate.
    pub mbit: u32,
    /// Bytes that came by it, headers and all.
    pub bytes: u64,
    /// Of all that came.
    pub percent: u64,
    /// Of what came while both links were up.
    pub percent_both_up: u64,
}

/// How a download went.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The IP version of all addresses.
    pub family: Family,
    /// Whether every check passed.
    pub passed: bool,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of it that came.
    pub received: u64,
    /// How long it took.
    pub millis: u64,
    /// Of the whole download, in Mbit/s.
    pub mbit: u64,
    /// The client's links.
    pub links: Vec<LinkReport>,
    /// Joins that the gate accepted.
    pub joins: u64,
    /// What happened on the way.
    pub events: Vec<Moment>,
    /// Of the file, and of what came of it.
    pub sha256: Digests,
    /// What was judged.
    pub checks: Vec<Check>,
    #[serde(skip)]
    pub(super) looks: Vec<Look>,
}

impl Report {
    pub(super) fn new(options: Options, links: Links, course: Course, checks: Vec<Check>) -> Self {
        let last = course.last();
        let up = course.both_up();
        let link = |((link, bytes), bytes_up): ((Link, u64), u64)| LinkReport {
            name: link.name,
            mbit: link.mbit,
            bytes,
            percent: percent(bytes, last.links),
            percent_both_up: percent(bytes_up, up),
        };
        Self {
            family: options.family,
            passed: checks.iter().all(|check| check.passed),
            bytes: options.bytes,
            received: last.received,
            millis: millis(last.at),
            mbit: Rate::of(last.received, last.at).mbit(),
            links: links.into_iter().zip(last.links).zip(up).map(link).collect(),
            joins: course.joins(),
            sha256: course.sha256,
            events: course.moments,
            checks,
            looks: course.looks,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut links = table(["link", "rate", "bytes", "share", "while both were up"]);
        for link in &self.links {
            let bytes = ByteSize(link.bytes).display().si().to_string();
            let share = |percent| format!("{percent} %");
            let (all, up) = (share(link.percent), share(link.percent_both_up));
            links.add_row([link.name.to_owned(), format!("{} Mbit/s", link.mbit), bytes, all, up]);
        }
        writeln!(f, "{links}")?;
        for event in &self.events {
            writeln!(f, "{event}")?;
        }
        let came = self.sha256.received.as_deref().unwrap_or("unknown");
        writeln!(f, "SHA-256 of the file   {}\nSHA-256 of what came  {came}", self.sha256.file)?;
        let mut checks = table(["expected", "measured", "verdict"]);
        for check in &self.checks {
            checks.add_row([&check.expected, &check.measured, verdict(check.passed)]);
        }
        writeln!(f, "{checks}")?;
        let received = ByteSize(self.received).display().si();
        let (family, took) = (self.family.name(), seconds(self.millis));
        let outcome = verdict(self.passed);
        write!(
            f,
            "{family}: {received} in {took}, {} Mbit/s, joins accepted: {}, {outcome}",
            self.mbit, self.joins
        )
    }
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(TABLE_WIDTH);
    table.set_header(header);
    table
}

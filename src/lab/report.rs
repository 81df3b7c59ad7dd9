//! What was expected, what was measured, and the closing table.

use std::fmt;
use std::iter;
use std::time::Duration;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;

use crate::lab::Family;

/// As wide as the widest rows when all goes well.
const TABLE_WIDTH: u16 = 104;

/// The columns that are broken into lines where they would be wider: a sentence of the table of refusals, and what an
/// error says.
const EXPECTED: usize = 1;
const MEASURED: usize = 2;

/// As wide as most expectations.
const EXPECTED_WIDTH: u16 = 44;

/// One thing that a scene promises.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What should be so.
    pub expected: String,
    /// What was.
    pub measured: String,
    /// Whether it was so.
    pub passed: bool,
}

/// How a scene went.
#[derive(Clone, Debug, Serialize)]
pub struct SceneReport {
    /// Its number.
    pub scene: u8,
    /// Its title.
    pub title: &'static str,
    /// Whether each check passed.
    pub passed: bool,
    /// How long it took.
    pub millis: u64,
    /// What it promised.
    pub checks: Vec<Check>,
}

/// How the lab went.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The IP version of all addresses.
    pub family: Family,
    /// Whether every scene passed.
    pub passed: bool,
    /// The scenes, as they were played.
    pub scenes: Vec<SceneReport>,
}

/// A number of bytes over a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    kbit: u64,
}

impl Check {
    /// `expected` as a sentence, with what was measured.
    pub(super) fn that(expected: impl Into<String>, measured: impl fmt::Display, passed: bool) -> Self {
        Self { expected: expected.into(), measured: measured.to_string(), passed }
    }

    /// An event that must have happened so often.
    pub(super) fn exactly(what: &str, times: u64, measured: u64) -> Self {
        Self::that(format!("{what}: {times}"), measured, measured == times)
    }

    /// An event that must have happened.
    pub(super) fn some(what: &str, measured: u64) -> Self {
        Self::that(format!("{what}: at least 1"), measured, measured > 0)
    }
}

impl SceneReport {
    /// One that went as far as `checks`.
    pub(super) fn new(scene: u8, title: &'static str, took: Duration, checks: Vec<Check>) -> Self {
        let passed = !checks.is_empty() && checks.iter().all(|check| check.passed);
        Self { scene, title, passed, millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX), checks }
    }
}

impl Report {
    /// One of these scenes.
    pub fn new(family: Family, scenes: Vec<SceneReport>) -> Self {
        Self { family, passed: scenes.iter().all(|scene| scene.passed), scenes }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(TABLE_WIDTH);
        table.set_header(["scene", "expected", "measured", "verdict"]);
        for (at, column) in table.column_iter_mut().enumerate() {
            match at {
                EXPECTED => {
                    column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(EXPECTED_WIDTH)));
                }
                MEASURED => {}
                _ => {
                    column.set_constraint(ColumnConstraint::ContentWidth);
                }
            }
        }
        for scene in &self.scenes {
            let titles =
                iter::once(format!("{} {}", scene.scene, scene.title)).chain(iter::repeat(String::new()));
            for (title, check) in titles.zip(&scene.checks) {
                table.add_row([&title, &check.expected, &check.measured, verdict(check.passed)]);
            }
        }
        let passed = self.scenes.iter().filter(|scene| scene.passed).count();
        writeln!(f, "{table}")?;
        write!(f, "{}: {passed} of {} scenes passed", self.family.name(), self.scenes.len())
    }
}

/// The one spelling of a verdict on a check or a scene.
pub(super) const fn verdict(passed: bool) -> &'static str {
    if passed { "passed" } else { "FAILED" }
}

impl Rate {
    /// `bytes` in `span`.
    pub(super) fn of(bytes: u64, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
        Self { kbit: bytes.saturating_mul(8) / millis }
    }

    /// In whole Mbit/s.
    pub(super) const fn mbit(self) -> u64 {
        self.kbit / 1000
    }

    /// In Mbit/s, with one digit behind the point.
    pub(super) fn tenths(self) -> f64 {
        let tenths = u32::try_from(self.kbit / 100).unwrap_or(u32::MAX);
        f64::from(tenths) / 10.0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} Mbit/s", self.kbit / 1000, self.kbit % 1000 / 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(checks: Vec<Check>) -> Report {
        let scene = SceneReport::new(4, "joins rejected", Duration::from_secs(7), checks);
        Report::new(Family::Ipv4, vec![scene])
    }

    #[test]
    fn one_failed_check_fails_the_lab() {
        let good = Check::exactly("SYNs on link100", 1, 1);
        let bad = Check::exactly("SYNs on link100", 1, 3);
        assert!(report(vec![good.clone()]).passed);
        assert!(!report(vec![good, bad.clone()]).passed);
        let table = report(vec![bad]).to_string();
        assert!(table.contains("SYNs on link100: 1") && table.contains("FAILED"), "{table}");
        assert!(table.ends_with("IPv4: 0 of 1 scenes passed"), "{table}");
    }

    #[test]
    fn a_scene_that_checked_nothing_did_not_pass() {
        assert!(!report(Vec::new()).passed);
    }

    #[test]
    fn rates_are_shown_with_one_digit() {
        assert_eq!(Rate::of(6_250_000, Duration::from_secs(1)).to_string(), "50.0 Mbit/s");
        assert_eq!(Rate::of(1_234_567, Duration::from_millis(100)).to_string(), "98.7 Mbit/s");
    }
}

//! One log line at the door for what was not simply let through, as many a second as a disk can bear.

use std::time::Duration;

use crate::engine::{Decision, Verdict};
use crate::time::Timestamp;

/// Lines on verdicts a second and worker: an attacker chooses how many packets are refused, so not how much is written.
/// Fifty lines of 200 bytes are under a gigabyte a day.
const VERDICTS_PER_SECOND: u32 = 50;

/// Lines on errors a second and worker; they come in swarms that say the same.
const ERRORS_PER_SECOND: u32 = 1;

/// Writes the lines of one worker.
#[derive(Debug)]
pub(super) struct Report {
    verdicts: Throttle,
    errors: Throttle,
}

impl Report {
    pub(super) fn new() -> Self {
        Self { verdicts: Throttle::new(VERDICTS_PER_SECOND), errors: Throttle::new(ERRORS_PER_SECOND) }
    }

    /// Logs a decision that a rule wants logged, or that is, or would be, other than accept.
    pub(super) fn decision(&mut self, now: Timestamp, decision: &Decision) {
        let spoken = decision.observed.unwrap_or(decision.verdict);
        let trial = decision.trial.as_ref().filter(|trial| trial.verdict != Verdict::Accept || trial.log);
        if spoken == Verdict::Accept && !decision.log && trial.is_none() {
            return;
        }
        let Some(suppressed) = self.verdicts.admit(now) else { return };
        let findings = decision.findings.as_ref();
        tracing::info!(
            target: "mpgate::verdict",
            flow = findings.map(|findings| tracing::field::display(findings.flow)),
            segment = findings.map(|findings| findings.segment.label()),
            standing = findings.map(|findings| findings.standing.label()),
            verdict = spoken.label(),
            observed = decision.observed.is_some().then_some(true),
            reason = decision.reason.label(),
            rule = decision.rule.as_ref().map(|rule| rule.name.as_str()),
            trial = trial.map(|trial| trial.rule.name.as_str()),
            would = trial.map(|trial| trial.verdict.label()),
            suppressed = (suppressed > 0).then_some(suppressed),
        );
    }

    /// Logs an error that the worker survives.
    pub(super) fn error(&mut self, now: Timestamp, step: &'static str, error: &std::io::Error) {
        if let Some(suppressed) = self.errors.admit(now) {
            tracing::warn!(%error, suppressed = (suppressed > 0).then_some(suppressed), "{step}");
        }
    }
}

/// Admits so many lines a second, and counts those that it did not.
#[derive(Debug)]
struct Throttle {
    per_second: u32,
    left: u32,
    refilled_at: Timestamp,
    suppressed: u64,
}

impl Throttle {
    const fn new(per_second: u32) -> Self {
        Self { per_second, left: per_second, refilled_at: Timestamp::ZERO, suppressed: 0 }
    }

    /// How many lines were held back since the last one, or nothing: this one is held back too.
    fn admit(&mut self, now: Timestamp) -> Option<u64> {
        if now.since(self.refilled_at) >= Duration::from_secs(1) {
            self.left = self.per_second;
            self.refilled_at = now;
        }
        let Some(left) = self.left.checked_sub(1) else {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        };
        self.left = left;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_held_to_its_rate_and_what_was_held_back_is_told() {
        let mut throttle = Throttle::new(2);
        let start = Timestamp::from_nanos(5_000_000_000);
        let admitted: Vec<_> = (0..10).map(|_| throttle.admit(start)).collect();
        assert_eq!(admitted.iter().flatten().count(), 2);
        let later = start.after(Duration::from_secs(1));
        assert_eq!(throttle.admit(later), Some(8));
        assert_eq!(throttle.admit(later), Some(0));
    }
}

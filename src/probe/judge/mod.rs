//! From what was seen to what it means: stages and findings. Neither sockets nor clocks.

mod opening;
mod joining;
mod later;
#[cfg(test)]
pub(super) mod samples;
#[cfg(test)]
mod tests;

use crate::probe::finding::Finding;
use crate::probe::observed::Observed;
use crate::probe::stage::{Outcome, Stage, StageReport};

/// How one stage went, and what that means.
#[derive(Debug)]
pub(super) struct Judged {
    result: Outcome,
    detail: String,
    findings: Vec<Finding>,
}

impl Judged {
    fn new(result: Outcome, detail: impl Into<String>) -> Self {
        Self { result, detail: detail.into(), findings: Vec::new() }
    }

    fn passed(detail: impl Into<String>) -> Self {
        Self::new(Outcome::Passed, detail)
    }

    fn not_tried(detail: impl Into<String>) -> Self {
        Self::new(Outcome::NotTried, detail)
    }

    fn with(mut self, finding: Finding) -> Self {
        self.findings.push(finding);
        self
    }
}

/// All stages in their order, and what was found.
pub(super) fn judge(seen: &Observed) -> (Vec<StageReport>, Vec<Finding>) {
    let mut stages = Vec::new();
    let mut findings: Vec<Finding> = Vec::new();
    for stage in Stage::ALL {
        let judged = match stage {
            Stage::Tcp => opening::tcp(seen),
            Stage::MpCapable => opening::mp_capable(seen),
            Stage::ThirdAck => later::third_ack(seen),
            Stage::Join => joining::join(seen),
            Stage::AddAddr => later::add_addr(seen),
            Stage::Dss => later::dss(seen),
            Stage::Payload => later::payload(seen),
        };
        let Judged { result, detail, findings: found } = judged;
        stages.push(StageReport { stage, result, detail });
        for finding in found {
            // Several stages can meet the same box.
            if !findings.iter().any(|known| known.kind == finding.kind) {
                findings.push(finding);
            }
        }
    }
    (stages, findings)
}

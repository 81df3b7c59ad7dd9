//! One JSON object a TCP segment, by the shape that the documentation promises.

use std::io::{self, Write};

use serde::Serialize;

use crate::engine::Decision;
use crate::fields::Fields;
use crate::replay::{Seen, What};

/// Most lines are shorter.
const LINE_LEN: usize = 1024;

/// What the gate says of one segment. A packet without a readable TCP header has neither ends nor kind.
#[derive(Debug, Serialize)]
struct Line<'s> {
    frame: u64,
    time: f64,
    src: Option<String>,
    dst: Option<String>,
    segment: Option<&'static str>,
    options: Vec<Fields>,
    standing: Option<&'static str>,
    connection: Option<u64>,
    subflow: Option<u16>,
    verdict: &'static str,
    reason: &'static str,
    rule: Option<&'s str>,
}

/// Writes the line of `seen`; frames that hold nothing for the gate have none.
///
/// # Errors
/// When `out` cannot be written.
pub fn write_json(out: &mut impl Write, seen: &Seen) -> io::Result<()> {
    let line = match &seen.what {
        What::Segment(segment) => Line {
            src: Some(segment.flow.src.to_string()),
            dst: Some(segment.flow.dst.to_string()),
            segment: Some(segment.segment.label()),
            options: segment.signals.list.iter().map(Fields::of).collect(),
            ..Line::of(seen, &segment.decision)
        },
        What::Unreadable { decision, .. } => Line::of(seen, decision),
        What::Other(_) => return Ok(()),
    };
    // Whole, since `out` may be one that passes on each piece that it is given.
    let mut text = Vec::with_capacity(LINE_LEN);
    serde_json::to_writer(&mut text, &line)?;
    text.push(b'\n');
    out.write_all(&text)
}

impl<'s> Line<'s> {
    fn of(seen: &Seen, decision: &'s Decision) -> Self {
        let findings = decision.findings.as_ref();
        Self {
            frame: seen.frame,
            time: seen.secs,
            src: None,
            dst: None,
            segment: None,
            options: Vec::new(),
            standing: findings.map(|findings| findings.standing.label()),
            connection: findings.and_then(|findings| findings.connection).map(|id| id.0),
            subflow: findings.and_then(|findings| findings.subflow).map(|id| id.0),
            verdict: decision.verdict.label(),
            reason: decision.reason.label(),
            rule: decision.rule.as_ref().map(|rule| rule.name.as_str()),
        }
    }
}

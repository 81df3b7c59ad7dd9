//! What replay says of a capture, held against what Wireshark says: each field of each MPTCP option, which segments make
//! a subflow, which subflows a connection, and which tokens are its own.

mod deviations;
mod grouping;
mod options;
mod programs;
mod segment;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use deviations::Deviation;
use grouping::Grouping;
use segment::Segment;

/// The fields that Wireshark has for options of version 0 alone; Linux speaks version 1.
pub(crate) const VERSION_0: [&str; 2] = ["sha1.flag", "ipver"];

/// What was compared, and found equal or explained.
#[derive(Default)]
pub(crate) struct Compared {
    captures: BTreeSet<String>,
    segments: usize,
    options: usize,
    /// How often each field was compared.
    fields: BTreeMap<String, usize>,
    grouped: usize,
    by_stream: usize,
    plain: usize,
    /// The segments that only one of the two groups.
    left_out: Vec<String>,
    connections: usize,
    subflows: usize,
    joins: usize,
    /// Which explanations were needed, and for which captures.
    explained: BTreeSet<(&'static str, String)>,
}

impl Compared {
    /// Compares one capture; what differs and is not explained fails.
    pub(crate) fn add(&mut self, capture: &Path) {
        let name = capture.file_stem().unwrap().to_string_lossy().into_owned();
        let ours = programs::replay(capture);
        let theirs = programs::tshark(capture);
        let told = programs::replay_as_text(capture);
        assert_eq!(ours.len(), theirs.len(), "{name}: segments");
        let mut grouping = Grouping::default();
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let segment = Segment::new(&name, ours, theirs);
            segment.is_the_same();
            options::compare(&segment, &told, self);
            grouping.add(&segment);
        }
        self.segments += ours.len();
        self.connections += grouping.connections(&name);
        self.grouped += grouping.segments;
        self.by_stream += grouping.by_stream;
        self.plain += grouping.plain;
        self.subflows += grouping.subflows.len();
        self.joins += grouping.joins;
        self.left_out.extend(grouping.left_out);
        self.captures.insert(name);
    }

    /// Fails where a segment was not compared with one that Wireshark groups.
    pub(crate) fn leaves_none_out(&self) {
        assert!(self.left_out.is_empty(), "only one of the two groups {:#?}", self.left_out);
    }

    /// Fails where a difference is explained that is none any more, in the captures that were compared.
    pub(crate) fn needs_every_explanation(&self) {
        for Deviation { field, captures, reason, .. } in &deviations::TABLE {
            for capture in captures.iter().filter(|capture| self.captures.contains(**capture)) {
                let is_needed = self.explained.contains(&(*field, (*capture).to_owned()));
                assert!(
                    is_needed,
                    "{capture}: {field} is the same now; this explains no difference: {reason}"
                );
            }
        }
    }

    /// The fields that Wireshark knows and no capture held.
    pub(crate) fn missing(&self) -> Vec<String> {
        let known = programs::fields_of_tshark();
        known.into_iter().filter(|field| !self.fields.contains_key(field)).collect()
    }

    fn equal(&mut self, field: &str) {
        *self.fields.entry(field.to_owned()).or_default() += 1;
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: usize = self.fields.values().sum();
        writeln!(
            f,
            "compared {} fields of {} options of {} segments in {} captures",
            thousands(fields),
            thousands(self.options),
            thousands(self.segments),
            self.captures.len(),
        )?;
        writeln!(
            f,
            "grouping: {} segments into {} subflows of {} connections, {} joins by their tokens; {} more, without a key or an \
             option, into subflows alone; {} plain; not compared: {}",
            thousands(self.grouped),
            self.subflows,
            self.connections,
            self.joins,
            thousands(self.by_stream),
            thousands(self.plain),
            self.left_out.len(),
        )?;
        for (field, count) in &self.fields {
            writeln!(f, "{:>9} {field}", thousands(*count))?;
        }
        for (field, capture) in &self.explained {
            writeln!(f, "{field} differs in {capture}, explained")?;
        }
        Ok(())
    }
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> =
        digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join(" ")
}

//! Where Wireshark and replay differ, and why: one entry a difference.

use serde_json::Value;

use super::segment::Segment;

/// A difference that is explained.
pub(super) struct Deviation {
    pub(super) field: &'static str,
    /// The captures that show it: where one of them is compared and does not, the entry is not needed any more.
    pub(super) captures: &'static [&'static str],
    /// Whether it is this difference.
    is: fn(&Difference<'_>) -> bool,
    pub(super) reason: &'static str,
}

/// A field that the two do not agree on; `None` has none.
pub(super) struct Difference<'d> {
    pub(super) segment: &'d Segment<'d>,
    pub(super) subtype: &'static str,
    pub(super) field: &'d str,
    pub(super) ours: Option<&'d Value>,
    pub(super) theirs: Option<&'d Value>,
}

pub(super) const TABLE: [Deviation; 1] = [Deviation {
    field: "checksum",
    captures: &["checksum", "checksum-failed", "checksum-ipv6", "crowd-checksum"],
    is: |difference| {
        difference.subtype == "dss" && difference.theirs.is_none() && stands_behind_the_length(difference)
    },
    reason: "RFC 8684 3.3: the two bytes behind the data-level length are the checksum, where the option is long enough. \
             Wireshark 4.0 asks for two bytes more than there are and shows none.",
}];

/// The field of the entry that explains the difference.
pub(super) fn explain(difference: &Difference<'_>) -> &'static str {
    let entry = TABLE.iter().find(|entry| entry.field == difference.field && (entry.is)(difference));
    let Difference { segment, subtype, field, ours, theirs } = difference;
    entry.map(|entry| entry.field).unwrap_or_else(|| {
        panic!("{}: {field} of {subtype} is {ours:?}, tshark says {theirs:?}", segment.place())
    })
}

fn stands_behind_the_length(difference: &Difference<'_>) -> bool {
    let bytes = difference.segment.their("tcp.options").unwrap().replace(':', "");
    let options = difference.segment.ours["options"].as_array().unwrap();
    options.iter().filter(|option| option.get("checksum") == difference.ours).any(|option| {
        let [len, checksum] = ["datalvllen", "checksum"].map(|name| option[name].as_u64().unwrap());
        bytes.contains(&format!("{len:04x}{checksum:04x}"))
    })
}

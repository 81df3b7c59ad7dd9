//! The MPTCP options of a segment, field by field.
//!
//! Keys (`sendkey`, `recvkey`) are secrets: ours has none, and the test looks that they are in no output. Raw bytes
//! (`flags`) are made again from the single flags that ours tells. Reserved bits are zero, as RFC 8684 has it, in all that
//! is compared; ours leaves them out.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Compared;
use super::deviations::{self, Difference};
use super::segment::Segment;

pub(super) const PREFIX: &str = "tcp.options.mptcp.";

/// By number, as Wireshark tells them. What is held against it does not say itself what it should be called.
const SUBTYPES: [&str; 9] = [
    "mp_capable",
    "mp_join",
    "dss",
    "add_addr",
    "remove_addr",
    "mp_prio",
    "mp_fail",
    "mp_fastclose",
    "mp_tcprst",
];

const KEYS: [&str; 2] = ["sendkey", "recvkey"];

/// What tshark computes from options, beside what stands in them.
const COMPUTED: [(&str, &str); 2] =
    [("mptcp.expected_token", "expected_token"), ("mptcp.rm_addr.count", "rm_addr.count")];

/// The bits of tshark's `flags`, which is the whole third or fourth byte of an option.
const FLAGS: [(&str, &[(&str, u8)]); 5] = [
    (
        "mp_capable",
        &[
            ("checksumreq.flags", 0x80),
            ("extensibility.flag", 0x40),
            ("nomoresubflows.flag", 0x20),
            ("sha1.flag", 0x01),
            ("sha256.flag", 0x01),
        ],
    ),
    ("mp_join", &[("", 0x10), ("backup.flag", 0x01)]),
    (
        "dss",
        &[
            ("datafin.flag", 0x10),
            ("dseqn8.flag", 0x08),
            ("dseqnpresent.flag", 0x04),
            ("dataack8.flag", 0x02),
            ("dataackpresent.flag", 0x01),
        ],
    ),
    ("mp_prio", &[("", 0x50), ("backup.flag", 0x01)]),
    (
        "mp_tcprst",
        &[
            ("", 0x80),
            ("flag_U.flag", 0x08),
            ("flag_V.flag", 0x04),
            ("flag_W.flag", 0x02),
            ("flag_T.flag", 0x01),
        ],
    ),
];

/// One option of tshark's: its fields by name.
type Theirs = BTreeMap<String, Value>;

/// Compares the options of one segment. `told` is all that replay says of the capture.
pub(super) fn compare(segment: &Segment<'_>, told: &str, compared: &mut Compared) {
    let theirs = options(&segment.layers["tcp"]);
    let ours = segment.ours["options"].as_array().unwrap();
    assert_eq!(ours.len(), theirs.len(), "{}: options", segment.place());
    for (ours, theirs) in ours.iter().zip(theirs) {
        compared.options += 1;
        compare_option(segment, ours.as_object().unwrap(), &theirs, compared);
        for key in KEYS.iter().filter_map(|key| theirs.get(*key)) {
            is_not_told(key, told, segment);
        }
        for key in KEYS.iter().filter(|key| theirs.contains_key(**key)) {
            compared.equal(key);
        }
    }
}

fn compare_option(
    segment: &Segment<'_>,
    ours: &Map<String, Value>,
    theirs: &Theirs,
    compared: &mut Compared,
) {
    let number: usize = theirs["subtype"].as_str().unwrap().parse().unwrap();
    let subtype = SUBTYPES[number];
    let ours = completed(ours, theirs);
    let mut names: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
    names.sort();
    names.dedup();
    for name in names.into_iter().filter(|name| !KEYS.contains(&name.as_str())) {
        let (ours, theirs) = (ours.get(name), theirs.get(name));
        if ours.map(canonical) != theirs.map(canonical) {
            let difference = Difference { segment, subtype, field: name, ours, theirs };
            compared.explained.insert((deviations::explain(&difference), segment.capture.to_owned()));
        }
        compared.equal(name);
    }
}

/// Ours, with the raw bytes that it tells in other words, where tshark has them.
fn completed(ours: &Map<String, Value>, theirs: &Theirs) -> Theirs {
    let mut fields: Theirs = ours.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let subtype = ours["subtype"].as_str().unwrap();
    let number = SUBTYPES.iter().position(|name| *name == subtype);
    fields.insert("subtype".to_owned(), number.into());
    if let Some((_, bits)) = FLAGS.iter().find(|(name, _)| *name == subtype)
        && theirs.contains_key("flags")
    {
        let is_set = |name: &str| name.is_empty() || ours.get(name) == Some(&Value::Bool(true));
        let flags = bits.iter().filter(|(name, _)| is_set(name)).fold(0, |flags, (_, bit)| flags | bit);
        fields.insert("flags".to_owned(), flags.into());
    }
    for reserved in ["reserved", "reserved.flag"].iter().filter(|name| theirs.contains_key(**name)) {
        fields.insert((*reserved).to_owned(), 0.into());
    }
    if let (Some(ids), true) = (ours.get("addrid"), theirs.contains_key("rm_addr.count")) {
        fields.insert("rm_addr.count".to_owned(), ids.as_array().unwrap().len().into());
    }
    fields
}

/// Numbers, flags and byte strings as hexadecimal digits, addresses as they are.
fn canonical(value: &Value) -> Vec<String> {
    let one = |text: &str| match text.parse::<u64>() {
        Ok(number) => format!("{number:x}"),
        Err(_) if text.contains('.') || text.contains("::") => text.to_owned(),
        Err(_) => {
            let digits = text.trim_start_matches("0x").replace(':', "");
            let digits = digits.trim_start_matches('0');
            if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
        }
    };
    match value {
        Value::Bool(flag) => vec![u8::from(*flag).to_string()],
        Value::String(text) => vec![one(text)],
        Value::Array(list) => list.iter().flat_map(canonical).collect(),
        Value::Number(number) => vec![one(&number.to_string())],
        Value::Null | Value::Object(_) => panic!("no field of an option is {value}"),
    }
}

/// The options of kind 30 of one segment, each with the fields of its subtrees.
fn options(tcp: &Value) -> Vec<Theirs> {
    let trees = match tcp.get("tcp.options_tree").and_then(|tree| tree.get("mptcp")) {
        None => Vec::new(),
        Some(Value::Array(trees)) => trees.iter().collect(),
        Some(tree) => vec![tree],
    };
    let fields = |tree| {
        let mut fields = BTreeMap::new();
        flatten(tree, &mut fields);
        fields
    };
    trees.into_iter().map(fields).collect()
}

fn flatten(tree: &Value, fields: &mut Theirs) {
    for (name, value) in tree.as_object().into_iter().flatten() {
        let computed = COMPUTED.iter().find(|(theirs, _)| theirs == name).map(|(_, ours)| *ours);
        if value.is_object() {
            flatten(value, fields);
        } else if let Some(name) = computed.or_else(|| name.strip_prefix(PREFIX)) {
            fields.insert(name.to_owned(), value.clone());
        }
    }
}

fn is_not_told(key: &Value, told: &str, segment: &Segment<'_>) {
    let key: u64 = key.as_str().unwrap().parse().unwrap();
    for spelling in [format!("{key:x}"), format!("{key:X}"), key.to_string()] {
        assert!(!told.contains(&spelling), "{}: a key is told", segment.place());
    }
}

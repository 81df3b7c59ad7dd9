//! Replay reads what Wireshark reads, in the captures that are kept: every field of every MPTCP option, and which subflows
//! make one connection.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod agreement;

use std::fs;
use std::path::{Path, PathBuf};

use agreement::{Compared, VERSION_0};

#[test]
fn every_field_and_every_connection_is_what_tshark_reads() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compared = Compared::default();
    let kept = captures(&root.join("tests/captures"));
    assert!(!kept.is_empty());
    for capture in &kept {
        compared.add(capture);
    }
    let others = captures(&root.join("../shared/captures"));
    for capture in &others {
        compared.add(capture);
    }
    print!("{compared}");
    compared.leaves_none_out();
    compared.needs_every_explanation();
    let missing = compared.missing();
    if others.is_empty() {
        println!("captures of version 0 (../shared/captures) are absent");
        assert_eq!(missing, VERSION_0);
    } else {
        assert!(missing.is_empty(), "no capture has {missing:?}");
    }
}

fn captures(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.extension() == Some("pcap".as_ref())).collect();
    found.sort();
    found
}

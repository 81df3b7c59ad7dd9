//! Replay reads what Wireshark reads, in captures that the kernel makes afresh: other keys, tokens, ports and timing each
//! time, both families, joins from both sides, and many connections at once.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod agreement;

use std::path::Path;
use std::process::{Child, Command};

use agreement::{Compared, VERSION_0};
use rustix::process::{Pid, Signal, geteuid, kill_process};

/// Scenes mostly wait; more of them at once than this would wait for the processor.
const AT_ONCE: usize = 6;

#[test]
fn every_field_and_every_connection_of_fresh_captures_is_what_tshark_reads() {
    assert!(geteuid().is_root(), "needs root for network namespaces: run it by sudo ./tests/run");
    let names = String::from_utf8(make().arg("--names").output().unwrap().stdout).unwrap();
    let names: Vec<_> = names.lines().collect();
    let directory = tempfile::tempdir().unwrap();
    let shares: Vec<_> = names.chunks(names.len().div_ceil(AT_ONCE)).collect();
    let makers: Vec<Maker> = shares.into_iter().map(|share| Maker::start(directory.path(), share)).collect();
    for maker in makers {
        maker.ends_well();
    }
    let mut compared = Compared::default();
    for name in &names {
        compared.add(&directory.path().join(name).with_extension("pcap"));
    }
    print!("{compared}");
    compared.leaves_none_out();
    compared.needs_every_explanation();
    assert_eq!(compared.missing(), VERSION_0);
}

fn make() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures/make"))
}

/// Captures in the making, in namespaces of their own; they end with this value.
struct Maker(Child);

impl Maker {
    fn start(directory: &Path, names: &[&str]) -> Self {
        Self(make().arg("--into").arg(directory).args(names).spawn().unwrap())
    }

    fn ends_well(mut self) {
        assert!(self.0.wait().unwrap().success(), "a capture was not made");
    }
}

impl Drop for Maker {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            // It removes its namespaces when it is told to end.
            kill_process(Pid::from_child(&self.0), Signal::INT).ok();
            self.0.wait().ok();
        }
    }
}

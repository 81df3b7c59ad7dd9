//! `mpgate diff`: two captures from both sides of a box, and what the box did to the traffic between them.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::capture::{Capture, Frame};
use crate::diff::text::{Detail, Named, notes};
use crate::diff::{Colour, Taken, compare, write_json, write_text};

const ABOUT: &str = "Tell what a box between two captures did to TCP and MPTCP

Pairs the segments of two captures of the same traffic, taken before and after a firewall, NAT or other box, and tells \
which TCP options were removed, changed, added or moved, which segments were dropped or injected, in which direction, \
and what that does to MPTCP. Flows pair by their addresses; across a NAT by what survives it (MPTCP keys and nonces, \
sequence numbers, timestamps, payload), and how sure a pair is, is said. TTLs, checksums and IP ids are not compared, \
large segments that network cards split or merge (TSO, GRO) are no change. Keys are compared and never shown.";

const EXAMPLES: &str = "\
Examples:
  tcpdump -i eth0 -w client.pcap tcp       on the client, or on the router's side to it, and at the same time
  tcpdump -i eth0 -w server.pcap tcp       on the server, or on the router's other side; then
  mpgate diff client.pcap server.pcap      what was changed between the two, and what that does to MPTCP
  mpgate diff --segments client.pcap server.pcap
                                           each flow and each frame that a finding is about
  mpgate diff --json client.pcap server.pcap | jq -r '.findings[].title'

Which capture is nearer to a flow's client is found out by hop limits, or by time, for each flow.
At most 10 000 flows and 500 000 segments of a capture are remembered; what comes later is left out, and that is told.
\"Dropped\" is what is in the upstream capture alone: one capture cannot tell a drop from a loss, a pattern can.

With --json, one object: `version` (1), `changed`; `before`, `after` (`capture`, `frames`, `segments`, `flows`); `flows` \
(`flow`, `before` and `after` with `client` and `server`, `certainty`, `percent`, `why`, `client_side`, \
`client_side_known`, `segments`); `unpaired` (`capture`, `client`, `server`, `segments`, `flow` where its SYNs count as \
dropped); `findings` (`kind`, `title`, `direction`, `segment`, `option`, `mptcp`, `noped`, `fields` with `name`, `from`, \
`to`, `fields_vary`, `from`, `to`, `count`, `of`, `remark`, `effects` with `weight`, `sender`, `receiver`, `spans` of \
options with `flow`, the `count` of segments, those `before`, `between` and `behind` that were left as they were, `first`, \
`last` and `fallen_back` with `frame` and `time`, `places` with `flow`, `upstream`, `downstream` frames); `notes`. Kinds: option_removed, option_changed, option_added, \
options_reordered, padding_changed, payload_changed, segment_dropped, segment_injected, sequence_numbers_rewritten, \
client_address_rewritten, server_address_rewritten.

Exit codes: 0 nothing was changed, 1 something was changed, 2 the captures could not be compared.";

#[derive(Debug, clap::Args)]
#[command(about = "Tell what a box between two captures did to TCP and MPTCP", long_about = ABOUT, after_help = EXAMPLES)]
pub(super) struct Args {
    /// The capture on one side of the box (pcap, pcapng); `-` is standard input
    before: PathBuf,

    /// The capture on its other side
    after: PathBuf,

    /// List all flows, and all frames of each finding
    #[arg(long)]
    segments: bool,

    /// One JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.before == Path::new("-") && args.after == Path::new("-") {
        bail!("standard input can be one of the captures, not both");
    }
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let comparison = compare(&before, &after)?;
    let names = [&args.before, &args.after].map(|path| path.display().to_string());
    let [before_name, after_name] = &names;
    let captures = [Named { name: before_name, taken: &before }, Named { name: after_name, taken: &after }];
    let detail = if args.segments { Detail::Segments } else { Detail::Brief };
    let mut out = io::stdout().lock();
    let written = if args.json {
        write_json(&mut out, &captures, &comparison, detail)
    } else {
        for note in notes(&captures, &comparison) {
            writeln!(io::stderr(), "mpgate: {note}")?;
        }
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = if out.is_terminal() && !unwanted { Colour::Terminal } else { Colour::None };
        write_text(&mut out, &captures, &comparison, detail, colour)
    };
    match written.and_then(|()| out.flush()) {
        // Whoever closed the pipe has read enough.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    Ok(if comparison.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Reads as much of a capture as can be read; what cannot is told in a line.
fn read(path: &Path) -> anyhow::Result<Taken> {
    let name = path.display();
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(path).with_context(|| format!("{name}"))?;
        if file.metadata().with_context(|| format!("{name}"))?.is_dir() {
            bail!("{name}: is a directory");
        }
        Box::new(BufReader::new(file))
    };
    let mut capture = Capture::open(source).with_context(|| format!("{name}"))?;
    let mut taken = Taken::default();
    let mut frame = Frame::default();
    loop {
        match capture.read(&mut frame) {
            Ok(true) => taken.take(&frame),
            Ok(false) => return Ok(taken),
            Err(error) => {
                let error = anyhow::Error::from(error);
                writeln!(io::stderr(), "mpgate: {name}: {error:#}; what comes before is compared")?;
                return Ok(taken);
            }
        }
    }
}

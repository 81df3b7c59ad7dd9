//! `mpgate lab proxy`: one download over two links, from a web server behind a full proxy.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use bytesize::ByteSize;

use crate::cli::lab::{ended, judged, size_within, tell};
use crate::cli::output::Target;
use crate::lab::Family;
use crate::lab::proxy::{self, Cut, Options, Report};
use crate::picture::Format;

/// Download over two links at once, through the gate and a full proxy, from a web server without MPTCP.
///
/// A laptop downloads a file over eth0 and wlan0: curl with MPTCP, the gate with rules/proxy-only.toml, HAProxy with
/// MPTCP, behind it a plain nginx. In the middle one link is cut, and later put back. All of it is in network namespaces
/// that are gone afterwards. Exit code 0: everything came, both links did their part, and the gate saw MPTCP.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Size of the file, as 60MB or 1GiB; a file below TMPDIR while it lasts
    #[arg(long, value_name = "SIZE", default_value = "500MB", value_parser = size)]
    bytes: ByteSize,

    /// The link that is cut when 40 % came, and put back at 60 %
    #[arg(long, value_name = "LINK", value_enum, default_value_t = Link::Wlan0)]
    cut: Link,

    /// Draw the rate of each interface over time; the name ends in .svg or .png
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,

    /// Let --plot replace a file
    #[arg(long, requires = "plot")]
    force: bool,

    /// IPv6 instead of IPv4
    #[arg(long)]
    ipv6: bool,

    /// Print the results as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  sudo mpgate lab proxy
  sudo mpgate lab proxy --bytes 1GB --ipv6 --plot download.png";

/// What can be cut.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Link {
    /// Nothing
    Never,
    /// The link over which the connection is opened
    Eth0,
    /// The link that joins
    Wlan0,
}

/// With less, joins take a good part of the time.
const BYTES_MIN: ByteSize = ByteSize::mb(20);
/// Four minutes, and a file that most disks have room for.
const BYTES_MAX: ByteSize = ByteSize::gb(10);

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let plot = match &args.plot {
        Some(path) => Some((Target::new(path, args.force)?, Format::of(path)?)),
        None => None,
    };
    let cut = match args.cut {
        Link::Never => Cut::Never,
        Link::Eth0 => Cut::Eth0,
        Link::Wlan0 => Cut::Wlan0,
    };
    let family = if args.ipv6 { Family::Ipv6 } else { Family::Ipv4 };
    let report = match proxy::run(Options { bytes: args.bytes.as_u64(), family, cut }) {
        Ok(report) => report,
        Err(error) => return ended(error),
    };
    tell(&report, args.json)?;
    if let Some((target, format)) = plot {
        draw(&report, &target, format)?;
    }
    Ok(judged(report.passed))
}

fn draw(report: &Report, target: &Target, format: Format) -> anyhow::Result<()> {
    let picture = proxy::picture(report).encode(format)?;
    let mut file = target.start()?;
    file.write_all(&picture).with_context(|| target.name())?;
    target.keep(file)
}

fn size(text: &str) -> Result<ByteSize, String> {
    size_within(
        text,
        (BYTES_MIN, "over before both links are at work"),
        (BYTES_MAX, "more than disks have room for"),
    )
}

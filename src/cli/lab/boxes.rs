//! `mpgate lab boxes`: what boxes on the way do to MPTCP, and what mpgate does at their place.

use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use bytesize::ByteSize;

use crate::cli::lab::{ended, judged, size, tell};
use crate::cli::output::Target;
use crate::lab::boxes::{self, Held, KINDS, Kind, Options};
use crate::lab::{Family, LabError};

/// Put boxes that meddle with MPTCP on the way, one after the other, and mpgate at the same place; measure each.
///
/// A client with two links, three routers, a server, in network namespaces that are gone afterwards; the box is the router
/// in the middle. Exit code 0: each box shows the harm that it is there for, and mpgate harms nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, after_long_help = long_help())]
pub(super) struct Args {
    /// Only these boxes, in this order; by default all
    #[arg(long = "box", value_name = "NAME", value_delimiter = ',', value_parser = kind)]
    kinds: Vec<&'static Kind>,

    /// Bytes of each download, as 20MB or 1GiB
    #[arg(long, value_name = "SIZE", default_value = "20MB", value_parser = size)]
    bytes: ByteSize,

    /// Write a page that shows it: one file, without scripts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Let --html replace a file
    #[arg(long, requires = "html")]
    force: bool,

    /// IPv6 instead of IPv4
    #[arg(long)]
    ipv6: bool,

    /// Let the one box that --box names stand until ^C, and tell where everything is
    #[arg(long, requires = "kinds", conflicts_with_all = ["json", "bytes", "html"])]
    hold: bool,

    /// Print the results as one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  sudo mpgate lab boxes --html boxes.html
  sudo mpgate lab boxes --box none,strips-later,mpgate-default --ipv6
  sudo mpgate lab boxes --box mirrors --hold";

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let family = if args.ipv6 { Family::Ipv6 } else { Family::Ipv4 };
    if args.hold {
        return hold(&args.kinds, family);
    }
    let page = args.html.as_deref().map(|path| Target::new(path, args.force)).transpose()?;
    let options = Options {
        kinds: if args.kinds.is_empty() { KINDS.iter().collect() } else { args.kinds.clone() },
        bytes: args.bytes.as_u64(),
        family,
    };
    let report = match boxes::run(&options) {
        Ok(report) => report,
        Err(error) => return ended(error),
    };
    tell(&report, args.json)?;
    if let Some(target) = page {
        let mut file = target.start()?;
        file.write_all(boxes::page(&report).as_bytes()).with_context(|| target.name())?;
        target.keep(file)?;
    }
    Ok(judged(report.passed))
}

fn hold(kinds: &[&'static Kind], family: Family) -> anyhow::Result<ExitCode> {
    let [kind] = kinds else { bail!("--hold lets one box stand: name one with --box") };
    let tell = |held: &Held| {
        let told = writeln!(stdout(), "{held}").and_then(|()| stdout().flush());
        told.map_err(|error| LabError::Io { doing: "telling where everything is".to_owned(), error })
    };
    match boxes::hold(kind, family, tell) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => ended(error),
    }
}

fn kind(name: &str) -> Result<&'static Kind, String> {
    let known = || KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    KINDS.iter().find(|kind| kind.name == name).ok_or_else(|| format!("no such box; there are {}", known()))
}

fn long_help() -> String {
    let boxes = KINDS.iter().map(|kind| format!("\n  {:17}  {}", kind.name, kind.does));
    format!("Boxes:{}\n\n{EXAMPLES}", boxes.collect::<String>())
}

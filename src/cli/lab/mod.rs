//! `mpgate lab`: shows on this machine, in network namespaces, what the gate does to real MPTCP.

mod proxy;
mod boxes;

use std::fmt::Display;
use std::io::{Write, stderr, stdout};
use std::ops::RangeInclusive;
use std::process::ExitCode;

use anyhow::Context;
use bytesize::ByteSize;
use serde::Serialize;

use crate::lab::{self, Family, LabError, Options, SCENES};

/// Try the gate on real MPTCP connections, in network namespaces that are gone afterwards.
#[derive(Debug, clap::Args)]
#[command(after_long_help = scenes_help(), args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    show: Option<Show>,

    /// Only these scenes
    #[arg(long = "scene", value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u8).range(numbers()))]
    scenes: Vec<u8>,

    /// Bytes to move in a scene, as 50M or 1GiB; by default what takes one to eight seconds
    #[arg(long, value_name = "SIZE", value_parser = size)]
    bytes: Option<ByteSize>,

    /// IPv6 instead of IPv4
    #[arg(long)]
    ipv6: bool,

    /// Print the results as one JSON object
    #[arg(long)]
    json: bool,
}

/// Instead of the scenes.
#[derive(Debug, clap::Subcommand)]
enum Show {
    Proxy(proxy::Args),
    Boxes(boxes::Args),
}

/// A second subflow joins after some round trips, and its window has to grow.
const BYTES_MIN: ByteSize = ByteSize::mb(10);
/// Two hours over both links.
const BYTES_MAX: ByteSize = ByteSize::gb(100);

/// What a shell makes of SIGINT.
const INTERRUPTED: u8 = 130;

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.show {
        Some(Show::Proxy(args)) => proxy::run(args),
        Some(Show::Boxes(args)) => boxes::run(args),
        None => scenes(args),
    }
}

fn scenes(args: &Args) -> anyhow::Result<ExitCode> {
    let options = Options {
        scenes: if args.scenes.is_empty() {
            SCENES.iter().map(|scene| scene.number).collect()
        } else {
            args.scenes.clone()
        },
        bytes: args.bytes.map(|size| size.as_u64()),
        family: if args.ipv6 { Family::Ipv6 } else { Family::Ipv4 },
    };
    match lab::run(&options) {
        Ok(report) => {
            tell(&report, args.json)?;
            Ok(judged(report.passed))
        }
        Err(error) => ended(error),
    }
}

fn tell(report: &(impl Serialize + Display), json: bool) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string_pretty(report)? } else { report.to_string() };
    writeln!(stdout(), "{text}").context("writing the results")
}

const fn judged(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn ended(error: LabError) -> anyhow::Result<ExitCode> {
    if matches!(error, LabError::Interrupted) {
        writeln!(stderr(), "interrupted; what the lab made is gone").ok();
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Err(error.into())
}

fn size(text: &str) -> Result<ByteSize, String> {
    size_within(
        text,
        (BYTES_MIN, "too little to judge both links by"),
        (BYTES_MAX, "more than anyone waits for"),
    )
}

/// A size between these, each of which has what is wrong with those beyond it.
fn size_within(
    text: &str,
    (min, too_small): (ByteSize, &str),
    (max, too_large): (ByteSize, &str),
) -> Result<ByteSize, String> {
    match text.parse::<ByteSize>() {
        Ok(size) if size < min => Err(format!("{too_small}; at least {}", min.display().si())),
        Ok(size) if size > max => Err(format!("{too_large}; at most {}", max.display().si())),
        parsed => parsed,
    }
}

fn numbers() -> RangeInclusive<i64> {
    1..=SCENES.last().map_or(1, |scene| scene.number.into())
}

fn scenes_help() -> String {
    let scenes = SCENES.iter().map(|scene| format!("\n  {} {}", scene.number, scene.title));
    format!(
        "Scenes:{}\n\nWithout scenes, a download to look at: mpgate lab proxy --plot download.svg\n\
         What boxes on the way do to MPTCP: mpgate lab boxes",
        scenes.collect::<String>()
    )
}

//! `mpgate probe`: tells what the path to a server does to MPTCP, and at which hop.

use std::fmt::Display;
use std::io::{Write, stderr, stdout};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;

use crate::probe::{self, Limits, Options, Verdict, Via};

/// Tell what the path to a server does to MPTCP, and at which hop
///
/// Opens plain TCP and MPTCP to a server, joins a second subflow, announces an address, sends some lines of a request, and
/// looks at each packet that comes back. Where something is lost or changed, the same segment goes out again with rising
/// hop limits: each router quotes it as it arrived there, which shows between which two hops the box is.
///
/// A SYN with MP_CAPABLE is crafted first, and this host's own MPTCP is only tried once it was answered: the host never
/// turns MPTCP off for the probe's sake. Nothing of this host is changed. It sends few packets, some 60 where all is well, and
/// --packets-max and --timeout bound them. Where `mpgate checkme` answers, it also tells what arrived in its SYN.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The server: a name, an IPv4 address or an IPv6 address in brackets, and the port
    #[arg(value_name = "HOST:PORT")]
    target: String,

    /// Join the second subflow by this interface, or from this address of the host
    #[arg(long, value_name = "IFACE|ADDR")]
    via: Option<String>,

    /// Of a name, take an IPv4 address
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,

    /// Of a name, take an IPv6 address
    #[arg(short = '6', long)]
    ipv6: bool,

    /// Packets to send at most
    #[arg(long, value_name = "N", default_value_t = Limits::PACKETS)]
    packets_max: usize,

    /// Seconds to take at most
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::TIME_SECS)]
    timeout: u64,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  sudo mpgate probe www.example.org:443
  sudo mpgate probe 192.0.2.1:8080 --via wlan0
  sudo mpgate probe [2001:db8::1]:443 --json | jq -r '.findings[] | .box, .by_hop'

With --json, one object: `target`, `address`, `verdict` (healthy, harmed); `stages` with `stage` (tcp, mp_capable, \
third_ack, join, add_addr, dss, payload), `result` (passed, changed, removed, dropped, reset, mirrored, refused, not_tried), \
`detail`; `hops` with `hop`, `address`, `quoted` bytes; `findings` with `box`, `after_hop` (0 is this host), `by_hop`, \
`means`, `remedy`; `packets`, `millis`. Boxes: drops-syn, resets-syn, strips-all, strips-syn, strips-syn-ack, \
strips-later, resets-first, mirrors, drops-joins, rewrites-payload; without harm: refuses-joins, no-mptcp.

Exit codes: 0 MPTCP passes unharmed, 1 something on the path harms it, 2 it could not be probed, 130 interrupted.";

/// What a shell makes of SIGINT.
const INTERRUPTED: u8 = 130;

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let options = options(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let probing = spawn_blocking(move || probe::run(&options));
        tokio::select! {
            report = probing => report.map(Some).context("probing"),
            _ = interrupt.recv() => Ok(None),
            _ = terminate.recv() => Ok(None),
            _ = hangup.recv() => Ok(None),
        }
    });
    // Its sockets go with the process, which is why nothing needs to be waited for.
    runtime.shutdown_background();
    let Some(report) = ended? else {
        writeln!(stderr(), "interrupted").ok();
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let report = report?;
    let text = if args.json { serde_json::to_string_pretty(&report)? } else { report.to_string() };
    writeln!(stdout(), "{text}").context("writing the report")?;
    Ok(match report.verdict {
        Verdict::Healthy => ExitCode::SUCCESS,
        Verdict::Harmed => ExitCode::FAILURE,
    })
}

fn options(args: &Args) -> anyhow::Result<Options> {
    let target = resolve(args)?;
    let via = args.via.as_ref().map(|via| match via.parse::<IpAddr>() {
        Ok(addr) => Via::Address(addr),
        Err(_name) => Via::Interface(via.clone()),
    });
    if let Some(Via::Address(addr)) = via
        && addr.is_ipv4() != target.is_ipv4()
    {
        bail!("--via {addr}: the server's address is {}, of the other IP version", target.ip());
    }
    let limits = Limits { packets: args.packets_max, time: Duration::from_secs(args.timeout) };
    Ok(Options { name: args.target.clone(), target, via, limits })
}

fn resolve(args: &Args) -> anyhow::Result<SocketAddr> {
    let name = &args.target;
    let wrong = |error: &dyn Display| {
        anyhow!("{name}: {error}; right is something like www.example.org:443 or [2001:db8::1]:443")
    };
    let wanted = |addr: &SocketAddr| (!args.ipv4 || addr.is_ipv4()) && (!args.ipv6 || addr.is_ipv6());
    let mut found = name.to_socket_addrs().map_err(|error| wrong(&error))?;
    found.find(wanted).ok_or_else(|| anyhow!("{name} has no address of that IP version"))
}

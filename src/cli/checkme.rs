//! `mpgate checkme`: serves a page that tells its visitor whether the connection is MPTCP.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use bytesize::ByteSize;
use tokio::signal::unix::{SignalKind, signal};

use crate::checkme::{Checkme, Limits};

/// Serve a page that tells its visitors whether their connection is MPTCP
///
/// The page is green when the very connection that asks for it is MPTCP. It shows version, token and subflows, what
/// arrived in the SYN, and where MPTCP was lost if it was; a download of noise tries the links, with the rate of each.
/// Who asks for no HTML, such as curl, gets JSON. SIGINT and SIGTERM end it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  mpgate checkme --listen 0.0.0.0:8080         serve it; as root, so that it sees the SYNs
  mptcpize run curl http://192.0.2.1:8080      the verdict, as JSON: `mptcp`, `reason`, `explanation`, `version`, `token`,
                                               `client`, `server`, `subflows`, `syn` (`options`, `mp_capable`)
  curl -o /dev/null 'http://192.0.2.1:8080/download?bytes=50MB'

Reasons: server_off, no_mp_capable, other_version, handshake_fell_back, fell_back_later, syn_unseen.
A proxy in front of it would be the visitor: put none there, TLS neither.")]
pub(super) struct Args {
    /// Where to listen; port 0 lets the kernel choose
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,

    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = Limits::CLIENTS)]
    max_clients: usize,

    /// Connections at once from one IPv4 address, or one IPv6 network of 64 bits
    #[arg(long, value_name = "N", default_value_t = Limits::PER_ADDRESS)]
    max_per_address: usize,

    /// The longest download; by default what 1 Gbit/s brings in eight seconds
    #[arg(long, value_name = "SIZE", default_value = "1GB")]
    max_bytes: ByteSize,

    /// How long a download may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = Limits::DOWNLOAD_SECS)]
    max_seconds: u64,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let limits = Limits {
        clients: args.max_clients,
        per_address: args.max_per_address,
        download: args.max_bytes,
        download_time: Duration::from_secs(args.max_seconds),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let checkme = Checkme::listen(args.listen, limits)?;
        // Nobody may be reading any more; that is no reason to end.
        writeln!(io::stderr(), "listening on http://{}", checkme.addr()?).ok();
        tokio::select! {
            () = checkme.serve() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}

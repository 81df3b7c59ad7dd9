//! `mpgate attach` and `mpgate detach`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;

use crate::attach::{self, Backend, Hook, Plan, QueueMode};
use crate::cli::config::Queues;

/// Put the kernel's rules in that hand packets to `mpgate run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The rules stay until `mpgate detach`; `mpgate run --attach` puts them in for as long as it runs. Putting them in again
replaces what was there. Start `mpgate run` first: while nobody serves a queue its packets pass (or are lost, with
--fail-closed).

Examples:
  mpgate attach                                     what this router forwards, MPTCP's control packets, queue 0
  mpgate attach --queue 0-3 --mode strict           every packet with an MPTCP option, over four queues
  mpgate attach --hook host                         what this machine itself receives and sends
  mpgate attach --backend nft --print               read the rules, change nothing")]
pub(super) struct AttachArgs {
    /// Where packets are taken from.
    #[arg(long, value_enum, default_value_t = Hook::Forward)]
    hook: Hook,
    /// Which packets are queued.
    #[arg(long, value_enum, default_value_t = QueueMode::Control)]
    mode: QueueMode,
    /// The queue, or the queues that share the load.
    #[arg(long, value_name = "N|A-B", default_value = "0")]
    queue: Queues,
    /// The processor that a packet arrives on chooses the queue, instead of its flow.
    #[arg(long)]
    fanout: bool,
    /// By which tool; nft where this kernel's nftables can queue, else iptables.
    #[arg(long, value_enum)]
    backend: Option<Backend>,
    /// Packets are lost while nobody serves their queue, instead of passing undecided.
    #[arg(long)]
    fail_closed: bool,
    /// Print the rules as a file to load, and change nothing.
    #[arg(long)]
    print: bool,
}

/// Take the gate's rules out of the kernel, whoever put them in.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Only what is called mpgate goes: the nftables table `inet mpgate`, the iptables chains MPGATE_… and the jumps to them.

Example:
  mpgate detach")]
pub(super) struct DetachArgs {}

pub(super) fn attach(args: &AttachArgs) -> anyhow::Result<ExitCode> {
    let Queues { first: first_queue, last: last_queue } = args.queue;
    let plan = Plan {
        hook: args.hook,
        mode: args.mode,
        first_queue,
        last_queue,
        fanout: args.fanout,
        bypass: !args.fail_closed,
        backend: args.backend,
    };
    if args.print {
        let script = plan.script(args.backend.unwrap_or_else(attach::best_backend));
        std::io::stdout().write_all(script.as_bytes()).context("printing the rules")?;
        return Ok(ExitCode::SUCCESS);
    }
    plan.install()?.keep();
    Ok(ExitCode::SUCCESS)
}

pub(super) fn detach(_args: &DetachArgs) -> anyhow::Result<ExitCode> {
    attach::remove()?;
    Ok(ExitCode::SUCCESS)
}

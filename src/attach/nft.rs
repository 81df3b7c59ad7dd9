//! nftables: all rules of the nft backend, and those that choose packets for the iptables backend.

use crate::attach::tool::Tool;
use crate::attach::{AttachError, Backend, Plan, QueueMode};
use crate::marks;

const NFT: Tool =
    Tool { name: "nft", remedy: "install nftables, or use --backend iptables with --mode strict or all" };

/// Behind connection tracking (-200), whose marks we read, and before NAT changes a destination (-100); where iptables'
/// mangle table sits.
const PRIORITY: i32 = -150;

/// Loaded before a new table, it leaves none of the old one; alone, it takes ours out, and a table that is not there is
/// no error.
const CLEAR: &str = "table inet mpgate\ndelete table inet mpgate\n";

/// The whole ruleset of the nft backend.
pub(super) fn script(plan: &Plan) -> String {
    let queue = queue_statement(plan);
    let mut rules = format!(
        "#!/usr/sbin/nft -f\n# {} --print\n# Out with it: mpgate detach, or nft delete table inet mpgate\n\n{CLEAR}",
        plan.command(Backend::Nft)
    );
    let mut chains = String::new();
    for hook in plan.hook.chains() {
        chains += &chain(hook, hook, PRIORITY, &chosen(plan.mode, &queue));
        chains += &verdicts(hook, plan.mode);
    }
    rules += &table(&chains);
    rules
}

/// What the iptables backend borrows in `control` mode: packets to be queued get a mark just before the mangle table
/// reads it, and verdicts are saved just behind it.
pub(super) fn prefilter(plan: &Plan) -> String {
    let mark = format!("meta mark set meta mark | {:#x}", marks::PREFILTER);
    let mut chains = String::new();
    for hook in plan.hook.chains() {
        chains += &chain(hook, hook, PRIORITY - 1, &chosen(QueueMode::Control, &mark));
        chains += &verdicts(hook, QueueMode::Control);
    }
    format!("{CLEAR}{}", table(&chains))
}

/// The rules that do `then` to the packets of a mode.
fn chosen(mode: QueueMode, then: &str) -> String {
    let mut body = String::new();
    line(&mut body, &format!("{} accept", has("meta", marks::RESET)));
    match mode {
        QueueMode::All => line(&mut body, &format!("meta l4proto tcp {then}")),
        QueueMode::Strict => line(&mut body, &format!("tcp option mptcp exists {then}")),
        QueueMode::Control => line(&mut body, &format!("tcp option mptcp subtype != 2 {then}")),
    }
    // Data, which is nearly all there is, sees no more rules than this.
    let data = "tcp flags & (syn | fin | rst) == 0";
    match mode {
        QueueMode::All => return body,
        QueueMode::Strict => line(&mut body, &format!("{data} accept")),
        QueueMode::Control => {
            let (watched, both) = (marks::WATCHED, marks::WATCHED | marks::DECIDED);
            line(&mut body, &format!("{data} ct mark & {both:#x} != {watched:#x} accept"));
            line(&mut body, &format!("tcp flags & syn == syn tcp option mptcp exists {then}"));
        }
    }
    line(&mut body, &format!("{} {then}", has("ct", marks::WATCHED)));
    body
}

fn queue_statement(plan: &Plan) -> String {
    let flags = match (plan.bypass, plan.fanout) {
        (true, true) => " flags bypass,fanout",
        (true, false) => " flags bypass",
        (false, true) => " flags fanout",
        (false, false) => "",
    };
    if plan.first_queue == plan.last_queue {
        format!("queue{flags} to {}", plan.first_queue)
    } else {
        format!("queue{flags} to {}-{}", plan.first_queue, plan.last_queue)
    }
}

/// A packet that was accepted goes on with the next chain, so its mark is read there. A flow whose handshake begins anew is
/// undecided again.
fn verdicts(hook: &str, mode: QueueMode) -> String {
    let (watched, decided) = (marks::WATCHED, marks::DECIDED);
    let mut body = String::new();
    match mode {
        QueueMode::All => return body,
        QueueMode::Strict => {
            line(&mut body, &format!("{} ct mark set ct mark | {watched:#x}", has("meta", watched)));
        }
        QueueMode::Control => {
            let undecided = format!("ct mark set ct mark & {:#x} | {watched:#x}", !decided);
            line(&mut body, &format!("{} {undecided}", has("meta", watched)));
            line(&mut body, &format!("{} ct mark set ct mark | {decided:#x}", has("meta", decided)));
        }
    }
    chain(&format!("{hook}_verdicts"), hook, PRIORITY + 1, &body)
}

fn has(whose: &str, bit: u32) -> String {
    format!("{whose} mark & {bit:#x} == {bit:#x}")
}

fn line(body: &mut String, rule: &str) {
    *body += &format!("\t\t{rule}\n");
}

fn chain(name: &str, hook: &str, priority: i32, body: &str) -> String {
    format!(
        "\tchain {name} {{\n\t\ttype filter hook {hook} priority {priority}; policy accept;\n{body}\t}}\n"
    )
}

fn table(chains: &str) -> String {
    format!("table inet mpgate {{\n{chains}}}\n")
}

/// nftables where the kernel has its `queue` statement, else iptables.
pub fn best_backend() -> Backend {
    if has_queue_statement().is_ok() { Backend::Nft } else { Backend::Iptables }
}

pub(super) fn install(plan: &Plan) -> Result<(), AttachError> {
    has_queue_statement()?;
    NFT.run(&["-f", "-"], &script(plan)).map(drop)
}

pub(super) fn install_prefilter(plan: &Plan) -> Result<(), AttachError> {
    NFT.run(&["-f", "-"], &prefilter(plan)).map(drop)
}

/// Where `nft` is not installed, there is nothing of ours in it.
pub(super) fn remove() -> Result<(), AttachError> {
    match NFT.run(&["-f", "-"], CLEAR) {
        Ok(_) | Err(AttachError::Missing { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Asks the kernel, with a chain that is checked and not loaded. Whatever it says of a statement this simple, the
/// statement is what it lacks.
fn has_queue_statement() -> Result<(), AttachError> {
    let mut body = String::new();
    line(&mut body, "queue flags bypass to 0");
    let asked = format!("table inet mpgate_question {{\n{}}}\n", chain("any", "forward", PRIORITY, &body));
    match NFT.run(&["-c", "-f", "-"], &asked) {
        Ok(_) => Ok(()),
        Err(AttachError::Refused { .. }) => Err(AttachError::NoQueueStatement),
        Err(error) => Err(error),
    }
}

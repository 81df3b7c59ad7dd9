//! nftables: all rules of the nft backend, and those that choose packets for the iptables backend.

use crate::attach::tool::Tool;
use crate::attach::{AttachError, Backend, Plan, QueueMode};
use crate::marks;
use crate::wire::options::{self, AREA_MAX};

const NFT: Tool =
    Tool { name: "nft", remedy: "install nftables, or use --backend iptables with --mode strict or all" };

/// Behind connection tracking (-200), whose marks we read, and before NAT changes a destination (-100); where iptables'
/// mangle table sits.
const PRIORITY: i32 = -150;

/// Bytes of the MP_JOIN in a third ACK (RFC 8684 3.2). The kernel's matching sees the first MPTCP option of a segment alone; a
/// segment that has no room for this one behind its DSS hides none.
const JOIN_ACK: usize = 24;

/// The shortest header, in words, that has room for it behind a DSS of four bytes, or any shorter option.
const JOIN_BEHIND_DSS_DOFF: usize = (20 + 4 + JOIN_ACK) / 4;

/// The first four bytes of options of a segment with timestamps, as Linux writes them: NOP, NOP, kind 8, 10 bytes long.
const TIMESTAMPS: u32 = 0x0101_080a;

/// Loaded before a new table, it leaves none of the old one; alone, it takes ours out, and a table that is not there is
/// no error.
const CLEAR: &str = "table inet mpgate\ndelete table inet mpgate\n";

/// The whole ruleset of the nft backend.
pub(super) fn script(plan: &Plan) -> String {
    let queue = queue_statement(plan);
    let chains = match plan.mode {
        QueueMode::All => hooked(plan, PRIORITY, &[own_resets_pass(), format!("meta l4proto tcp {queue}")]),
        QueueMode::Control | QueueMode::Strict => {
            let came_back = format!("{} goto answered", has("meta", marks::ANSWERED));
            ask(queue) + &answered() + &choosing(plan, PRIORITY, &[came_back])
        }
    };
    format!(
        "#!/usr/sbin/nft -f\n# {} --print\n# Out with it: mpgate detach, or nft delete table inet mpgate\n\n{CLEAR}{}",
        plan.command(Backend::Nft),
        table(&chains)
    )
}

/// What the iptables backend borrows in `control` mode: packets for the gate get a mark just before the mangle table reads
/// it.
pub(super) fn prefilter(plan: &Plan) -> String {
    let ask = chain("ask", &[own_resets_pass(), set("meta", u32::MAX, marks::ASKED)]);
    format!("{CLEAR}{}", table(&(ask + &choosing(plan, PRIORITY - 1, &[]))))
}

/// The chains that choose packets for chain `ask`. Most packets have no MPTCP option and belong to no connection that is
/// watched: they meet `first` and two rules, in mode `control` three. Most others are data and acknowledgements of MPTCP: what is
/// rarer has chains of its own, since each rule costs a packet some hundredths of a microsecond. Most SYNs with MPTCP lead to a
/// connection that is watched, so it is marked at once; the gate takes back what is wrong.
fn choosing(plan: &Plan, priority: i32, first: &[String]) -> String {
    let opening = "tcp flags & (syn | ack) == syn";
    let data = "tcp flags & (syn | fin | rst) == 0";
    let mut rules = first.to_vec();
    let (watched, by_option) = match plan.mode {
        QueueMode::Control => {
            // What is not decided is the handshake, which begins anew.
            let marked = format!("{opening} {}", set("ct", !marks::DECIDED, marks::WATCHED));
            rules.push(format!(
                "{} {} jump usual",
                word(12, 0xa007_0000, 0xa000_0000),
                word(20, u32::MAX, TIMESTAMPS)
            ));
            let by_option = [
                usual(),
                chain("with_others", &[marked, "goto ask".to_owned()]),
                chain("with_dss", &["tcp flags & syn == syn goto with_others".to_owned()]),
                chain(
                    "has_mptcp",
                    &[
                        "tcp option mptcp subtype != 2 goto with_others".to_owned(),
                        "tcp flags & (syn | fin | rst) != 0 goto with_dss".to_owned(),
                        format!("tcp doff < {} accept", JOIN_BEHIND_DSS_DOFF),
                        format!("tcp option mptcp length > {} accept", AREA_MAX - JOIN_ACK),
                    ],
                ),
            ];
            (format!("{data} {} accept", has("ct", marks::DECIDED)), by_option.concat())
        }
        QueueMode::Strict | QueueMode::All => {
            let marked = format!("{opening} {}", set("ct", u32::MAX, marks::SAVED));
            (format!("{data} accept"), chain("has_mptcp", &[marked, "goto ask".to_owned()]))
        }
    };
    rules.push("tcp option mptcp exists jump has_mptcp".to_owned());
    rules.push(format!("{} goto watched", has("ct", marks::WATCHED)));
    chain("watched", &[watched, "goto ask".to_owned()]) + &by_option + &hooked(plan, priority, &rules)
}

/// Data and acknowledgements of MPTCP as Linux sends them pass at once: timestamps, then a DSS, behind which an MP_JOIN has no
/// room. The kernel compares words at fixed places in a fraction of the time in which it looks for an option. Of data offsets,
/// 10, 11, 14 and 15 come here: an acknowledgement has 11, and a DSS of 12 bytes; data has 14 or 15, and a DSS of 16 to 28 (26
/// once both sides have sent data). One that says it is longer than the header has no receiver that reads on behind it.
fn usual() -> String {
    let acknowledgement = [word(12, 0xf000_0000, 0xb000_0000), word(32, 0xffff_f000, dss(12))];
    let data = [word(12, 0xe000_0000, 0xe000_0000), word(32, 0xfff0_f000, dss(16))];
    chain("usual", &[acknowledgement, data].map(|words| format!("{} accept", words.join(" "))))
}

/// How a DSS of so many bytes begins.
const fn dss(len: u8) -> u32 {
    u32::from_be_bytes([options::MPTCP, len, 2 << 4, 0])
}

/// Whether these bits of the TCP header's four bytes from `at` are those.
fn word(at: usize, bits: u32, those: u32) -> String {
    let mask = if bits == u32::MAX { String::new() } else { format!(" & {bits:#x}") };
    format!("@th,{},32{mask} == {those:#x}", 8 * at)
}

/// Hands packets to the gate, with what is saved of their connection.
fn ask(queue: String) -> String {
    let mut rules = vec![set("meta", !marks::SAVED, marks::ASKED)];
    rules.extend(copied("ct", "meta"));
    rules.push(queue);
    chain("ask", &rules)
}

/// Where packets come by that the gate has answered: its own resets, and those that it sent through the rules again.
fn answered() -> String {
    let mut rules = vec![own_resets_pass(), set("ct", !marks::SAVED, 0)];
    rules.extend(copied("meta", "ct"));
    rules.push(set("meta", !(marks::ASKED | marks::ANSWERED), 0));
    chain("answered", &rules)
}

/// nftables has no `or` of two marks, so each bit has its rule.
fn copied(from: &str, to: &str) -> [String; 2] {
    [marks::WATCHED, marks::DECIDED].map(|bit| format!("{} {}", has(from, bit), set(to, u32::MAX, bit)))
}

fn own_resets_pass() -> String {
    format!("meta mark & {:#x} == {:#x} accept", marks::ASKED | marks::ANSWERED, marks::ANSWERED)
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

fn has(whose: &str, bit: u32) -> String {
    format!("{whose} mark & {bit:#x} == {bit:#x}")
}

/// The bits `kept` of a mark stay, and those of `added` come.
fn set(whose: &str, kept: u32, added: u32) -> String {
    let mut statement = format!("{whose} mark set {whose} mark");
    if kept != u32::MAX {
        statement += &format!(" & {kept:#x}");
    }
    if added != 0 {
        statement += &format!(" | {added:#x}");
    }
    statement
}

fn chain(name: &str, rules: &[String]) -> String {
    let rules: String = rules.iter().map(|rule| format!("\t\t{rule}\n")).collect();
    format!("\tchain {name} {{\n{rules}\t}}\n")
}

/// A chain in each of the plan's hooks.
fn hooked(plan: &Plan, priority: i32, rules: &[String]) -> String {
    plan.hook.chains().iter().map(|hook| base_chain(hook, hook, priority, rules)).collect()
}

fn base_chain(name: &str, hook: &str, priority: i32, rules: &[String]) -> String {
    let place = format!("type filter hook {hook} priority {priority}; policy accept;");
    chain(name, &[&[place], rules].concat())
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
    let queues = base_chain("any", "forward", PRIORITY, &["queue flags bypass to 0".to_owned()]);
    let asked = format!("table inet mpgate_question {{\n{queues}}}\n");
    match NFT.run(&["-c", "-f", "-"], &asked) {
        Ok(_) => Ok(()),
        Err(AttachError::Refused { .. }) => Err(AttachError::NoQueueStatement),
        Err(error) => Err(error),
    }
}

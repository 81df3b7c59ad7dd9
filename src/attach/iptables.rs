//! iptables and ip6tables: our own chains in the mangle table, and one jump to each.

use std::path::Path;

use crate::attach::tool::Tool;
use crate::attach::{AttachError, Backend, Plan, QueueMode, nft};
use crate::marks::{self, SAVED};

const TABLE: &str = "mangle";

/// Every chain of ours is called so, and nothing else is taken out.
const PREFIX: &str = "MPGATE_";

/// Chooses packets, in mode `strict`.
const CHOOSE: &str = "MPGATE_CHOOSE";

/// Hands packets to the gate.
const ASK: &str = "MPGATE_ASK";

/// Saves what the gate said of packets that it sent through the rules again.
const ANSWERED: &str = "MPGATE_ANSWERED";

/// Seconds to wait for another iptables at work.
const WAIT_SECS: &str = "5";

/// What goes into the mangle table.
#[derive(Default)]
struct Rules {
    /// Our chains, with their rules.
    chains: Vec<(&'static str, Vec<String>)>,
    /// The rules that lead to them from chains of the kernel.
    jumps: Vec<Jump>,
}

/// A rule in a chain of the kernel that leads to one of ours.
struct Jump {
    /// `-A` or `-I`.
    how: &'static str,
    rule: String,
}

/// One of the two address families.
struct Family {
    save: Tool,
    restore: Tool,
}

const REMEDY: &str = "install iptables, or use --backend nft where the kernel has its `queue` statement";

const V4: Family = Family {
    save: Tool { name: "iptables-save", remedy: REMEDY },
    restore: Tool { name: "iptables-restore", remedy: REMEDY },
};

const V6: Family = Family {
    save: Tool { name: "ip6tables-save", remedy: REMEDY },
    restore: Tool { name: "ip6tables-restore", remedy: REMEDY },
};

/// The families that the kernel has: one that was started with `ipv6.disable=1` has one.
fn families() -> &'static [Family] {
    if Path::new("/proc/sys/net/ipv6").exists() { &[V4, V6] } else { &[V4] }
}

/// A shell script that puts the rules in, or replaces them.
pub(super) fn script(plan: &Plan) -> String {
    let rules = rules(plan);
    let mut text = format!(
        "#!/bin/sh\n# {} --print\n# Out with it: mpgate detach\nset -e\n\n",
        plan.command(Backend::Iptables)
    );
    if plan.mode == QueueMode::Control {
        text += &format!("nft -f - <<'RULES'\n{}RULES\n\n", nft::prefilter(plan));
    }
    text += "for family in iptables ip6tables; do\n";
    for Jump { rule, .. } in &rules.jumps {
        text += &format!("  while $family -w {WAIT_SECS} -t {TABLE} -D {rule} 2>/dev/null; do :; done\n");
    }
    let restored = rules.restore(&[]);
    text += &format!("  $family-restore --noflush -w {WAIT_SECS} <<'RULES'\n{restored}RULES\ndone\n");
    text
}

pub(super) fn install(plan: &Plan) -> Result<(), AttachError> {
    if plan.mode == QueueMode::Control {
        nft::install_prefilter(plan)?;
    } else {
        nft::remove()?;
    }
    families().iter().try_for_each(|family| family.replace(Some(&rules(plan))))
}

/// Where iptables is not installed, there is nothing of ours in it.
pub(super) fn remove() -> Result<(), AttachError> {
    for family in families() {
        match family.replace(None) {
            Ok(()) | Err(AttachError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn rules(plan: &Plan) -> Rules {
    let (first, jump) = match plan.mode {
        QueueMode::Control => (format!("-m mark --mark {}", masked(marks::ASKED)), ASK),
        QueueMode::Strict => ("-p tcp".to_owned(), CHOOSE),
        QueueMode::All => ("-p tcp".to_owned(), ASK),
    };
    let mut rules = Rules::default();
    for hook in plan.hook.chains() {
        let hook = hook.to_uppercase();
        // Behind the rules of others, since a queued packet sees no more of this chain.
        rules.jumps.push(Jump { how: "-A", rule: format!("{hook} {first} -j {jump}") });
        if plan.mode != QueueMode::All {
            // Before the rules of others, which a packet that comes back has met already.
            let came_back = masked(marks::ASKED | marks::ANSWERED);
            rules
                .jumps
                .push(Jump { how: "-I", rule: format!("{hook} -m mark --mark {came_back} -j {ANSWERED}") });
        }
    }
    let own_resets_pass =
        format!("-m mark --mark {:#x}/{:#x} -j RETURN", marks::ANSWERED, marks::ASKED | marks::ANSWERED);
    let queue = queue_target(plan);
    let asked = format!("-j MARK --set-xmark {}", masked(marks::ASKED));
    let told = format!("-j CONNMARK --restore-mark --nfmask {SAVED:#x} --ctmask {SAVED:#x}");
    let ask = match plan.mode {
        // nftables has chosen already: its rules see all of a TCP header, and cost less.
        QueueMode::Control => vec![told, queue],
        QueueMode::Strict => vec![own_resets_pass, asked, told, queue],
        QueueMode::All => vec![own_resets_pass, queue],
    };
    rules.chains.push((ASK, ask));
    if plan.mode == QueueMode::Strict {
        let chosen = vec![
            format!(
                "-p tcp --tcp-flags SYN,ACK SYN --tcp-option 30 -j CONNMARK --set-xmark {}",
                masked(SAVED)
            ),
            format!("-p tcp --tcp-option 30 -j {ASK}"),
            "-p tcp --tcp-flags SYN,FIN,RST NONE -j RETURN".to_owned(),
            format!("-m connmark --mark {} -j {ASK}", masked(marks::WATCHED)),
        ];
        rules.chains.push((CHOOSE, chosen));
    }
    if plan.mode != QueueMode::All {
        let saved = format!("-j CONNMARK --save-mark --nfmask {SAVED:#x} --ctmask {SAVED:#x}");
        let spent = format!("-j MARK --set-xmark 0x0/{:#x}", marks::ASKED | marks::ANSWERED);
        rules.chains.push((ANSWERED, vec![saved, spent, "-j ACCEPT".to_owned()]));
    }
    rules
}

fn queue_target(plan: &Plan) -> String {
    let queues = if plan.first_queue == plan.last_queue {
        format!("--queue-num {}", plan.first_queue)
    } else {
        format!("--queue-balance {}:{}", plan.first_queue, plan.last_queue)
    };
    // One queue has nothing to spread, and iptables says so.
    let fanout = if plan.fanout && plan.first_queue != plan.last_queue { " --queue-cpu-fanout" } else { "" };
    let bypass = if plan.bypass { " --queue-bypass" } else { "" };
    format!("-j NFQUEUE {queues}{fanout}{bypass}")
}

fn masked(bit: u32) -> String {
    format!("{bit:#x}/{bit:#x}")
}

impl Rules {
    /// As `iptables-restore --noflush` reads it: one transaction, in which `first` comes first.
    fn restore(&self, first: &[String]) -> String {
        let declared = self.chains.iter().map(|(chain, _)| format!(":{chain} - [0:0]"));
        let rules = self
            .chains
            .iter()
            .flat_map(|(chain, rules)| rules.iter().map(move |rule| format!("-A {chain} {rule}")));
        let jumps = self.jumps.iter().map(|Jump { how, rule }| format!("{how} {rule}"));
        let lines: Vec<_> = first.iter().cloned().chain(declared).chain(rules).chain(jumps).collect();
        format!("*{TABLE}\n{}\nCOMMIT\n", lines.join("\n"))
    }
}

impl Family {
    /// Puts `rules` in the place of all that is ours; a table changes in one step.
    fn replace(&self, rules: Option<&Rules>) -> Result<(), AttachError> {
        let mut old = ours(&self.save.run(&[], "")?);
        let mut text = String::new();
        if let Some(rules) = rules {
            let undone = old.iter().position(|undo| undo.table == TABLE).map(|at| old.swap_remove(at));
            text += &rules.restore(&undone.map(Undo::lines).unwrap_or_default());
        }
        for undo in old {
            text += &format!("*{}\n{}\nCOMMIT\n", undo.table.clone(), undo.lines().join("\n"));
        }
        if text.is_empty() {
            return Ok(());
        }
        self.restore.run(&["--noflush", "-w", WAIT_SECS], &text).map(drop)
    }
}

/// What of ours is in one table, and how to take it out.
#[derive(Debug, PartialEq, Eq)]
struct Undo {
    table: String,
    jumps: Vec<String>,
    chains: Vec<String>,
}

impl Undo {
    fn lines(self) -> Vec<String> {
        let flush = self.chains.iter().map(|chain| format!("-F {chain}"));
        let delete = self.chains.iter().map(|chain| format!("-X {chain}"));
        self.jumps.iter().map(|jump| format!("-D {jump}")).chain(flush).chain(delete).collect()
    }
}

/// Reads what `iptables-save` printed: our chains, and the jumps to them, in each table that has any.
fn ours(saved: &str) -> Vec<Undo> {
    let mut found: Vec<Undo> = Vec::new();
    for line in saved.lines() {
        if let Some(table) = line.strip_prefix('*') {
            found.push(Undo { table: table.to_owned(), jumps: Vec::new(), chains: Vec::new() });
            continue;
        }
        let Some(undo) = found.last_mut() else { continue };
        if let Some(chain) = line.strip_prefix(':').and_then(|rest| rest.split(' ').next()) {
            undo.chains.extend(chain.starts_with(PREFIX).then(|| chain.to_owned()));
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let leads_to_us = rule.contains(&format!("-j {PREFIX}")) && !rule.starts_with(PREFIX);
            undo.jumps.extend(leads_to_us.then(|| rule.to_owned()));
        }
    }
    found.retain(|undo| !undo.jumps.is_empty() || !undo.chains.is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_is_taken_out() {
        let saved = "# Generated\n*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\nCOMMIT\n*mangle\n\
            :FORWARD ACCEPT [3:4]\n:MPGATE_FORWARD - [0:0]\n:OTHERS - [0:0]\n-A FORWARD -p tcp -j OTHERS\n\
            -A FORWARD -p tcp -j MPGATE_FORWARD\n-A MPGATE_FORWARD -p tcp -j NFQUEUE --queue-num 0\nCOMMIT\n";
        let undo = Undo {
            table: "mangle".to_owned(),
            jumps: vec!["FORWARD -p tcp -j MPGATE_FORWARD".to_owned()],
            chains: vec!["MPGATE_FORWARD".to_owned()],
        };
        let found = ours(saved);
        assert_eq!(found, [undo]);
        let lines: Vec<_> = found.into_iter().flat_map(Undo::lines).collect();
        assert_eq!(lines, ["-D FORWARD -p tcp -j MPGATE_FORWARD", "-F MPGATE_FORWARD", "-X MPGATE_FORWARD"]);
    }
}

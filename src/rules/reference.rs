//! The rule language in short, from the same tables that read it.

use crate::rules::values::Key;
use crate::rules::{keys, policy, settings};

/// Every key of a rule file with what it takes.
pub fn reference() -> String {
    format!(
        "Keys of [policy], for what no rule matches:\n{}\n\
         Keys of [limits], which hold whatever the rules accept:\n{}\n\
         Keys of [normalize], for TCP options other than MPTCP:\n{}\n\
         [sets] gives names to lists of addresses, ports or names:\n  \
         erp = [\"192.0.2.10\", \"2001:db8::/64\", \"@other\"]   web = [443, \"8000-8099\"]   bad = {{ file = \"list.txt\" }}\n\n\
         Keys of [[rule]]; the first rule that matches speaks:\n{}",
        section(&policy::KEYS),
        section(&settings::LIMITS),
        section(&settings::NORMALIZE),
        section(&keys::KEYS)
    )
}

fn section<D>(keys: &[Key<D>]) -> String {
    keys.iter().map(line).collect()
}

fn line<D>(key: &Key<D>) -> String {
    let words = (key.words)().join(" ");
    let words = if words.is_empty() { words } else { format!("\n{:27}{words}", "") };
    let name = if key.is_negatable() { format!("{0}, {0}_not", key.name) } else { key.name.to_owned() };
    let gap = if name.len() > 23 { format!("\n{:25}", "") } else { String::new() };
    format!("  {name:<23}{gap}  {}: {}{words}\n", key.about, key.shape.takes())
}

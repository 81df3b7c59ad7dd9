//! The rule language in short, from the same tables that read it.

use crate::rules::values::Key;
use crate::rules::{keys, policy};

/// Every key of a rule file with what it takes.
pub fn reference() -> String {
    format!(
        "Keys of [policy], for what no rule matches:\n{}\n\
         [sets] gives names to lists of addresses: erp = [\"192.0.2.10\", \"2001:db8::/64\", \"@other\"]\n\n\
         Keys of [[rule]]; the first rule that matches speaks:\n{}",
        section(&policy::KEYS),
        section(&keys::KEYS)
    )
}

fn section<D>(keys: &[Key<D>]) -> String {
    let line = |key: &Key<D>| {
        let words = (key.words)().join(" ");
        let words = if words.is_empty() { words } else { format!("\n{:23}{words}", "") };
        format!("  {:<19}  {}: {}{words}\n", key.name, key.about, key.takes)
    };
    keys.iter().map(line).collect()
}

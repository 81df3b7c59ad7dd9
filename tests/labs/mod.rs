//! What tests of a lab need, whichever lab it is: what it printed, and what it left behind.

use std::fs;

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Names of namespaces and of files that bear the number of a lab's process.
pub(crate) fn left_by(pid: u32) -> Vec<String> {
    let directories = ["/run/netns".into(), std::env::temp_dir()];
    let entries = directories.iter().filter_map(|directory| fs::read_dir(directory).ok()).flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&format!("mpg{pid}-"))).collect()
}

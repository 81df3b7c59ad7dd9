//! What the kernel itself counts of its queues.

use std::fs;
use std::io;

/// The counters of the calling thread's network namespace.
const PATH: &str = "/proc/thread-self/net/netfilter/nfnetlink_queue";

/// One queue that somebody serves, as the kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelQueue {
    /// Its number.
    pub number: u16,
    /// The netlink port of who serves it, usually its process id.
    pub port: u32,
    /// Packets that wait for a verdict.
    pub waiting: u64,
    /// Packets lost because the queue was full.
    pub dropped_full: u64,
    /// Packets lost because the socket's buffer was full.
    pub dropped_user: u64,
}

/// All queues that are served in the calling thread's network namespace; none where the kernel cannot queue.
///
/// # Errors
/// When the kernel's file is there but cannot be read.
pub fn kernel_queues() -> io::Result<Vec<KernelQueue>> {
    match fs::read_to_string(PATH) {
        Ok(text) => Ok(text.lines().filter_map(parse).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Columns of `nfnetlink_queue`: number, port, waiting, copy mode, copy range, dropped by the queue, dropped before the
/// reader, the last packet's id, 1 (linux/net/netfilter/nfnetlink_queue.c, `seq_show`).
fn parse(line: &str) -> Option<KernelQueue> {
    let mut columns = line.split_ascii_whitespace();
    Some(KernelQueue {
        number: columns.next()?.parse().ok()?,
        port: columns.next()?.parse().ok()?,
        waiting: columns.next()?.parse().ok()?,
        dropped_full: columns.nth(2)?.parse().ok()?,
        dropped_user: columns.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_columns_are_told_apart() {
        let line = "   12  51234     3 2 65531     7     9       42  1";
        let queue = KernelQueue { number: 12, port: 51234, waiting: 3, dropped_full: 7, dropped_user: 9 };
        assert_eq!(parse(line), Some(queue));
    }

    #[test]
    fn a_line_that_is_cut_is_no_queue() {
        assert_eq!(parse("12 51234 3"), None);
        assert_eq!(parse(""), None);
    }
}

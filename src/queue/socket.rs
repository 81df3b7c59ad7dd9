//! The netlink socket that `nfq` keeps to itself: a second handle of it, for the options that the crate cannot set, and for
//! several packets, or verdicts, with one system call.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nfq::Queue;
use rustix::net::{AddressFamily, netlink, sockopt};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

/// Room for packets on their way to the worker. Measured at 150,000 packets a second: the default buffer lost 776 of
/// 300,000, this one none.
const RECV_BUFFER_BYTES: usize = 8 << 20;

/// How long a worker waits for a packet before it looks whether it shall stop.
const RECV_WAIT: Duration = Duration::from_millis(100);

/// Held while a socket is opened: two that open at once could take each other's.
static OPENING: Mutex<()> = Mutex::new(());

/// Opens a queue's socket, and a second handle of it.
pub(super) fn open() -> io::Result<(Queue, OwnedFd)> {
    let _alone = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    let before: HashSet<PathBuf> = descriptors()?.into_iter().map(|(_, target)| target).collect();
    let queue = Queue::open()?;
    let myself = pidfd_open(getpid(), PidfdFlags::empty())?;
    let ours = descriptors()?
        .into_iter()
        .filter(|(_, target)| !before.contains(target))
        .filter_map(|(fd, _)| pidfd_getfd(&myself, fd, PidfdGetfdFlags::empty()).ok())
        .find(is_netfilter);
    let ours =
        ours.ok_or_else(|| io::Error::other("the queue's socket is not among the descriptors in /proc"))?;
    Ok((queue, ours))
}

/// What is open, with the name that tells a socket from every other one: its inode, `socket:[4711]`. Numbers alone would
/// not do, since they are used again.
fn descriptors() -> io::Result<Vec<(RawFd, PathBuf)>> {
    let open = fs::read_dir("/proc/self/fd")?.filter_map(Result::ok);
    Ok(open
        .filter_map(|entry| {
            let fd = entry.file_name().to_str()?.parse().ok()?;
            Some((fd, fs::read_link(entry.path()).ok()?))
        })
        .collect())
}

fn is_netfilter(fd: &OwnedFd) -> bool {
    sockopt::socket_domain(fd) == Ok(AddressFamily::NETLINK)
        && sockopt::socket_protocol(fd) == Ok(Some(netlink::NETFILTER))
}

/// Gives the socket its large buffer (as large as `net.core.rmem_max` allows, where the larger one is refused), and
/// bounds the wait for a packet.
pub(super) fn tune(socket: impl AsFd) -> io::Result<()> {
    if sockopt::set_socket_recv_buffer_size_force(&socket, RECV_BUFFER_BYTES).is_err() {
        sockopt::set_socket_recv_buffer_size(&socket, RECV_BUFFER_BYTES)?;
    }
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(RECV_WAIT))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_handle_is_of_the_queues_own_socket_and_no_other() {
        let others: Vec<_> = (0..8).map(|_| std::thread::spawn(|| open().unwrap())).collect();
        let (_queue, ours) = open().unwrap();
        let before = sockopt::socket_recv_buffer_size(&ours).unwrap();
        tune(&ours).unwrap();
        assert!(sockopt::socket_recv_buffer_size(&ours).unwrap() > before);
        for other in others {
            let (_queue, other) = other.join().unwrap();
            assert!(is_netfilter(&other));
            assert_eq!(sockopt::socket_recv_buffer_size(&other).unwrap(), before);
        }
    }
}

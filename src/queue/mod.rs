//! The door to the kernel: packets come in by NFQUEUE, verdicts go back, resets leave by raw sockets.

mod socket;
mod inbox;
mod interfaces;
mod passage;
mod resets;
mod report;
mod verdicts;
mod whole;
mod worker;
mod kernel;

use std::io;

pub use kernel::{KernelQueue, kernel_queues};
pub use whole::whole_queue;
pub use worker::Worker;

/// Packets that may wait in the kernel for a verdict. Measured: 1024 costs less a packet than 8192, and it bounds what
/// sits still when a worker hangs.
pub const PACKETS_MAX: u32 = 1024;

/// How one queue is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    /// The queue's number in its network namespace.
    pub number: u16,
    /// A packet that finds the queue full goes on undecided, instead of being lost.
    pub fail_open: bool,
    /// Packets that may wait for a verdict; [`PACKETS_MAX`] unless there is a reason.
    pub packets_max: u32,
    /// Bytes that somebody wants of each packet beside its headers, which are always handed over; copying them costs.
    pub copy_bytes: u16,
}

/// Why a queue cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Somebody else serves it.
    #[error(
        "queue {number} is in use by another program (netlink port {port}, usually its process id); stop that, or choose another --queue"
    )]
    InUse {
        /// The queue.
        number: u16,
        /// Who holds it.
        port: u32,
    },
    /// Configuring netfilter is not allowed.
    #[error(
        "queue {number} cannot be bound: CAP_NET_ADMIN is missing; run as root, or give the program that capability"
    )]
    NoNetAdmin {
        /// The queue.
        number: u16,
    },
    /// Raw sockets are not allowed.
    #[error(
        "resets cannot be sent: CAP_NET_RAW is missing; run as root, or give the program that capability"
    )]
    NoNetRaw,
    /// The raw sockets cannot be opened.
    #[error("the raw sockets for resets cannot be opened: {source}")]
    Resets {
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel cannot queue packets.
    #[error(
        "this kernel has no nfnetlink_queue ({source}); load the module, or use a kernel with CONFIG_NETFILTER_NETLINK_QUEUE"
    )]
    NoKernelSupport {
        /// What the kernel said.
        source: io::Error,
    },
    /// A step of the setting up failed.
    #[error("queue {number}: {step}: {source}")]
    Setup {
        /// The queue.
        number: u16,
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

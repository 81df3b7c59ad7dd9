//! The kernel's side of the gate: the rules that queue packets, put in and taken out whole.

mod tool;
mod nft;
mod iptables;

use std::io;

use clap::ValueEnum;
use rustix::thread::CapabilitySet;

pub use nft::best_backend;

/// Where packets are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Hook {
    /// What this machine routes.
    Forward,
    /// What comes for this machine itself.
    Input,
    /// What this machine itself sends.
    Output,
    /// What this machine itself receives and sends.
    Host,
}

/// Which packets are queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QueueMode {
    /// Opening, joining, announcing and ending; data never leaves the kernel. A segment after the SYN is known by its
    /// first MPTCP option only.
    Control,
    /// Every packet with an MPTCP option, wherever in the header it stands.
    Strict,
    /// All TCP.
    All,
}

/// By which tool the rules go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// nftables alone: one table `inet mpgate`.
    Nft,
    /// iptables and ip6tables: chains `MPGATE_…`; `control` needs nftables too, to look into options.
    Iptables,
}

/// What to queue, from where, to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where packets are taken from.
    pub hook: Hook,
    /// Which.
    pub mode: QueueMode,
    /// The first of the queues that share the load.
    pub first_queue: u16,
    /// The last one; not below the first.
    pub last_queue: u16,
    /// The processor that a packet arrives on chooses the queue, not its flow: both directions of a flow may then meet
    /// different workers, which the gate bears.
    pub fanout: bool,
    /// Packets pass while nobody serves their queue, instead of being lost.
    pub bypass: bool,
    /// The tool; `None` takes nftables where the kernel has its `queue` statement, else iptables.
    pub backend: Option<Backend>,
}

/// Why the rules could not be put in or taken out.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// Not root.
    #[error("the kernel's rules cannot be changed: CAP_NET_ADMIN is missing; run it with sudo")]
    NotPermitted,
    /// A tool is not there.
    #[error("`{tool}` is not installed; {remedy}")]
    Missing {
        /// The tool.
        tool: &'static str,
        /// What helps.
        remedy: &'static str,
    },
    /// nftables without `queue`.
    #[error("this kernel's nftables has no `queue` statement; use --backend iptables")]
    NoQueueStatement,
    /// A tool said no.
    #[error("`{tool}` refused the rules: {said}")]
    Refused {
        /// The tool.
        tool: &'static str,
        /// What it said first.
        said: String,
    },
    /// A tool could not be run.
    #[error("`{tool}` cannot be run: {source}")]
    Unrunnable {
        /// The tool.
        tool: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl Hook {
    /// The kernel's hooks, by the name that nftables gives them.
    const fn chains(self) -> &'static [&'static str] {
        match self {
            Self::Forward => &["forward"],
            Self::Input => &["input"],
            Self::Output => &["output"],
            Self::Host => &["input", "output"],
        }
    }
}

impl Plan {
    /// The rules as text that loads as it is: a file for `nft -f`, or a shell script around `iptables-restore`. Loaded
    /// twice, it leaves one copy.
    pub fn script(&self, backend: Backend) -> String {
        match backend {
            Backend::Nft => nft::script(self),
            Backend::Iptables => iptables::script(self),
        }
    }

    /// Puts the rules in, in the calling thread's network namespace; leftovers of an earlier gate are replaced, rules of
    /// others are not touched. When a part fails, none stays.
    ///
    /// # Errors
    /// Not root, a tool is missing or says no.
    pub fn install(&self) -> Result<Attached, AttachError> {
        permitted()?;
        let backend = self.backend.unwrap_or_else(best_backend);
        let installed = match backend {
            Backend::Nft => iptables::remove().and_then(|()| nft::install(self)),
            Backend::Iptables => iptables::install(self),
        };
        if let Err(error) = installed {
            if let Err(left) = remove() {
                tracing::warn!("taking out what went in: {left}");
            }
            return Err(error);
        }
        tracing::info!("attached as by: {}", self.command(backend));
        Ok(Attached { in_place: true })
    }

    /// Takes out all rules of the gate, whichever plan they came from.
    ///
    /// # Errors
    /// Not root, or a tool says no.
    pub fn remove(&self) -> Result<(), AttachError> {
        remove()
    }

    /// The command that makes this plan.
    fn command(&self, backend: Backend) -> String {
        let queue = if self.first_queue == self.last_queue {
            self.first_queue.to_string()
        } else {
            format!("{}-{}", self.first_queue, self.last_queue)
        };
        let fanout = if self.fanout { " --fanout" } else { "" };
        let closed = if self.bypass { "" } else { " --fail-closed" };
        format!(
            "mpgate attach --hook {} --mode {} --queue {queue} --backend {}{fanout}{closed}",
            word(&self.hook),
            word(&self.mode),
            word(&backend),
        )
    }
}

/// Takes out all rules of the gate in the calling thread's network namespace; nothing to take out is no error.
///
/// # Errors
/// Not root, or a tool says no.
pub fn remove() -> Result<(), AttachError> {
    permitted()?;
    iptables::remove()?;
    nft::remove()
}

/// Rules that are in place; they are taken out when this is dropped.
#[derive(Debug)]
#[must_use = "dropping it takes the rules out"]
pub struct Attached {
    in_place: bool,
}

impl Attached {
    /// Takes the rules out, and says so when that fails.
    ///
    /// # Errors
    /// As [`remove`].
    pub fn detach(mut self) -> Result<(), AttachError> {
        self.in_place = false;
        remove()
    }

    /// Leaves the rules in place for good.
    pub fn keep(mut self) {
        self.in_place = false;
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if !self.in_place {
            return;
        }
        if let Err(error) = remove() {
            tracing::error!("the kernel's rules stay in place: {error}; `mpgate detach` takes them out");
        }
    }
}

fn permitted() -> Result<(), AttachError> {
    match rustix::thread::capabilities(None) {
        Ok(sets) if sets.effective.contains(CapabilitySet::NET_ADMIN) => Ok(()),
        _ => Err(AttachError::NotPermitted),
    }
}

/// How the command line spells it.
fn word(choice: &impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

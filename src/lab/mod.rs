//! A client with two links, a router with the gate, and a server, in network namespaces of their own: real data over
//! real MPTCP sockets, judged from what was measured.
//!
//! Invariant: whatever happens, nothing is left behind. Each namespace, process and file belongs to a value whose
//! `Drop` takes it away, and every wait ends early when a signal asks for it.

mod interrupt;
mod netns;
mod family;
mod world;
mod traffic;
mod counters;
mod capture;
mod forge;
mod program;
mod gate;
mod display;
mod report;
mod stage;
mod scenes;
pub mod proxy;
pub mod boxes;

use std::io;
use std::time::Duration;

pub use family::Family;
pub use report::{Check, Report, SceneReport};
pub use scenes::SCENES;

use interrupt::Interrupt;
use stage::Stage;

/// What to show.
#[derive(Clone, Debug)]
pub struct Options {
    /// Numbers of scenes, in the order in which they are played; those of [`SCENES`].
    pub scenes: Vec<u8>,
    /// Bytes of one transfer; by default so many that one takes between one and eight seconds.
    pub bytes: Option<u64>,
    /// The IP version of all addresses.
    pub family: Family,
}

/// Why the lab, or a scene of it, did not come to an end.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Only root makes namespaces.
    #[error("the lab makes network namespaces, which only root may: run it with sudo")]
    NotRoot,
    /// A program is not installed.
    #[error("`{tool}` is missing: install the package {package} (apt install {package})")]
    ToolMissing {
        /// The program.
        tool: &'static str,
        /// Debian's and Ubuntu's package.
        package: &'static str,
    },
    /// The kernel cannot do MPTCP.
    #[error("this kernel has no MPTCP (/proc/sys/net/mptcp is missing): boot one with CONFIG_MPTCP")]
    NoMptcp,
    /// A signal asked to end.
    #[error("interrupted")]
    Interrupted,
    /// The operating system refused.
    #[error("{doing}: {error}")]
    Io {
        /// What was being done.
        doing: String,
        /// What it said.
        error: io::Error,
    },
    /// A program failed.
    #[error("`{command}` failed: {said}")]
    Command {
        /// The command line.
        command: String,
        /// Its standard error.
        said: String,
    },
    /// A wait was longer than it may be.
    #[error("waited {} s in vain for {what}", limit.as_secs())]
    Overdue {
        /// What should have happened.
        what: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The gate does not do what it should, so that the scene cannot go on.
    #[error("the gate {what}; it said: {said}")]
    Gate {
        /// What it did.
        what: String,
        /// The end of its standard error.
        said: String,
    },
    /// Data came that was never sent.
    #[error("the data differs from what was sent, in the 64 KiB from byte {at}")]
    DataDiffers {
        /// Where the wrong block begins.
        at: u64,
    },
}

/// Names what was being done when the operating system refused.
fn doing(what: impl Into<String>) -> impl FnOnce(io::Error) -> LabError {
    move |error| LabError::Io { doing: what.into(), error }
}

/// Plays the scenes one after the other, each in a fresh world, and says how they went.
///
/// A scene that fails does not keep the others from being played. Standard error shows what goes on.
///
/// # Errors
/// When no scene can be played here, or a signal ended the lab.
pub fn run(options: &Options) -> Result<Report, LabError> {
    netns::preflight()?;
    let stage = Stage::new(options, Interrupt::watch()?);
    let chosen =
        options.scenes.iter().filter_map(|number| SCENES.iter().find(|scene| scene.number == *number));
    let scenes = chosen.map(|scene| stage.play(scene)).collect::<Result<Vec<_>, _>>()?;
    Ok(Report::new(options.family, scenes))
}

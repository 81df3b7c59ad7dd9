//! The gate in the lab: this very program, as `mpgate run` in the router's namespace.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use tempfile::TempDir;

use crate::lab::interrupt::Interrupt;
use crate::lab::program::Program;
use crate::lab::report::Check;
use crate::lab::world::World;
use crate::lab::{LabError, doing};

/// Binding a queue and writing the kernel rules takes well under a second.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// On SIGTERM it takes its kernel rules out and drains.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Where it serves its metrics, in the router's namespace.
const LISTEN: &str = "127.0.0.1:9464";

/// The queue that it binds.
const QUEUE: &str = "0";

/// Which packets the kernel brings to the gate.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    /// Opening, joining, announcing and ending of MPTCP.
    Control,
    /// All TCP.
    All,
}

impl Mode {
    /// As `--mode` spells it.
    const fn word(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::All => "all",
        }
    }
}

/// `mpgate run`, killed when this value goes.
#[derive(Debug)]
pub(super) struct Gate<'w> {
    world: &'w World,
    program: Program,
    rules: RuleFile,
}

/// A rule file that goes when this value does.
#[derive(Debug)]
struct RuleFile {
    path: PathBuf,
    _dir: TempDir,
}

impl RuleFile {
    fn create(rules: &str) -> Result<Self, LabError> {
        let prefix = format!("mpg{}-", std::process::id());
        let dir = tempfile::Builder::new().prefix(&prefix).tempdir().map_err(doing("making a directory"))?;
        let file = Self { path: dir.path().join("rules.toml"), _dir: dir };
        file.write(rules)?;
        Ok(file)
    }

    fn write(&self, rules: &str) -> Result<(), LabError> {
        fs::write(&self.path, rules).map_err(doing(format!("writing {}", self.path.display())))
    }
}

impl<'w> Gate<'w> {
    /// Starts it with these rules and waits until its queue is bound.
    pub(super) fn start(
        world: &'w World,
        interrupt: &Interrupt,
        mode: Mode,
        rules: &str,
    ) -> Result<Self, LabError> {
        let rules = RuleFile::create(rules)?;
        let mut command = mpgate()?;
        command.args(["run", "--queue", QUEUE, "--attach", "forward", "--mode", mode.word()]);
        command.args(["--backend", "iptables", "--listen", LISTEN, "--rules"]).arg(&rules.path);
        let program = Program::start(&world.router, "the gate", &mut command)?;
        let mut gate = Self { world, program, rules };
        interrupt.until("the gate's word that it is ready", READY_LIMIT, || gate.ready())?;
        Ok(gate)
    }

    /// Puts other rules in their file; the gate notices by itself.
    pub(super) fn rewrite_rules(&self, rules: &str) -> Result<(), LabError> {
        self.rules.write(rules)
    }

    /// The value of one series, spelt as `/metrics` does. All are there from the start.
    pub(super) fn metric(&self, series: &str) -> Result<u64, LabError> {
        let page = self.metrics()?;
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let missing = || doing("reading the gate's metrics")(std::io::Error::other(format!("no {series}")));
        value.and_then(|value| value.parse().ok()).ok_or_else(missing)
    }

    /// The sum of those series of a family that have a label.
    pub(super) fn sum(&self, family: &str, label: &str) -> Result<u64, LabError> {
        let value = |line: &str| {
            let (labels, value) = line.strip_prefix(family)?.strip_prefix('{')?.split_once("} ")?;
            value.parse::<u64>().ok().filter(|_| labels.contains(label))
        };
        Ok(self.metrics()?.lines().filter_map(value).sum())
    }

    fn metrics(&self) -> Result<String, LabError> {
        self.world.router.inside(|| {
            let page = minreq::get(format!("http://{LISTEN}/metrics")).with_timeout(5).send();
            let text = page.and_then(|page| page.as_str().map(str::to_owned));
            text.map_err(|error| doing("reading the gate's metrics")(std::io::Error::other(error)))
        })
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn terminate(mut self, interrupt: &Interrupt) -> Result<ExitStatus, LabError> {
        self.program.terminate()?;
        interrupt.until("the gate to end on SIGTERM", END_LIMIT, || self.program.ended())
    }

    /// Asks it to end, and judges how it does.
    pub(super) fn end(self, interrupt: &Interrupt) -> Result<Check, LabError> {
        let world = self.world;
        let status = self.terminate(interrupt)?;
        let left = queue_rules(world)?;
        let measured = format!("{status}, {left} left");
        Ok(Check::that("SIGTERM leaves no kernel rule", measured, status.success() && left == 0))
    }

    /// Gives it no chance to put anything in order.
    pub(super) fn kill(mut self) -> Result<(), LabError> {
        self.program.kill()
    }

    fn ready(&mut self) -> Result<Option<()>, LabError> {
        if let Some(status) = self.program.ended()? {
            return Err(LabError::Gate { what: format!("ended with {status}"), said: self.program.said() });
        }
        Ok(self.program.is_ready().then_some(()))
    }
}

/// Takes out the kernel rules that a gate left.
pub(super) fn detach(world: &World) -> Result<(), LabError> {
    let program = std::env::current_exe().map_err(doing("finding this program"))?;
    world.router.tool(&program.to_string_lossy(), &["detach"], "").map(drop)
}

/// How many kernel rules of the router send packets to a queue.
pub(super) fn queue_rules(world: &World) -> Result<usize, LabError> {
    let rules = world.router.tool(&format!("{}-save", world.family.iptables()), &[], "")?;
    Ok(rules.lines().filter(|line| line.contains("NFQUEUE")).count())
}

fn mpgate() -> Result<Command, LabError> {
    std::env::current_exe().map(Command::new).map_err(doing("finding this program"))
}

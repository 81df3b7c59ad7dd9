//! The gate in the lab: this very program, as `mpgate run` in the router's namespace.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::lab::interrupt::Interrupt;
use crate::lab::world::World;
use crate::lab::{LabError, doing};

/// Binding a queue and writing the kernel rules takes well under a second.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// On SIGTERM it takes its kernel rules out and drains.
const END_LIMIT: Duration = Duration::from_secs(10);

/// Lines of standard error that are kept for the one who has to find out.
const SAID_MAX: usize = 20;

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
    child: Child,
    rules: RuleFile,
    said: Said,
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

/// The end of a process's standard error.
#[derive(Clone, Debug, Default)]
struct Said(Arc<Mutex<Transcript>>);

#[derive(Debug, Default)]
struct Transcript {
    lines: VecDeque<String>,
    ready: bool,
}

impl Said {
    fn transcript(&self) -> MutexGuard<'_, Transcript> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads until the process closes its standard error.
    fn listen(&self, stderr: ChildStderr) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut transcript = self.transcript();
            // A word of its own: an error can say `already`.
            transcript.ready |= line.split_whitespace().any(|word| word == "ready");
            if transcript.lines.len() == SAID_MAX {
                transcript.lines.pop_front();
            }
            transcript.lines.push_back(line);
        }
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
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = world.router.start(&mut command)?;
        let said = Said::default();
        if let Some(stderr) = child.stderr.take() {
            let listening = said.clone();
            thread::spawn(move || listening.listen(stderr));
        }
        let mut gate = Self { world, child, rules, said };
        interrupt.until("the gate's word that it is ready", READY_LIMIT, || gate.ready())?;
        Ok(gate)
    }

    /// Puts other rules in their file; the gate notices by itself.
    pub(super) fn rewrite_rules(&self, rules: &str) -> Result<(), LabError> {
        self.rules.write(rules)
    }

    /// The value of one series, spelt as `/metrics` does. All are there from the start.
    pub(super) fn metric(&self, series: &str) -> Result<u64, LabError> {
        let page = self.world.router.inside(|| {
            let page = minreq::get(format!("http://{LISTEN}/metrics")).with_timeout(5).send();
            let text = page.and_then(|page| page.as_str().map(str::to_owned));
            text.map_err(|error| doing("reading the gate's metrics")(std::io::Error::other(error)))
        })?;
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let missing = || doing("reading the gate's metrics")(std::io::Error::other(format!("no {series}")));
        value.and_then(|value| value.parse().ok()).ok_or_else(missing)
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn terminate(mut self, interrupt: &Interrupt) -> Result<ExitStatus, LabError> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .map_err(|error| doing("ending the gate")(error.into()))?;
        interrupt.until("the gate to end on SIGTERM", END_LIMIT, || self.ended())
    }

    /// Gives it no chance to put anything in order.
    pub(super) fn kill(mut self) -> Result<(), LabError> {
        self.child.kill().and_then(|()| self.child.wait()).map(drop).map_err(doing("killing the gate"))
    }

    fn ready(&mut self) -> Result<Option<()>, LabError> {
        if let Some(status) = self.ended()? {
            let lines = self.said.transcript().lines.iter().cloned().collect::<Vec<_>>();
            return Err(LabError::Gate { what: format!("ended with {status}"), said: lines.join("; ") });
        }
        Ok(self.said.transcript().ready.then_some(()))
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, LabError> {
        self.child.try_wait().map_err(doing("looking after the gate"))
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        // Whoever ended it in order has waited for it already.
        self.child.kill().and_then(|()| self.child.wait()).ok();
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

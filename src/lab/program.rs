//! A program that runs in a namespace for as long as this value is there, and what it said last.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::lab::netns::Netns;
use crate::lab::{LabError, doing};

/// Lines of standard error that are kept for the one who has to find out.
const SAID_MAX: usize = 20;

/// A program, killed when this value goes.
#[derive(Debug)]
pub(super) struct Program {
    name: &'static str,
    child: Child,
    said: Said,
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

impl Program {
    /// Starts it in `namespace`; its standard output goes nowhere.
    pub(super) fn start(
        namespace: &Netns,
        name: &'static str,
        command: &mut Command,
    ) -> Result<Self, LabError> {
        Self::spawn(namespace, name, command.stdout(Stdio::null()))
    }

    /// Starts it in `namespace`, and gives its standard output.
    pub(super) fn start_reading(
        namespace: &Netns,
        name: &'static str,
        command: &mut Command,
    ) -> Result<(Self, Option<ChildStdout>), LabError> {
        let mut program = Self::spawn(namespace, name, command.stdout(Stdio::piped()))?;
        let stdout = program.child.stdout.take();
        Ok((program, stdout))
    }

    fn spawn(namespace: &Netns, name: &'static str, command: &mut Command) -> Result<Self, LabError> {
        let mut child = namespace.start(command.stdin(Stdio::null()).stderr(Stdio::piped()))?;
        let said = Said::default();
        if let Some(stderr) = child.stderr.take() {
            let listening = said.clone();
            thread::spawn(move || listening.listen(stderr));
        }
        Ok(Self { name, child, said })
    }

    /// How it ended, once it has.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>, LabError> {
        self.child.try_wait().map_err(doing(format!("looking after {}", self.name)))
    }

    /// Says why it does not run any more, when it does not.
    pub(super) fn still_runs(&mut self) -> Result<(), LabError> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => {
                let said = format!("{status}, {}", self.said());
                Err(LabError::Command { command: self.name.into(), said })
            }
        }
    }

    /// Whether it said that it is ready.
    pub(super) fn is_ready(&self) -> bool {
        self.said.transcript().ready
    }

    /// The end of what it said.
    pub(super) fn said(&self) -> String {
        self.said.transcript().lines.iter().cloned().collect::<Vec<_>>().join("; ")
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) -> Result<(), LabError> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .map_err(|error| doing(format!("ending {}", self.name))(error.into()))
    }

    /// Gives it no chance to put anything in order.
    pub(super) fn kill(&mut self) -> Result<(), LabError> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(drop).map_err(doing(format!("killing {}", self.name)))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that ended by itself has been waited for already.
        self.kill().ok();
    }
}

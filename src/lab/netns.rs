//! Network namespaces, and threads and programs inside them.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::lab::{LabError, doing};

/// `ip`, `tc` and `iptables` answer within milliseconds; one that does not is stuck.
const TOOL_LIMIT: Duration = Duration::from_secs(10);

/// What the lab calls, and the packages that have it.
const TOOLS: [(&str, &str); 4] =
    [("ip", "iproute2"), ("tc", "iproute2"), ("iptables", "iptables"), ("ip6tables", "iptables")];

/// Whether the lab can run here at all.
pub(super) fn preflight() -> Result<(), LabError> {
    if !geteuid().is_root() {
        return Err(LabError::NotRoot);
    }
    if !Path::new("/proc/sys/net/mptcp").exists() {
        return Err(LabError::NoMptcp);
    }
    are_installed(&TOOLS)
}

/// Whether these programs, each with its package, can be called.
pub(super) fn are_installed(tools: &[(&'static str, &'static str)]) -> Result<(), LabError> {
    for &(tool, package) in tools {
        let mut asked = Command::new(tool);
        let asked = asked.arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.map_err(|_absent| LabError::ToolMissing { tool, package })?;
    }
    Ok(())
}

/// A network namespace that goes when this value does.
#[derive(Debug)]
pub(super) struct Netns {
    /// As `ip netns` shows it.
    pub(super) name: String,
    file: File,
}

impl Netns {
    /// A new one.
    pub(super) fn create(name: String) -> Result<Self, LabError> {
        output(Command::new("ip").args(["netns", "add", &name]), "")?;
        match File::open(Path::new("/run/netns").join(&name)) {
            Ok(file) => Ok(Self { name, file }),
            Err(error) => {
                remove(&name);
                Err(doing(format!("opening namespace {name}"))(error))
            }
        }
    }

    /// Does `act` on a thread inside, and waits for it.
    pub(super) fn inside<T: Send>(
        &self,
        act: impl FnOnce() -> Result<T, LabError> + Send,
    ) -> Result<T, LabError> {
        let entered = || {
            self.enter()?;
            act()
        };
        thread::scope(|scope| scope.spawn(entered).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Starts a thread inside; threads and programs that it starts are inside too.
    pub(super) fn spawn(
        &self,
        name: &str,
        act: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle<()>, LabError> {
        self.inside(|| {
            thread::Builder::new().name(name.into()).spawn(act).map_err(doing("starting a thread"))
        })
    }

    /// Starts a program inside; a ^C at the terminal does not reach it.
    pub(super) fn start(&self, command: &mut Command) -> Result<Child, LabError> {
        let name = command.get_program().display().to_string();
        self.inside(|| command.process_group(0).spawn().map_err(doing(format!("starting {name}"))))
    }

    /// Runs a program inside to its end, and gives its standard output.
    pub(super) fn tool(&self, program: &str, args: &[&str], input: &str) -> Result<String, LabError> {
        self.inside(|| output(Command::new(program).args(args), input))
    }

    /// Writes a setting below `/proc/sys/net`.
    pub(super) fn set(&self, key: &str, value: &str) -> Result<(), LabError> {
        let path = Path::new("/proc/sys/net").join(key);
        self.inside(|| std::fs::write(&path, value).map_err(doing(format!("writing {}", path.display()))))
    }

    fn enter(&self) -> Result<(), LabError> {
        move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
            .map_err(|error| doing(format!("entering namespace {}", self.name))(error.into()))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

fn remove(name: &str) {
    if let Err(error) = output(Command::new("ip").args(["netns", "del", name]), "") {
        tracing::warn!("namespace {name} stays: {error}");
    }
}

/// Runs a program to its end, bounded.
fn output(command: &mut Command, input: &str) -> Result<String, LabError> {
    let line = command_line(command);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.process_group(0).spawn().map_err(doing(format!("starting `{line}`")))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).map_err(doing(format!("writing to `{line}`")))?;
    }
    let Output { status, stdout, stderr } = wait(child).map_err(|error| match error {
        Unfinished::Failed(error) => doing(format!("waiting for `{line}`"))(error),
        Unfinished::Overdue => LabError::Overdue { what: format!("`{line}`"), limit: TOOL_LIMIT },
    })?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&stderr).trim().replace('\n', "; ");
    Err(LabError::Command { command: line, said })
}

enum Unfinished {
    Failed(std::io::Error),
    Overdue,
}

fn wait(child: Child) -> Result<Output, Unfinished> {
    let pid = Pid::from_child(&child);
    let (tell, told) = sync_channel(1);
    thread::spawn(move || tell.send(child.wait_with_output()));
    match told.recv_timeout(TOOL_LIMIT) {
        Ok(ended) => ended.map_err(Unfinished::Failed),
        Err(_overdue) => {
            kill_process(pid, Signal::KILL).ok();
            Err(Unfinished::Overdue)
        }
    }
}

fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

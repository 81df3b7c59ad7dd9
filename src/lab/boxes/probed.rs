//! What `mpgate probe` says of a way: this very program, started at the client as a user would.

use std::fmt;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::process::{ChildStdout, Command};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::lab::boxes::catalogue::Kind;
use crate::lab::interrupt::Interrupt;
use crate::lab::netns::Netns;
use crate::lab::program::Program;
use crate::lab::{LabError, doing};

/// It ends by itself before that.
const LIMIT: Duration = Duration::from_secs(60);

/// Of a program that has ended, a pipe has little left to give.
const END_LIMIT: Duration = Duration::from_secs(5);

/// A hundred times what it prints.
const READ_MAX: u64 = 1 << 20;

/// The box is the second hop.
const BOX_HOP: u8 = 2;

/// One thing that the probe found.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Finding {
    /// What does it, by the names of boxes here.
    #[serde(rename = "box")]
    pub name: String,
    /// The last hop at which all is well.
    pub after_hop: Option<u8>,
    /// The first hop at which it shows.
    pub by_hop: Option<u8>,
}

/// What the probe said.
#[derive(Clone, Debug, Serialize)]
pub struct Probed {
    /// What it found.
    pub findings: Vec<Finding>,
    /// Packets that it sent.
    pub packets: u64,
    /// How long it took.
    pub millis: u64,
    /// Why it could not say anything.
    pub failed: Option<String>,
    /// It named what stood there, and nothing else; nothing at all, where nothing harms MPTCP.
    pub named: bool,
    /// Where it put what it named, the worst of several; none, where it named nothing.
    pub placed: Option<Placed>,
}

/// The place of what was found, next to where the box stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Placed {
    /// Between two hops, and there it is.
    Right,
    /// Nowhere: some harm shows only in what comes back, which no router quotes.
    Unknown,
    /// Somewhere else.
    Wrong,
}

/// The part of its answer that is judged.
#[derive(Debug, Deserialize)]
struct Answer {
    findings: Vec<Finding>,
    packets: u64,
}

impl Finding {
    /// The box should stand between the hop at which all is well and the one at which it shows.
    fn placed(&self) -> Placed {
        match (self.after_hop, self.by_hop) {
            (Some(after), Some(by)) if (after..=by).contains(&BOX_HOP) => Placed::Right,
            (Some(after), None) if after <= BOX_HOP => Placed::Unknown,
            (None, Some(by)) if by >= BOX_HOP => Placed::Unknown,
            (None, None) => Placed::Unknown,
            (Some(_), _) | (None, Some(_)) => Placed::Wrong,
        }
    }
}

impl Probed {
    /// Probes the way from `client`, and holds what is found against the box that stands there.
    pub(super) fn ask(
        kind: &Kind,
        client: &Netns,
        server: SocketAddr,
        interrupt: &Interrupt,
    ) -> Result<Self, LabError> {
        let since = clock::now();
        let (answer, failed) = match answer(client, server, interrupt)? {
            Ok(answer) => (answer, None),
            Err(said) => (Answer { findings: Vec::new(), packets: 0 }, Some(said)),
        };
        let Answer { findings, packets } = answer;
        let names: Vec<_> = findings.iter().map(|finding| finding.name.as_str()).collect();
        let named = failed.is_none() && names == kind.known_as().as_slice();
        let placed = findings.iter().map(Finding::placed).max();
        let millis = u64::try_from(clock::now().since(since).as_millis()).unwrap_or(u64::MAX);
        Ok(Self { findings, packets, millis, failed, named, placed })
    }
}

/// What the program prints, or what it says where it does not.
fn answer(
    client: &Netns,
    server: SocketAddr,
    interrupt: &Interrupt,
) -> Result<Result<Answer, String>, LabError> {
    let mut command = std::env::current_exe().map(Command::new).map_err(doing("finding this program"))?;
    command.args(["probe", &server.to_string(), "--json"]);
    let (mut probe, stdout) = Program::start_reading(client, "the probe", &mut command)?;
    let (tell, told) = sync_channel(1);
    if let Some(stdout) = stdout {
        // Nobody listens where it was given up.
        thread::spawn(move || tell.send(read(stdout)).ok());
    }
    interrupt.until("the end of the probe", LIMIT, || probe.ended())?;
    let overdue = |_| LabError::Overdue { what: "the end of what the probe wrote".into(), limit: END_LIMIT };
    let text = told.recv_timeout(END_LIMIT).map_err(overdue)?.map_err(doing("reading from the probe"))?;
    Ok(serde_json::from_str(&text).map_err(|_unreadable| probe.said()))
}

fn read(stdout: ChildStdout) -> io::Result<String> {
    let mut text = String::new();
    stdout.take(READ_MAX).read_to_string(&mut text).map(|_len| text)
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, after_hop, by_hop } = self;
        match (after_hop, by_hop) {
            (Some(after), Some(by)) => write!(f, "{name} between hops {after} and {by}"),
            (Some(after), None) => write!(f, "{name} behind hop {after}"),
            (None, Some(by)) => write!(f, "{name}, at the latest at hop {by}"),
            (None, None) => write!(f, "{name}, at a hop that is not known"),
        }
    }
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.failed, self.findings.as_slice()) {
            (Some(said), _) => f.write_str(said),
            (None, []) => f.write_str("nothing amiss"),
            (None, findings) => {
                f.write_str(&findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("; "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_is_at_the_second_hop() {
        let cases = [
            (Some(1), Some(2), Placed::Right),
            (Some(2), Some(3), Placed::Right),
            (Some(0), Some(9), Placed::Right),
            (Some(2), Some(2), Placed::Right),
            (Some(0), Some(1), Placed::Wrong),
            (Some(3), Some(4), Placed::Wrong),
            (Some(3), None, Placed::Wrong),
            (Some(1), None, Placed::Unknown),
            (None, Some(1), Placed::Wrong),
            (None, Some(3), Placed::Unknown),
            (None, None, Placed::Unknown),
        ];
        for (after_hop, by_hop, placed) in cases {
            let finding = Finding { name: "mirrors".to_owned(), after_hop, by_hop };
            assert_eq!(finding.placed(), placed, "{finding}");
        }
    }
}

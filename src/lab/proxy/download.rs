//! curl, which writes what comes to a pipe: the bytes are counted and hashed, and kept nowhere.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{ChildStdout, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::lab::netns::Netns;
use crate::lab::program::Program;
use crate::lab::proxy::web::{FILE, hex};
use crate::lab::{LabError, doing};

/// As much as a pipe holds.
const BLOCK: usize = 64 * 1024;

/// curl gives up when less than a byte a second came for so long: a join that was lost has been tried again by then.
const STALL_SECS: &str = "15";

/// Of a program that has ended, a pipe has little left to give.
const END_LIMIT: Duration = Duration::from_secs(5);

/// curl under way; dropping it ends it.
#[derive(Debug)]
pub(super) struct Download {
    curl: Program,
    status: Option<ExitStatus>,
    received: Arc<AtomicU64>,
    hashed: Receiver<std::io::Result<String>>,
}

impl Download {
    /// Starts curl in `namespace`, over MPTCP.
    pub(super) fn start(namespace: &Netns, server: SocketAddr) -> Result<Self, LabError> {
        let mut command = Command::new("mptcpize");
        // Whatever the machine's own settings are.
        command.args(["run", "curl", "-q", "--noproxy", "*", "--globoff"]);
        command.args(["--silent", "--show-error", "--fail", "--connect-timeout", STALL_SECS]);
        command.args(["--speed-limit", "1", "--speed-time", STALL_SECS, &format!("http://{server}/{FILE}")]);
        let (curl, stdout) = Program::start_reading(namespace, "curl", &mut command)?;
        let received = Arc::new(AtomicU64::new(0));
        let (tell, hashed) = sync_channel(1);
        if let Some(stdout) = stdout {
            let count = Arc::clone(&received);
            // Nobody listens where the download was given up.
            thread::spawn(move || tell.send(read(stdout, &count)).ok());
        }
        Ok(Self { curl, status: None, received, hashed })
    }

    /// Bytes that came.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Whether curl has ended.
    pub(super) fn ended(&mut self) -> Result<bool, LabError> {
        self.status = self.curl.ended()?;
        Ok(self.status.is_some())
    }

    /// How many bytes came, and their SHA-256.
    ///
    /// # Errors
    /// When curl was not content.
    pub(super) fn finish(self) -> Result<(u64, String), LabError> {
        let overdue = |_| LabError::Overdue { what: "the end of what curl wrote".into(), limit: END_LIMIT };
        let digest =
            self.hashed.recv_timeout(END_LIMIT).map_err(overdue)?.map_err(doing("reading from curl"))?;
        if self.status.is_some_and(|status| status.success()) {
            return Ok((self.received(), digest));
        }
        Err(LabError::Command { command: "curl".into(), said: self.curl.said() })
    }
}

fn read(mut stdout: ChildStdout, received: &AtomicU64) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut block = vec![0; BLOCK];
    loop {
        let len = stdout.read(&mut block)?;
        if len == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(block.get(..len).unwrap_or_default());
        received.fetch_add(u64::try_from(len).unwrap_or(0), Ordering::Relaxed);
    }
}

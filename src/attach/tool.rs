//! Runs `nft` and the `iptables` family.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use crate::attach::AttachError;

/// A tool, and what helps where it is missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) remedy: &'static str,
}

impl Tool {
    /// Runs it with `input` on its standard input, and returns what it printed.
    pub(super) fn run(self, args: &[&str], input: &str) -> Result<String, AttachError> {
        let output = self.output(args, input).map_err(|source| {
            if source.kind() == io::ErrorKind::NotFound {
                return AttachError::Missing { tool: self.name, remedy: self.remedy };
            }
            AttachError::Unrunnable { tool: self.name, source }
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
        Err(AttachError::Refused { tool: self.name, said: first.trim().to_owned() })
    }

    fn output(self, args: &[&str], input: &str) -> io::Result<Output> {
        let mut child = Command::new(self.name)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let wrote = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output()?;
        // A tool that refuses may stop reading; then its own words say more than our broken pipe.
        if output.status.success() {
            wrote?;
        }
        Ok(output)
    }
}

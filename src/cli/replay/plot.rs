//! `--plot`: a connection as a picture.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};

use crate::analysis::{Analysis, Connection};
use crate::capture::{Capture, Frame};
use crate::cli::output::Target;
use crate::cli::replay::{Args, source};
use crate::picture::Format;
use crate::replay::{Replay, plot};
use crate::track::{ConnectionId, Side};

/// A picture in the making.
pub(super) struct Plot {
    target: Target,
    format: Format,
    /// The connection that is asked for; else the largest is drawn, which is known once all was read.
    asked: Option<ConnectionId>,
}

impl Plot {
    pub(super) fn new(args: &Args) -> anyhow::Result<Option<Self>> {
        let Some(path) = args.plot.as_deref() else { return Ok(None) };
        if args.capture.as_deref() == Some(Path::new("-")) && args.connection.is_none() {
            bail!("standard input can be read only once: --connection N says which one to draw");
        }
        Ok(Some(Self {
            target: Target::new(path, args.force)?,
            format: Format::of(path)?,
            asked: args.connection.map(ConnectionId),
        }))
    }

    /// A replay that follows the connection, where it is known already.
    pub(super) fn follow(&self, replay: Replay) -> Replay {
        match self.asked {
            Some(asked) => replay.following(asked),
            None => replay,
        }
    }

    /// Draws it; reads the capture once more for it, where which one it is turned out only at the end.
    pub(super) fn draw(&self, capture: &Path, analysis: &Analysis) -> anyhow::Result<()> {
        if self.asked.is_some() {
            return self.write(capture, analysis);
        }
        let bytes =
            |connection: &&Connection| connection.bytes(Side::Opener) + connection.bytes(Side::Acceptor);
        let largest = analysis.connections().iter().max_by_key(bytes);
        let largest = largest.context("the capture has no MPTCP connection that could be drawn")?;
        let mut replay = Replay::undecided().following(largest.id);
        let mut again = Capture::open(source(capture)?)?;
        let mut frame = Frame::default();
        // Where it is damaged was told the first time.
        while let Ok(true) = again.read(&mut frame) {
            replay.step(&frame);
        }
        self.write(capture, &replay.finish().0)
    }

    fn write(&self, capture: &Path, analysis: &Analysis) -> anyhow::Result<()> {
        let series = analysis.series();
        let Some((id, series)) = series else { bail!("the connection that was to be drawn is not there") };
        let connection = analysis.connections().iter().find(|connection| connection.id == id);
        let connection = connection.context("the connection that was to be drawn was left out")?;
        let name = capture.file_name().unwrap_or(capture.as_os_str()).to_string_lossy();
        let picture = plot::picture(&name, connection, series).encode(self.format)?;
        let mut file = self.target.start()?;
        file.write_all(&picture).with_context(|| self.target.name())?;
        self.target.keep(file)
    }
}

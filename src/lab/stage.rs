//! What all scenes share: a fresh world each, and transfers that are watched while they run.

use std::net::TcpStream;
use std::time::Duration;

use crate::clock;
use crate::lab::counters::{LinkBytes, link_bytes};
use crate::lab::display::{Display, TransferDisplay};
use crate::lab::gate::{Gate, Mode};
use crate::lab::interrupt::Interrupt;
use crate::lab::report::{Check, SceneReport};
use crate::lab::scenes::Scene;
use crate::lab::traffic::{self, Download, Server};
use crate::lab::world::{LINKS, World};
use crate::lab::{LabError, Options};
use crate::time::Timestamp;

/// How often a transfer is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A transfer may take so long, and a tenth of the slower link's rate: it is slow then, but not stuck.
const TRANSFER_LIMIT: Duration = Duration::from_secs(20);
const BYTES_PER_SEC_MIN: u64 = 50_000_000 / 8 / 10;

/// What hosts tell each other by themselves takes milliseconds.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Connections of which the median is taken.
const CONNECTS: usize = 9;

/// Where scenes are played.
#[derive(Debug)]
pub(super) struct Stage<'o> {
    options: &'o Options,
    interrupt: Interrupt,
    display: Display,
}

/// A scene under way.
#[derive(Debug)]
pub(super) struct Act<'s> {
    stage: &'s Stage<'s>,
    bytes: u64,
    _server: Server,
    /// Its hosts.
    pub(super) world: World,
}

/// A watched transfer.
#[derive(Debug)]
pub(super) struct Transfer<'a> {
    act: &'a Act<'a>,
    download: Download,
    began: Timestamp,
    before: LinkBytes,
    display: TransferDisplay,
}

/// What a transfer brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    /// Bytes of data.
    pub(super) bytes: u64,
    /// How long it took.
    pub(super) took: Duration,
    /// Bytes by each link, headers and all.
    pub(super) links: LinkBytes,
}

impl<'o> Stage<'o> {
    /// An empty one.
    pub(super) fn new(options: &'o Options, interrupt: Interrupt) -> Self {
        let display = Display::new();
        display.open(options.family, &LINKS, "router, server");
        Self { options, interrupt, display }
    }

    /// Plays a scene. What goes wrong within it is its failure; that it cannot be set up, or is interrupted, is ours.
    pub(super) fn play(&self, scene: &Scene) -> Result<SceneReport, LabError> {
        let since = clock::now();
        self.display.begin(scene.number, scene.title);
        let world = World::build(self.options.family, LINKS)?;
        let server = Server::start(&world.server, world.server_addr())?;
        let bytes = self.options.bytes.unwrap_or(scene.bytes);
        let act = Act { stage: self, bytes, _server: server, world };
        let mut checks = Vec::new();
        match (scene.play)(&act, &mut checks) {
            Ok(()) => (),
            Err(LabError::Interrupted) => return Err(LabError::Interrupted),
            Err(error) => checks.push(Check::that("the scene comes to its end", error, false)),
        }
        drop(act);
        let report = SceneReport::new(scene.number, scene.title, clock::now().since(since), checks);
        self.display.end(&report);
        Ok(report)
    }
}

impl<'s> Act<'s> {
    /// Starts the gate with these rules.
    pub(super) fn gate(&self, rules: &str) -> Result<Gate<'_>, LabError> {
        self.gate_in(Mode::Control, rules)
    }

    /// Starts the gate in that mode.
    pub(super) fn gate_in(&self, mode: Mode, rules: &str) -> Result<Gate<'_>, LabError> {
        Gate::start(&self.world, &self.stage.interrupt, mode, rules)
    }

    /// Asks the gate to end, and judges how it does.
    pub(super) fn end(&self, gate: Gate<'_>) -> Result<Check, LabError> {
        gate.end(&self.stage.interrupt)
    }

    /// Starts a transfer from the server to the client.
    pub(super) fn transfer(&self) -> Result<Transfer<'_>, LabError> {
        self.transfer_of(self.bytes)
    }

    /// Starts a transfer of that many bytes, whatever was asked for.
    pub(super) fn transfer_of(&self, bytes: u64) -> Result<Transfer<'_>, LabError> {
        let (stream, _took) = traffic::connect(&self.world.client, self.world.server_addr())?;
        self.transfer_on(stream, bytes)
    }

    /// Opens a connection, waits until `ready` has an answer, and only then starts a transfer on it.
    pub(super) fn transfer_once(
        &self,
        what: &str,
        ready: impl FnMut() -> Result<Option<()>, LabError>,
    ) -> Result<Transfer<'_>, LabError> {
        let (stream, _took) = traffic::connect(&self.world.client, self.world.server_addr())?;
        self.wait_for(what, ANSWER_LIMIT, ready)?;
        self.transfer_on(stream, self.bytes)
    }

    fn transfer_on(&self, stream: TcpStream, bytes: u64) -> Result<Transfer<'_>, LabError> {
        let before = link_bytes(&self.world)?;
        let began = clock::now();
        let download = Download::start(&self.world.client, stream, bytes)?;
        let display = self.stage.display.transfer(began, bytes, &self.world.links, before);
        Ok(Transfer { act: self, download, began, before, display })
    }

    /// The median time to open a connection.
    pub(super) fn connect_time(&self) -> Result<Duration, LabError> {
        let mut times = Vec::with_capacity(CONNECTS);
        for _ in 0..CONNECTS {
            self.stage.interrupt.pause(LOOK_EVERY)?;
            times.push(self.connect()?);
        }
        times.sort_unstable();
        Ok(times.get(CONNECTS / 2).copied().unwrap_or_default())
    }

    /// Opens a connection and closes it; says how long the opening took.
    pub(super) fn connect(&self) -> Result<Duration, LabError> {
        traffic::connect(&self.world.client, self.world.server_addr()).map(|(_stream, took)| took)
    }

    /// Lets time pass.
    pub(super) fn pause(&self, span: Duration) -> Result<(), LabError> {
        self.stage.interrupt.pause(span)
    }

    /// Waits for something to be seen.
    ///
    /// # Errors
    /// When it is not within `limit`.
    pub(super) fn wait_for<T>(
        &self,
        what: &str,
        limit: Duration,
        ask: impl FnMut() -> Result<Option<T>, LabError>,
    ) -> Result<T, LabError> {
        self.stage.interrupt.until(what, limit, ask)
    }
}

impl Transfer<'_> {
    /// Watches until `percent` of the data came.
    pub(super) fn watch(&mut self, percent: u64) -> Result<(), LabError> {
        let enough = self.download.bytes.saturating_mul(percent) / 100;
        let limit = TRANSFER_LIMIT + Duration::from_secs(self.download.bytes / BYTES_PER_SEC_MIN);
        loop {
            let received = self.download.received();
            self.display.show(clock::now(), received, link_bytes(&self.act.world)?);
            if received >= enough {
                return Ok(());
            }
            if let Some(error) = self.download.failure() {
                return Err(error);
            }
            if clock::now().since(self.began) > limit {
                let what = format!("{percent} % of {} bytes; {received} came", self.download.bytes);
                return Err(LabError::Overdue { what, limit });
            }
            self.act.stage.interrupt.pause(LOOK_EVERY)?;
        }
    }

    /// Why no more will come, when something went wrong.
    pub(super) fn failure(&self) -> Option<LabError> {
        self.download.failure()
    }

    /// What it brought so far.
    pub(super) fn carried(&self) -> Result<Carried, LabError> {
        let mut links = link_bytes(&self.act.world)?;
        links.iter_mut().zip(self.before).for_each(|(now, before)| *now = now.saturating_sub(before));
        let took = clock::now().since(self.began);
        Ok(Carried { bytes: self.download.received(), took, links })
    }

    /// Watches it to its end.
    pub(super) fn finish(mut self) -> Result<Carried, LabError> {
        self.watch(100)?;
        self.carried()
    }
}

impl Carried {
    /// What came after `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let mut links = self.links;
        links.iter_mut().zip(earlier.links).for_each(|(now, before)| *now = now.saturating_sub(before));
        Self {
            bytes: self.bytes.saturating_sub(earlier.bytes),
            took: self.took.saturating_sub(earlier.took),
            links,
        }
    }
}

//! Closet: what happened to MPTCP in a run of segments: connections, subflows, data, and what is wrong with them.
//!
//! It looks with the eyes of [`crate::track`], and refuses nothing: all that passed is taken to have passed. Nothing here
//! reads a clock or a file.

pub mod anomaly;
pub mod connection;
pub mod half;
mod ranges;
pub mod series;
pub mod stream;
mod take;

use std::collections::{BTreeMap, HashMap};

pub use anomaly::{Anomaly, AnomalyKind};
pub use connection::{Connection, Ending, JoinResult, Subflow, SubflowEnding};
pub use half::Half;
pub use series::Series;
pub use stream::Stream;

use crate::mptcp::Signals;
use crate::time::Timestamp;
use crate::track::{ConnectionId, Limits, Origin, Pace, Passed, Standing, Tracker};
use crate::wire::{Packet, Pair, Segment};

/// Connections that are told of; later ones are counted alone. As many as the tracker follows at once.
const CONNECTIONS_MAX: usize = 1 << 20;

/// Subflows of a connection that are told of, attempts to join among them: hosts open some, only floods open more.
const SUBFLOWS_MAX: usize = 256;

/// Announcements, and withdrawals, of a connection that are told of.
const ADDRESSES_MAX: usize = 64;

/// Anomalies that are told of; later ones are counted alone.
const ANOMALIES_MAX: usize = 100_000;

/// Flows without a beginning that are known to have been told of.
const STRAYS_MAX: usize = 1 << 16;

/// The most that one segment tells.
const ANOMALIES_OF_SEGMENT: usize = 6;

/// What a run of segments has shown up to now.
#[derive(Debug)]
pub struct Analysis {
    tracker: Tracker,
    pace: Pace,
    connections: Vec<Connection>,
    /// Where in `connections` those are that are established, by the ids that the tracker knows them by.
    places: HashMap<ConnectionId, usize>,
    flows: HashMap<Pair, Place>,
    strays: HashMap<Pair, Stray>,
    anomalies: Vec<Anomaly>,
    left_out: LeftOut,
    followed: Option<(ConnectionId, Option<Series>)>,
}

/// What there was no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Connections.
    pub connections: u64,
    /// Subflows.
    pub subflows: u64,
    /// Anomalies.
    pub anomalies: u64,
}

/// A subflow, by its places in the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    connection: usize,
    subflow: usize,
}

/// A flow that belongs to no connection that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stray;

/// How a segment stands, and what it shows.
#[derive(Clone, Debug)]
pub struct Observed {
    /// How it stands to what was seen before it.
    pub standing: Standing,
    /// Its connection; of a join, the one that it asks to join.
    pub connection: Option<ConnectionId>,
    /// Its subflow's place in the connection's list; the first one is 0.
    pub subflow: Option<usize>,
    /// What is wrong.
    pub anomalies: Vec<Anomaly>,
}

/// One segment of the run.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'s> {
    /// Its number in the capture.
    pub frame: u64,
    /// When it was captured.
    pub at: Timestamp,
    /// The segment.
    pub packet: &'s Packet<'s>,
    /// Its MPTCP options.
    pub signals: &'s Signals,
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            tracker: Tracker::new(Limits::default()),
            pace: Pace::default(),
            connections: Vec::new(),
            places: HashMap::new(),
            flows: HashMap::new(),
            strays: HashMap::new(),
            anomalies: Vec::new(),
            left_out: LeftOut::default(),
            followed: None,
        }
    }
}

impl Analysis {
    /// One that follows a connection over time, too.
    pub fn following(id: ConnectionId) -> Self {
        Self { followed: Some((id, None)), ..Self::default() }
    }

    /// The connection that it followed, if there was one.
    pub fn series(&self) -> Option<(ConnectionId, &Series)> {
        let (id, series) = self.followed.as_ref()?;
        series.as_ref().map(|series| (*id, series))
    }

    /// Takes in the next segment.
    pub fn observe(&mut self, sight: Sight<'_>) -> Observed {
        self.pace.keep(sight.at, |now| self.tracker.expire(now));
        let spot = self.tracker.spot(sight.packet);
        let finding = self.tracker.inspect(sight.at, sight.packet, sight.signals, spot);
        let known = self.known(&sight);
        let place = if sight.packet.segment == Segment::Syn && known.is_some_and(|known| self.is_done(known))
        {
            // Behind its handshake a SYN that comes again would begin another.
            known
        } else {
            let origin = Origin::default();
            let (id, _) = self.tracker.commit(sight.at, spot, &finding, Passed::Whole(&origin));
            known.or_else(|| self.make_place(&sight, &finding, id.or(finding.connection)))
        };
        let anomalies = match place {
            Some(place) => self.take(&sight, &finding, place),
            None => self.take_stray(&sight, &finding),
        };
        self.remember(&anomalies);
        Observed {
            standing: finding.standing,
            connection: place.and_then(|place| self.connections.get(place.connection)).map(|known| known.id),
            subflow: place.map(|place| place.subflow),
            anomalies,
        }
    }

    /// Tells of what only the end shows: call it once, when no more segments come.
    pub fn finish(&mut self) {
        let gaps: Vec<_> = self.connections.iter().flat_map(Connection::gaps).collect();
        self.remember(&gaps);
    }

    /// The connections, in the order of their first SYNs.
    pub fn connections(&self) -> &[Connection] {
        &self.connections
    }

    /// What is wrong, in the order in which it showed.
    pub fn anomalies(&self) -> &[Anomaly] {
        &self.anomalies
    }

    /// What is wrong, by connection; under none what belongs to none.
    pub fn anomalies_by_connection(&self) -> BTreeMap<Option<ConnectionId>, Vec<&Anomaly>> {
        let mut sorted: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for anomaly in &self.anomalies {
            sorted.entry(anomaly.connection).or_default().push(anomaly);
        }
        sorted
    }

    /// What there was no room for.
    pub const fn left_out(&self) -> LeftOut {
        self.left_out
    }

    fn remember(&mut self, anomalies: &[Anomaly]) {
        for anomaly in anomalies {
            if self.anomalies.len() < ANOMALIES_MAX {
                self.anomalies.push(anomaly.clone());
            } else {
                self.left_out.anomalies += 1;
            }
        }
    }
}

//! An established MPTCP connection: two hosts that know each other's key.

use std::net::IpAddr;
use std::sync::Arc;

use arrayvec::ArrayVec;

use crate::mptcp::hmac::{self, JoinSide};
use crate::mptcp::option::{AddAddr, Announced, Proof};
use crate::mptcp::{Key, Nonce, Token, Version};
use crate::track::ConnectionId;
use crate::track::commit::News;
use crate::track::keyed::Hashed;
use crate::track::origin::{JoinTo, Parent, RuleKey, Terms};
use crate::track::passages::Passage;
use crate::track::room::Room;
use crate::track::shards::Shards;
use crate::track::sides::{Side, Sides};
use crate::track::slab::{Slab, Slot};
use crate::track::sources::Source;
use crate::wire::{End, Endpoint, Flow, Pair};

/// Announced addresses that are remembered of each host; Linux announces at most 8. Beyond, the oldest is forgotten,
/// and with it that its id was taken.
const ANNOUNCED_MAX: usize = 8;

type Addresses = ArrayVec<Announced, ANNOUNCED_MAX>;

/// Connections never move, so what a shard holds costs nothing when more come.
const SHARD_BITS: u32 = 10;

/// Bits of a place in its shard, so that shard, place and side are 32 bits together.
const PLACE_BITS: u32 = u32::BITS - SHARD_BITS - 1;

/// All connections, bounded, each at a place that it keeps.
#[derive(Debug)]
pub(super) struct Connections {
    shards: Shards<Slab<Connection>>,
    room: Room,
}

/// Where a connection is; once that one is gone, another may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

/// A connection, and where it is: its number tells whether it still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// As bytes, which ask for no room to be aligned.
    id: [u8; 8],
    place: Place,
}

impl Place {
    /// Shard and place in it, below 2³¹.
    pub(super) const fn number(self) -> u32 {
        self.0
    }

    pub(super) const fn numbered(number: u32) -> Self {
        Self(number)
    }

    fn of(shard: usize, slot: u32) -> Option<Self> {
        // The last place stays empty: tokens have the number one higher.
        let slot = Some(slot).filter(|&slot| slot < (1 << PLACE_BITS) - 1)?;
        Some(Self(u32::try_from(shard).ok()? << PLACE_BITS | slot))
    }

    fn shard(self) -> usize {
        usize::try_from(self.0 >> PLACE_BITS).unwrap_or(usize::MAX)
    }

    const fn slot(self) -> u32 {
        self.0 & ((1 << PLACE_BITS) - 1)
    }
}

impl Known {
    const fn new(id: ConnectionId, place: Place) -> Self {
        Self { id: id.0.to_ne_bytes(), place }
    }

    pub(super) const fn id(self) -> ConnectionId {
        ConnectionId(u64::from_ne_bytes(self.id))
    }

    pub(super) const fn place(self) -> Place {
        self.place
    }
}

impl Connections {
    pub(super) fn new(max: usize) -> Self {
        Self { shards: Shards::told_by(SHARD_BITS), room: Room::new(max) }
    }

    pub(super) const fn room(&self) -> &Room {
        &self.room
    }

    /// Puts a connection in, where the keyed hash of its first flow says, so that nobody can crowd a shard; `None` when there
    /// is no room.
    pub(super) fn insert(&self, hash: Hashed, connection: Connection) -> Option<Known> {
        let id = connection.id;
        let number = self.shards.of(hash);
        let mut shard = self.shards.write(number)?;
        if !self.room.take() {
            return None;
        }
        let slot = shard.insert(connection);
        let place = slot.and_then(|slot| Place::of(number, slot));
        if place.is_none() {
            slot.map(|slot| shard.remove(slot));
            self.room.give_back();
        }
        Some(Known::new(id, place?))
    }

    pub(super) fn read<R>(&self, known: Known, look: impl FnOnce(&Connection) -> R) -> Option<R> {
        self.at(known.place, |found, there| (found == known).then(|| look(there)))?
    }

    /// Looks at whichever connection is there.
    pub(super) fn at<R>(&self, place: Place, look: impl FnOnce(Known, &Connection) -> R) -> Option<R> {
        let shard = self.shards.read(place.shard())?;
        shard.get(place.slot()).map(|there| look(Known::new(there.id, place), there))
    }

    pub(super) fn change<R>(&self, known: Known, change: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        let mut shard = self.shards.write(known.place.shard())?;
        let there = shard.get_mut(known.place.slot())?;
        (there.id == known.id()).then(|| change(there))
    }

    pub(super) fn remove_if(
        &self,
        known: Known,
        ripe: impl FnOnce(&Connection) -> bool,
    ) -> Option<Connection> {
        let mut shard = self.shards.write(known.place.shard())?;
        shard.get(known.place.slot()).filter(|there| there.id == known.id() && ripe(there))?;
        self.room.give_back();
        shard.remove(known.place.slot())
    }
}

/// What is remembered of a connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) version: Version,
    pub(super) keys: Sides<Key>,
    pub(super) tokens: Sides<Token>,
    /// The ends of the first subflow.
    first: Pair,
    /// Which of them the opener is at.
    opener: End,
    /// By which interfaces its SYN came in and left.
    pub(super) passage: Option<Arc<Passage>>,
    pub(super) single_path: bool,
    mark: u32,
    rule: RuleKey,
    /// Whether a rule spoke on its SYN.
    ruled: bool,
    /// Subflows that were ever opened; the next one gets this number.
    pub(super) subflows_opened: u16,
    /// Subflows in the table, lingering ones too; the connection goes with the last.
    pub(super) subflows: u16,
    /// Subflows that are open.
    pub(super) subflows_open: u16,
    /// Joins under way.
    pub(super) joins_pending: u16,
    pub(super) data_fin: Sides<bool>,
    /// MP_FASTCLOSE, or DATA_FIN of both: nobody can join any more.
    pub(super) ended: bool,
    announced: Option<Box<Sides<Addresses>>>,
}

const _: () = assert!(size_of::<Slot<Connection>>() <= 112);

impl Connection {
    /// A connection whose SYN was sent at `opener` of its first subflow's pair, and went on with those terms.
    pub(super) fn new(
        id: ConnectionId,
        (version, keys): (Version, Sides<Key>),
        (first, opener): (Pair, End),
        (passage, terms): (Option<Arc<Passage>>, Terms),
    ) -> Self {
        let tokens = Sides { opener: keys.opener.token(version), acceptor: keys.acceptor.token(version) };
        Self {
            id,
            version,
            keys,
            tokens,
            first,
            opener,
            passage,
            single_path: terms.single_path,
            mark: terms.mark,
            rule: terms.rule.unwrap_or(RuleKey(0)),
            ruled: terms.rule.is_some(),
            subflows_opened: 0,
            subflows: 0,
            subflows_open: 0,
            joins_pending: 0,
            data_fin: Sides::default(),
            ended: false,
            announced: None,
        }
    }

    /// The proof by which `prover` joins, or answers a join (RFC 8684 3.2). `nonces` are of prover and verifier.
    pub(super) fn join_proof(&self, prover: Side, nonces: (Nonce, Nonce)) -> [u8; 20] {
        let proving = JoinSide { key: *self.keys.at(prover), nonce: nonces.0 };
        let verifying = JoinSide { key: *self.keys.at(prover.other()), nonce: nonces.1 };
        hmac::join(self.version, proving, verifying)
    }

    /// Whether `sender` could have announced this.
    pub(super) fn vouches(&self, sender: Side, add: &AddAddr) -> bool {
        match add.proof {
            Proof::None => self.version == Version::V0,
            Proof::Echo => self.version == Version::V1,
            Proof::Hmac(received) => {
                let computed =
                    hmac::add_addr(*self.keys.at(sender), *self.keys.at(sender.other()), &add.announced);
                self.version == Version::V1 && hmac::equal(&received, &computed)
            }
        }
    }

    /// Whether `sender` uses that id for another address.
    pub(super) fn contradicts(&self, sender: Side, announced: &Announced) -> bool {
        self.announced.as_ref().is_some_and(|known| {
            known
                .at(sender)
                .iter()
                .any(|known| known.address_id == announced.address_id && known != announced)
        })
    }

    /// Whether `sender` has announced just this before.
    pub(super) fn has_announced(&self, sender: Side, announced: &Announced) -> bool {
        self.announced.as_ref().is_some_and(|known| known.at(sender).contains(announced))
    }

    /// Whether `side` is known to have that address.
    pub(super) fn is_at(&self, side: Side, addr: IpAddr) -> bool {
        let announced = |known: &Sides<Addresses>| known.at(side).iter().any(|known| known.addr == addr);
        self.end(side).addr == addr || self.announced.as_deref().is_some_and(announced)
    }

    /// Where a subflow goes that is opened to `side`, at that address and port.
    fn goes_to(&self, side: Side, to: Endpoint) -> JoinTo {
        let first = self.end(side);
        let announced = |known: &Sides<Addresses>| {
            known
                .at(side)
                .iter()
                .any(|known| known.addr == to.addr && known.port.unwrap_or(first.port) == to.port)
        };
        match () {
            () if first == to => JoinTo::First,
            () if self.announced.as_deref().is_some_and(announced) => JoinTo::Announced,
            () => JoinTo::Other,
        }
    }

    /// What rules may know of it, at a segment of `sender` that goes to `to`.
    pub(super) fn parent(&self, sender: Side, to: Endpoint) -> Parent {
        let (near, far) = self.passage.as_deref().copied().unwrap_or_default().interfaces(sender);
        let announced = self.announced.as_deref().map_or(0, |known| known.at(sender).len());
        Parent {
            first: Flow { src: self.end(Side::Opener), dst: self.end(Side::Acceptor) },
            terms: Terms {
                single_path: self.single_path,
                mark: self.mark,
                rule: self.ruled.then_some(self.rule),
            },
            near,
            far,
            subflows: self.subflows_open.saturating_sub(1),
            pending_joins: self.joins_pending,
            announced: u16::try_from(announced).unwrap_or(u16::MAX),
            goes_to: self.goes_to(sender.other(), to),
        }
    }

    /// Who opened it, as a source.
    pub(super) fn source(&self) -> Source {
        self.end(Side::Opener).addr.into()
    }

    fn end(&self, side: Side) -> Endpoint {
        self.first.at(match side {
            Side::Opener => self.opener,
            Side::Acceptor => self.opener.other(),
        })
    }

    /// Takes in what `news.side` said; `true` when that ended the connection.
    pub(super) fn hear(&mut self, news: &News) -> bool {
        *self.data_fin.at_mut(news.side) |= news.data_fin;
        self.ended |= news.fastclose || (self.data_fin.opener && self.data_fin.acceptor);
        if let Some(announced) = news.announced {
            self.announce(news.side, announced);
        }
        self.withdraw(news.side, &news.removed);
        self.ended
    }

    fn announce(&mut self, sender: Side, announced: Announced) {
        let known = self.announced.get_or_insert_default().at_mut(sender);
        known.retain(|known| known.address_id != announced.address_id);
        if known.is_full() {
            known.remove(0);
        }
        known.push(announced);
    }

    fn withdraw(&mut self, sender: Side, address_ids: &[u8]) {
        if let Some(known) = &mut self.announced {
            known.at_mut(sender).retain(|known| !address_ids.contains(&known.address_id));
        }
    }
}

//! An established MPTCP connection: two hosts that know each other's key.

use std::net::IpAddr;

use arrayvec::ArrayVec;

use crate::mptcp::hmac::{self, JoinSide};
use crate::mptcp::option::{AddAddr, Announced, Proof};
use crate::mptcp::{Key, Nonce, Token, Version};
use crate::track::commit::News;
use crate::track::origin::{JoinTo, Origin, Parent};
use crate::track::sides::{Side, Sides};
use crate::wire::{Endpoint, Flow};

/// Announced addresses that are remembered of each host; Linux announces at most 8. Beyond, the oldest is forgotten,
/// and with it that its id was taken.
const ANNOUNCED_MAX: usize = 8;

type Addresses = ArrayVec<Announced, ANNOUNCED_MAX>;

/// What is remembered of a connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub(super) version: Version,
    pub(super) keys: Sides<Key>,
    pub(super) tokens: Sides<Token>,
    /// The first subflow, from the opener.
    pub(super) first: Flow,
    pub(super) origin: Origin,
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

impl Connection {
    pub(super) fn new(version: Version, keys: Sides<Key>, first: Flow, origin: Origin) -> Self {
        let tokens = Sides { opener: keys.opener.token(version), acceptor: keys.acceptor.token(version) };
        Self {
            version,
            keys,
            tokens,
            first,
            origin,
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
        let (near, far) = self.origin.interfaces(sender);
        let announced = self.announced.as_deref().map_or(0, |known| known.at(sender).len());
        Parent {
            first: self.first,
            terms: self.origin.terms,
            near,
            far,
            subflows: self.subflows_open.saturating_sub(1),
            pending_joins: self.joins_pending,
            announced: u16::try_from(announced).unwrap_or(u16::MAX),
            goes_to: self.goes_to(sender.other(), to),
        }
    }

    const fn end(&self, side: Side) -> Endpoint {
        match side {
            Side::Opener => self.first.src,
            Side::Acceptor => self.first.dst,
        }
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

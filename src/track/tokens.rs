//! Which connections a token may name: tokens are unique per host, not per network.

use std::num::NonZeroU64;

use arrayvec::ArrayVec;

use crate::mptcp::Token;
use crate::track::cells::Cells;
use crate::track::connections::Place;
use crate::track::keyed::HashKey;
use crate::track::shards::Shards;
use crate::track::sides::Side;

/// Connections that one token can name at once. Random keys of honest hosts share one of 2³² tokens rarely, thrice never;
/// a host that repeats its keys harms its own joins alone: later connections are not found by that token.
pub(super) const OWNERS_MAX: usize = 4;

/// Who may be known by a token: one side of the connection at a place. Whoever is there tells whether it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) place: Place,
    pub(super) side: Side,
}

/// Tokens of both hosts of each connection; bounded by twice the table of connections, where the tokens themselves are.
#[derive(Debug)]
pub(super) struct Tokens {
    hash_key: HashKey,
    shards: Shards<Cells<Named>>,
}

/// The hash of a token above the number of an owner, which is kept one higher, so that there is room for a mark of none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named(NonZeroU64);

const _: () = assert!(size_of::<Option<Named>>() <= 8);

impl Tokens {
    /// For so many connections.
    pub(super) fn new(connections_max: usize) -> Self {
        let shards = Shards::for_records(connections_max.saturating_mul(2));
        Self { hash_key: HashKey::default(), shards }
    }

    pub(super) fn owners(&self, token: Token) -> ArrayVec<Owner, OWNERS_MAX> {
        let hash = self.hash_key.hash(&token);
        let cells = self.shards.read(self.shards.of(hash));
        cells.map(|cells| owners(&cells, hash.tag())).unwrap_or_default()
    }

    pub(super) fn learn(&self, token: Token, owner: Owner) {
        let hash = self.hash_key.hash(&token);
        let Some(mut cells) = self.shards.write(self.shards.of(hash)) else { return };
        if let Some(named) = Named::new(hash.tag(), owner)
            && !owners(&cells, hash.tag()).is_full()
        {
            cells.insert(hash.tag(), named, |other| other.tag());
        }
    }

    pub(super) fn forget(&self, token: Token, owner: Owner) {
        let hash = self.hash_key.hash(&token);
        let Some(mut cells) = self.shards.write(self.shards.of(hash)) else { return };
        let named = Named::new(hash.tag(), owner);
        if let Some(at) = cells.position(hash.tag(), |known| Some(*known) == named) {
            cells.take(at, |other| other.tag());
        }
    }
}

fn owners(cells: &Cells<Named>, tag: u32) -> ArrayVec<Owner, OWNERS_MAX> {
    let mut owners = ArrayVec::new();
    cells.search(tag, |named| {
        owners.extend((named.tag() == tag).then(|| named.owner()));
        owners.is_full().then_some(())
    });
    owners
}

impl Named {
    fn new(tag: u32, owner: Owner) -> Option<Self> {
        let number = owner.place.number() << 1 | u32::from(owner.side == Side::Acceptor);
        NonZeroU64::new(u64::from(tag) << 32 | u64::from(number.checked_add(1)?)).map(Self)
    }

    fn tag(self) -> u32 {
        u32::try_from(self.0.get() >> 32).unwrap_or(0)
    }

    fn owner(self) -> Owner {
        let number = u32::try_from(self.0.get() & u64::from(u32::MAX)).unwrap_or(0).saturating_sub(1);
        let side = if number & 1 == 0 { Side::Opener } else { Side::Acceptor };
        Owner { place: Place::numbered(number >> 1), side }
    }
}

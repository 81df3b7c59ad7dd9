//! Token buckets: how often something may happen, by rule and by host.

use std::hash::Hash;
use std::time::Duration;

use crate::time::Timestamp;
use crate::track::expiry::forget;
use crate::track::keyed::{HashKey, Keyed};
use crate::track::origin::RuleKey;
use crate::track::sources::Source;
use crate::track::table::Table;

/// Buckets that are remembered; a bucket that is full again is forgotten. Beyond, hosts that are new share one bucket a
/// rule, so that whoever invents addresses competes with others who are new, and not with those who were there.
const BUCKETS_MAX: usize = 1 << 16;

/// So many in so much time, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that a bucket holds.
    pub count: u32,
    /// The time in which an empty bucket is full again.
    pub span: Duration,
}

/// Whose bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Owner {
    rule: RuleKey,
    /// None: everybody's.
    host: Option<Source>,
}

/// A bucket, as the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    full_at: Timestamp,
}

/// A bucket, and whose it is.
#[derive(Clone, Copy, Debug)]
struct Owned<K> {
    owner: K,
    bucket: Bucket,
}

impl<K: Copy + Eq + Hash> Keyed for Owned<K> {
    type Key = K;

    fn key(&self) -> K {
        self.owner
    }
}

/// All buckets.
#[derive(Debug)]
pub struct Rates {
    buckets: Table<Owned<Owner>>,
    /// Those that new hosts share while there is no room for theirs.
    crowds: Table<Owned<RuleKey>>,
}

impl Default for Rates {
    fn default() -> Self {
        let hash_key = HashKey::default();
        Self { buckets: Table::new(BUCKETS_MAX, hash_key.clone()), crowds: Table::new(BUCKETS_MAX, hash_key) }
    }
}

impl Rates {
    /// Takes a token from the bucket that `rule` has for `host`; `false` when it is empty.
    pub fn take(&self, now: Timestamp, rule: RuleKey, host: Option<Source>, rate: Rate) -> bool {
        let mine = take_from(&self.buckets, Owner { rule, host }, now, rate);
        mine.or_else(|| take_from(&self.crowds, rule, now, rate)).unwrap_or(false)
    }

    /// Whether [`Rates::take`] would get a token. Takes none.
    pub fn has(&self, now: Timestamp, rule: RuleKey, host: Option<Source>, rate: Rate) -> bool {
        let mine = look_into(&self.buckets, Owner { rule, host }, now, rate);
        mine.or_else(|| look_into(&self.crowds, rule, now, rate)).unwrap_or(false)
    }

    /// Forgets buckets that are full, in bounded work.
    pub(super) fn expire(&self, now: Timestamp) {
        forget_full(&self.buckets, now);
        forget_full(&self.crowds, now);
    }
}

/// `None` where there is no such bucket, and no room for one.
fn take_from<K: Copy + Eq + Hash>(
    buckets: &Table<Owned<K>>,
    owner: K,
    now: Timestamp,
    rate: Rate,
) -> Option<bool> {
    let fresh = Owned { owner, bucket: Bucket { full_at: now } };
    buckets.change_or_add(buckets.hash(&owner), fresh, |owned| owned.bucket.take(now, rate))
}

/// What [`take_from`] would say.
fn look_into<K: Copy + Eq + Hash>(
    buckets: &Table<Owned<K>>,
    owner: K,
    now: Timestamp,
    rate: Rate,
) -> Option<bool> {
    let bucket = buckets.read(buckets.hash(&owner), owner, |owned| owned.bucket);
    let bucket = bucket.or_else(|| buckets.room().is_left().then_some(Bucket { full_at: now }));
    bucket.map(|mut copy| copy.take(now, rate))
}

fn forget_full<K: Copy + Eq + Hash>(buckets: &Table<Owned<K>>, now: Timestamp) {
    let is_full = |owned: &Owned<K>| owned.bucket.full_at <= now;
    forget(buckets, is_full, |owner| {
        buckets.remove_if(buckets.hash(&owner), owner, |owned| is_full(owned)).is_some()
    });
}

impl Bucket {
    fn take(&mut self, now: Timestamp, rate: Rate) -> bool {
        let each = rate.span / rate.count.max(1);
        let full_at = self.full_at.max(now).after(each);
        let enough = full_at.since(now) <= rate.span;
        if enough {
            self.full_at = full_at;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Rate = Rate { count: 10, span: Duration::from_secs(1) };

    fn host(number: u32) -> Option<Source> {
        Some(Source::from(std::net::IpAddr::from(number.to_be_bytes())))
    }

    #[test]
    fn a_bucket_gives_what_it_holds_and_fills_again() {
        let rates = Rates::default();
        let start = Timestamp::from_nanos(5_000_000_000);
        let taken = |at: Timestamp, tries: u32| {
            let take = || {
                let foreseen = rates.has(at, RuleKey(1), host(1), TEN);
                let taken = rates.take(at, RuleKey(1), host(1), TEN);
                assert_eq!(foreseen, taken);
                taken
            };
            (0..tries).filter(|_| take()).count()
        };
        assert_eq!(taken(start, 30), 10);
        assert_eq!(taken(start.after(Duration::from_millis(250)), 30), 2);
        assert_eq!(taken(start.after(Duration::from_secs(60)), 30), 10);
    }

    #[test]
    fn hosts_and_rules_have_buckets_of_their_own() {
        let rates = Rates::default();
        let one = Rate { count: 1, ..TEN };
        assert!(rates.take(Timestamp::ZERO, RuleKey(1), host(1), one));
        assert!(rates.take(Timestamp::ZERO, RuleKey(1), host(2), one));
        assert!(rates.take(Timestamp::ZERO, RuleKey(2), host(1), one));
        assert!(!rates.take(Timestamp::ZERO, RuleKey(1), host(1), one));
    }

    #[test]
    fn a_crowd_of_hosts_is_bounded_and_shares() {
        let rates = Rates::default();
        let crowd = u32::try_from(BUCKETS_MAX).unwrap() + 1000;
        rates.take(Timestamp::ZERO, RuleKey(1), None, TEN);
        let taken =
            (0..crowd).filter(|&number| rates.take(Timestamp::ZERO, RuleKey(1), host(number), TEN)).count();
        assert_eq!(rates.buckets.room().taken(), BUCKETS_MAX);
        assert_eq!(taken, BUCKETS_MAX - 1 + 10);
        let later = Timestamp::ZERO.after(Duration::from_secs(2));
        while rates.buckets.room().taken() + rates.crowds.room().taken() > 0 {
            rates.expire(later);
        }
    }
}

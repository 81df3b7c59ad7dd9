//! By which interfaces connections came: few ways, many connections.

use std::sync::Arc;

use dashmap::DashMap;

use crate::track::sides::Side;
use crate::wire::InterfaceName;

/// The interfaces of a connection's first SYN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Passage {
    /// The one that it came by.
    pub(super) input: Option<InterfaceName>,
    /// The one that it left by.
    pub(super) output: Option<InterfaceName>,
}

/// The passages of all connections, each kept once, as long as a connection has it.
#[derive(Debug, Default)]
pub(super) struct Passages(DashMap<Passage, Arc<Passage>>);

impl Passage {
    /// The interfaces on the side of that host, and on the other one.
    pub(super) const fn interfaces(self, side: Side) -> (Option<InterfaceName>, Option<InterfaceName>) {
        match side {
            Side::Opener => (self.input, self.output),
            Side::Acceptor => (self.output, self.input),
        }
    }
}

impl Passages {
    /// None for one without interfaces.
    pub(super) fn share(&self, passage: Passage) -> Option<Arc<Passage>> {
        if passage == Passage::default() {
            return None;
        }
        let known = self.0.get(&passage).map(|known| Arc::clone(&known));
        Some(known.unwrap_or_else(|| Arc::clone(&self.0.entry(passage).or_insert_with(|| Arc::new(passage)))))
    }

    /// A connection that had it is gone, and the passage with the last one.
    pub(super) fn leave(&self, passage: Option<Arc<Passage>>) {
        let Some(passage) = passage else { return };
        let key = *passage;
        drop(passage);
        if self.0.get(&key).is_some_and(|known| Arc::strong_count(&known) == 1) {
            self.0.remove_if(&key, |_passage, known| Arc::strong_count(known) == 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passage_is_kept_once_and_goes_with_the_last_connection() {
        let passages = Passages::default();
        assert_eq!(passages.share(Passage::default()), None);
        let lan = Passage { input: InterfaceName::new("lan0"), output: None };
        let (one, two) = (passages.share(lan), passages.share(lan));
        assert!(Arc::ptr_eq(one.as_ref().unwrap(), two.as_ref().unwrap()));
        passages.leave(one);
        assert_eq!(passages.0.len(), 1);
        passages.leave(two);
        assert_eq!(passages.0.len(), 0);
    }
}

//! The handshake of a connection: MP_CAPABLE in SYN, SYN/ACK and third ACK (RFC 8684 3.1).

use arrayvec::ArrayVec;

use crate::mptcp::Version;
use crate::mptcp::option::Capable;
use crate::track::commit::{Lesson, Opening};
use crate::track::handshake::{Offer, State};
use crate::track::inspect::{Finding, View};
use crate::track::sides::Sides;
use crate::track::subflows::Progress;
use crate::track::{FallbackCause, Standing, Tracker};

impl Tracker {
    pub(super) fn offer(&self, view: &View<'_>, capable: Capable) -> Finding {
        let offer = Offer { version: capable.version, key: capable.sender_key };
        let known = self.handshake(view).filter(|known| known.is_opened_by(view.end, view.packet.seq));
        match known.map(|known| known.state) {
            Some(State::Stripped) => Finding::stripped(Standing::NewConnection),
            Some(
                State::ExpectAnswer { connection, offer: known }
                | State::ExpectKeys { connection, offer: known, .. },
            ) if known == offer => Finding::accepted(Standing::NewConnection).of_first(connection),
            Some(
                State::ExpectAnswer { .. }
                | State::ExpectKeys { .. }
                | State::ExpectJoinAnswer { .. }
                | State::ExpectJoinProof { .. },
            )
            | None => Finding::new(Standing::NewConnection).teaches(Lesson::Offer(offer)),
        }
    }

    pub(super) fn answer(&self, view: &View<'_>, capable: Capable) -> Finding {
        let Some(known) = self.handshake(view) else {
            return self.later(view, Standing::UnknownConnection);
        };
        let (connection, offer, mut answers) = match known.state {
            State::Stripped => return Finding::stripped(Standing::KnownConnection),
            State::ExpectAnswer { connection, offer } => (connection, offer, ArrayVec::new()),
            State::ExpectKeys { connection, offer, answers, .. } => (connection, offer, answers),
            State::ExpectJoinAnswer { .. } | State::ExpectJoinProof { .. } => {
                return Finding::new(Standing::UnknownConnection);
            }
        };
        let finding = |standing| Finding::accepted(standing).of_first(connection);
        let mirrored = capable.sender_key.is_none() || capable.sender_key == offer.key;
        let (Some(key), false) = (capable.sender_key, mirrored) else {
            return finding(Standing::Mirrored).teaches(Lesson::Forget);
        };
        let agreed = Version::from_number(capable.version).filter(|version| {
            version.number() <= offer.version && (*version == Version::V0) == offer.key.is_some()
        });
        let Some(version) = agreed else {
            return finding(Standing::Fallback(FallbackCause::OtherVersion)).teaches(Lesson::Forget);
        };
        if answers.contains(&key) || view.end == known.opener {
            return finding(Standing::KnownConnection);
        }
        if answers.is_full() {
            answers.remove(0);
        }
        answers.push(key);
        let next = State::ExpectKeys { connection, offer, version, answers };
        finding(Standing::KnownConnection).teaches(Lesson::Await(next))
    }

    pub(super) fn keys(&self, view: &View<'_>, capable: Capable) -> Finding {
        let Some(known) = self.handshake(view) else {
            return self.later(view, Standing::UnknownConnection);
        };
        let (connection, offer, version, answers) = match known.state {
            State::Stripped => return Finding::stripped(Standing::KnownConnection),
            State::ExpectKeys { connection, offer, version, answers } => {
                (connection, offer, version, answers)
            }
            State::ExpectAnswer { connection, .. } => {
                return Finding::new(Standing::UnknownConnection).of_first(connection);
            }
            State::ExpectJoinAnswer { .. } | State::ExpectJoinProof { .. } => {
                return Finding::new(Standing::UnknownConnection);
            }
        };
        let finding = |standing| Finding::accepted(standing).of_first(connection);
        let (Some(opener), Some(acceptor)) = (capable.sender_key, capable.receiver_key) else {
            return finding(Standing::KnownConnection);
        };
        let same = answers.contains(&acceptor)
            && offer.key.is_none_or(|key| key == opener)
            && capable.version == version.number()
            && view.end == known.opener;
        if !same {
            return finding(Standing::KeyChanged);
        }
        let mapped = capable.data.is_some() || view.packet.payload_len > 0;
        let keys = Sides { opener, acceptor };
        finding(Standing::KnownConnection).teaches(Lesson::Open(Opening {
            connection,
            version,
            keys,
            opener: known.opener,
            progress: Progress { mapped, ..Progress::default() },
        }))
    }
}

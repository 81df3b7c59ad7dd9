//! The handshake of a join: MP_JOIN in SYN, SYN/ACK and third ACK (RFC 8684 3.2).

use std::net::IpAddr;

use arrayvec::ArrayVec;

use crate::mptcp::{Nonce, Token, hmac};
use crate::track::commit::Lesson;
use crate::track::connections::Known;
use crate::track::handshake::{Join, State};
use crate::track::inspect::{Course, Finding, View};
use crate::track::sides::Side;
use crate::track::tokens::{OWNERS_MAX, Owner};
use crate::track::{Standing, Tracker};

/// A connection that a token may name.
struct Candidate {
    connection: Known,
    /// The side that the token names.
    side: Side,
    version: u8,
    /// The join goes to an address that its host is known by.
    at_home: bool,
    single_path: bool,
}

impl Candidate {
    /// A segment of `sender` that has to do with the join.
    fn stands(&self, standing: Standing, sender: Side) -> Finding {
        let finding = Finding::new(standing).of_known(self.connection).version(self.version).from(sender);
        Finding { single_path: self.single_path, ..finding }
    }
}

impl Tracker {
    pub(super) fn join_offer(&self, view: &View<'_>, token: Token, nonce: Nonce) -> Finding {
        let candidates = self.joinable(token, view.packet.flow.dst.addr);
        // Behind a NAT no host is at home; the HMAC will tell.
        let likeliest = candidates.iter().find(|candidate| candidate.at_home).or(candidates.first());
        let Some(likeliest) = likeliest else { return Finding::new(Standing::JoinUnknown) };
        let finding = likeliest.stands(Standing::JoinKnown, likeliest.side.other());
        let connection = likeliest.connection;
        let retransmitted = self.handshake(view).is_some_and(|known| {
            known.is_opened_by(view.end, view.packet.seq)
                && match known.state {
                    State::ExpectJoinAnswer { token: sent, nonce: by } => (sent, by) == (token, nonce),
                    State::ExpectJoinProof { join } => (join.token, join.initiator_nonce) == (token, nonce),
                    State::Stripped | State::ExpectAnswer { .. } | State::ExpectKeys { .. } => false,
                }
        });
        if retransmitted {
            return Finding { decided: Some(Course::Accepted), ..finding };
        }
        finding.teaches(Lesson::JoinOffer { connection, token, nonce })
    }

    pub(super) fn join_answer(&self, view: &View<'_>, proof: &[u8], nonce: Nonce) -> Finding {
        let Some(known) = self.handshake(view) else { return self.later(view, Standing::JoinUnknown) };
        let (token, initiator_nonce) = match known.state {
            State::Stripped => return Finding::stripped(Standing::KnownConnection),
            State::ExpectJoinAnswer { token, nonce } => (token, nonce),
            State::ExpectJoinProof { join } => (join.token, join.initiator_nonce),
            State::ExpectAnswer { .. } | State::ExpectKeys { .. } => {
                return Finding::new(Standing::JoinUnknown);
            }
        };
        let candidates = self.joinable(token, view.packet.flow.src.addr);
        let Some(first) = candidates.first() else { return Finding::new(Standing::JoinUnknown) };
        let proven = candidates.iter().find(|candidate| {
            view.end != known.opener
                && self.proves(proof, (candidate.connection, candidate.side), (nonce, initiator_nonce))
                    == Some(true)
        });
        let Some(proven) = proven else {
            return first.stands(Standing::JoinForgedAnswer, first.side);
        };
        let &Candidate { connection, side, .. } = proven;
        let join =
            Join { connection, token, initiator: side.other(), initiator_nonce, acceptor_nonce: nonce };
        proven.stands(Standing::JoinAnswered, side).teaches(Lesson::Await(State::ExpectJoinProof { join }))
    }

    pub(super) fn join_proof(&self, view: &View<'_>, proof: &[u8]) -> Finding {
        let Some(known) = self.handshake(view) else { return self.later(view, Standing::JoinUnknown) };
        let join = match known.state {
            State::Stripped => return Finding::stripped(Standing::KnownConnection),
            State::ExpectJoinProof { join } => join,
            State::ExpectJoinAnswer { .. } | State::ExpectAnswer { .. } | State::ExpectKeys { .. } => {
                return Finding::new(Standing::JoinUnknown);
            }
        };
        let initiator = (join.connection, join.initiator);
        let proven = self.proves(proof, initiator, (join.initiator_nonce, join.acceptor_nonce));
        let joined =
            self.connections.read(join.connection, |joined| (joined.version.number(), joined.single_path));
        let finding = |standing| Finding {
            version: joined.map(|(version, _)| version),
            single_path: joined.is_some_and(|(_, single_path)| single_path),
            ..Finding::new(standing).of_known(join.connection).from(join.initiator)
        };
        match proven {
            None => Finding::new(Standing::JoinUnknown),
            Some(true) if view.end == known.opener => {
                finding(Standing::JoinVerified).teaches(Lesson::Join { join, opener: known.opener })
            }
            Some(_) => finding(Standing::JoinForgedProof),
        }
    }

    /// Whether `proof` is what that side of that connection would send; `None` when it is gone. `nonces` are its own and the
    /// other host's.
    fn proves(&self, proof: &[u8], prover: (Known, Side), nonces: (Nonce, Nonce)) -> Option<bool> {
        let computed = self.connections.read(prover.0, |known| known.join_proof(prover.1, nonces))?;
        Some(hmac::equal(proof, &computed))
    }

    /// The connections that a token can name and that can still be joined.
    fn joinable(&self, token: Token, host: IpAddr) -> ArrayVec<Candidate, OWNERS_MAX> {
        let candidate = |Owner { place, side }: Owner| {
            self.connections.at(place, |connection, known| {
                let candidate = || Candidate {
                    connection,
                    side,
                    version: known.version.number(),
                    at_home: known.is_at(side, host),
                    single_path: known.single_path,
                };
                (*known.tokens.at(side) == token && !known.ended).then(candidate)
            })?
        };
        self.tokens.owners(token).into_iter().filter_map(candidate).collect()
    }
}

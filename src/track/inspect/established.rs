//! What is said on a flow whose SYN has passed: on a subflow, or between the steps of a handshake.

use crate::mptcp::option::{AddAddr, Dss, Mapping, Proof};
use crate::mptcp::{MptcpOption, ResetReason, Signals};
use crate::track::commit::{Lesson, News};
use crate::track::connections::Known;
use crate::track::handshake::{Handshake, State};
use crate::track::inspect::{Course, Finding, View};
use crate::track::subflows::Subflow;
use crate::track::{FallbackCause, Standing, Tracker};
use crate::wire::Segment;

impl Tracker {
    /// A segment that is no step of a handshake, or a step that was taken before.
    pub(super) fn later(&self, view: &View<'_>, unknown: Standing) -> Finding {
        if let Some(subflow) = self.subflows.read(view.at.hash, view.at.pair, |subflow| *subflow) {
            return self.on_subflow(view, &subflow);
        }
        // Most flows are plain TCP: of these neither a lock is taken nor a line fetched where nothing is under way.
        let under_way = if self.handshakes.is_empty() { None } else { self.handshake(view) };
        match under_way {
            Some(known) => on_handshake(view, &known),
            None => Finding { settled: true, ..Finding::new(unknown) },
        }
    }

    fn on_subflow(&self, view: &View<'_>, subflow: &Subflow) -> Finding {
        let side = subflow.side(view.end);
        let mut news = News::new(side);
        let mut standing = Standing::KnownConnection;
        for option in view.signals.list.iter().filter_map(|signal| signal.option.as_ref().ok()) {
            let found = self.told(subflow, option, &mut news);
            if found.rank() > standing.rank() {
                standing = found;
            }
        }
        let (mine, others) = (subflow.progress(side), subflow.progress(side.other()));
        if let Standing::KnownConnection = standing
            && view.packet.segment == Segment::Data
            && view.signals.list.is_empty()
            && !mine.mapped
            && !others.acked
        {
            // RFC 8684 3.7: data without a mapping before anything was acknowledged at the data level.
            standing = Standing::Fallback(FallbackCause::PlainData);
        }
        if let Standing::Fallback(_) = standing {
            news.fell_back = true;
            if subflow.fell_back {
                standing = Standing::KnownConnection;
            }
        }
        match view.packet.segment {
            Segment::Rst => {
                news.rst = true;
                if standing != Standing::Fastclose {
                    standing = Standing::Reset(reset_reason(view.signals));
                }
            }
            Segment::Fin => news.progress.fin = true,
            Segment::Syn | Segment::SynAck | Segment::Ack | Segment::Data => {}
        }
        let nothing_new = mine.and(news.progress) == mine && news.is_routine() && subflow.is_fresh(view.now);
        Finding {
            standing,
            connection: Some(subflow.connection.id()),
            known: Some(subflow.connection),
            subflow: Some(subflow.id),
            settled: !subflow.is_closed(),
            version: Some(subflow.version.number()),
            decided: Some(Course::Accepted),
            both_acked: mine.acked && others.acked,
            announces_anew: news.announces_anew,
            single_path: news.single_path,
            sender: Some(side),
            lesson: if nothing_new { Lesson::Nothing } else { Lesson::News(news) },
        }
    }

    /// What one option on an established subflow says, and adds to the news.
    fn told(&self, subflow: &Subflow, option: &MptcpOption, news: &mut News) -> Standing {
        let side = news.side;
        match option {
            MptcpOption::Dss(dss) => on_dss(dss, news),
            MptcpOption::Capable(capable) => {
                news.progress.mapped |= capable.data.is_some();
                Standing::KnownConnection
            }
            MptcpOption::AddAddr(add) => self.announced(subflow.connection, add, news),
            MptcpOption::RemoveAddr(ids) => {
                news.removed = ids.clone();
                Standing::AddressRemoved
            }
            MptcpOption::Prio(_) => Standing::PriorityChanged,
            MptcpOption::Fail(_) => Standing::Fallback(FallbackCause::ChecksumFailed),
            MptcpOption::Fastclose(key) => {
                // RFC 8684 3.5: receivers ignore it unless the key is theirs.
                let known =
                    self.connections.read(subflow.connection, |known| known.keys.at(side.other()) == key);
                news.fastclose = known.unwrap_or(false);
                if news.fastclose { Standing::Fastclose } else { Standing::KnownConnection }
            }
            MptcpOption::Join(_) | MptcpOption::Tcprst(_) | MptcpOption::Unassigned { .. } => {
                Standing::KnownConnection
            }
        }
    }

    fn announced(&self, connection: Known, add: &AddAddr, news: &mut News) -> Standing {
        if add.proof == Proof::Echo {
            return Standing::KnownConnection;
        }
        let side = news.side;
        let judged = self.connections.read(connection, |known| {
            news.announces_anew |= !known.has_announced(side, &add.announced);
            news.single_path |= known.single_path;
            (known.vouches(side, add), known.contradicts(side, &add.announced))
        });
        match judged {
            Some((false, _)) => return Standing::AnnouncementForged,
            Some((true, _)) | None => news.announced = Some(add.announced),
        }
        match judged {
            Some((_, true)) => Standing::AddressIdConflict,
            Some((_, false)) | None if add.proof == Proof::None => Standing::AnnouncementUnproven,
            Some((_, false)) | None => Standing::AddressAnnounced,
        }
    }
}

fn on_dss(dss: &Dss, news: &mut News) -> Standing {
    news.progress.acked |= dss.data_ack.is_some();
    news.progress.mapped |= dss.mapping.is_some();
    news.data_fin |= dss.data_fin;
    match dss.mapping {
        Some(Mapping { len: 0, .. }) => Standing::Fallback(FallbackCause::InfiniteMapping),
        Some(_) | None => Standing::KnownConnection,
    }
}

/// A segment on a flow whose handshake is not done, that is no step of it.
fn on_handshake(view: &View<'_>, known: &Handshake) -> Finding {
    let plain = view.signals.list.is_empty();
    let from_opener = view.end == known.opener;
    let of = |finding: Finding| match &known.state {
        State::ExpectAnswer { connection, .. } | State::ExpectKeys { connection, .. } => {
            finding.of(*connection)
        }
        State::ExpectJoinProof { join } => finding.of_known(join.connection),
        State::Stripped | State::ExpectJoinAnswer { .. } => finding,
    };
    let (standing, lesson) = match (&known.state, view.packet.segment) {
        (State::Stripped, _) if plain => return Finding::stripped(Standing::Plain),
        (State::Stripped, _) => return Finding::stripped(Standing::KnownConnection),
        (_, Segment::Rst) => (Standing::Reset(reset_reason(view.signals)), Lesson::Forget),
        (State::ExpectAnswer { .. }, Segment::SynAck) if !from_opener => {
            (Standing::Fallback(FallbackCause::PlainAnswer), Lesson::Forget)
        }
        // Without an answer that went on, as without its keys, the opener speaks plain TCP from here on.
        (
            State::ExpectAnswer { .. } | State::ExpectKeys { .. },
            Segment::Ack | Segment::Data | Segment::Fin,
        ) if plain && from_opener => (Standing::Fallback(FallbackCause::PlainAck), Lesson::Forget),
        (State::ExpectJoinAnswer { .. }, Segment::SynAck) if !from_opener => {
            (Standing::KnownConnection, Lesson::Forget)
        }
        _ => (Standing::KnownConnection, Lesson::Nothing),
    };
    of(Finding::accepted(standing)).teaches(lesson)
}

fn reset_reason(signals: &Signals) -> Option<ResetReason> {
    signals.list.iter().find_map(|signal| match &signal.option {
        Ok(MptcpOption::Tcprst(reset)) => Some(reset.reason),
        _ => None,
    })
}

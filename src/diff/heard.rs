//! Which DATA_ACKs and DATA_FINs came through to each host: what one subflow lacks another may have brought.

use std::collections::{HashMap, HashSet};

use crate::diff::Direction;
use crate::diff::effect::{dss, said, tokens};
use crate::diff::numbers::is_at_least;
use crate::diff::sight::Sight;
use crate::diff::taken::Conversation;
use crate::mptcp::option::DataNumber;
use crate::mptcp::{MptcpOption, Token};

/// What each host was told at the data level.
#[derive(Debug, Default)]
pub struct Heard {
    /// Up to where its data has come: the low 32 bits.
    upto: HashMap<Ear, u32>,
    /// That its peer's data has ended.
    ended: HashSet<Ear>,
    /// The server of each flow, where its handshake names it.
    servers: HashMap<usize, Token>,
    /// The two hosts of each connection, each by the token of the other.
    peers: HashMap<Token, Token>,
}

/// Who hears what goes in one direction of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ear {
    /// The host of that token, on all subflows.
    Host(Token),
    /// Whoever it is.
    Of(usize, Direction),
}

impl Heard {
    /// Learns who the hosts of a flow are, from where its client's segments come from; all flows are met before any is heard.
    pub fn meet(&mut self, flow: usize, conversation: &Conversation) {
        for (_, option) in said(conversation, Direction::ToServer) {
            let server = match (&option, tokens(&option).as_slice()) {
                (_, &[client, server]) => {
                    self.peers.extend([(client, server), (server, client)]);
                    server
                }
                (MptcpOption::Join(_), &[server]) => server,
                _ => continue,
            };
            self.servers.insert(flow, server);
            return;
        }
    }

    /// Takes in what came through in one direction of a flow.
    pub fn hear(&mut self, flow: usize, direction: Direction, sights: &[Sight]) {
        let ear = self.ear(flow, direction);
        for dss in sights.iter().filter_map(dss) {
            if dss.data_fin {
                self.ended.insert(ear);
            }
            if let Some(acked) = dss.data_ack.map(low) {
                let upto = self.upto.entry(ear).or_insert(acked);
                if is_at_least(acked, *upto) {
                    *upto = acked;
                }
            }
        }
    }

    /// What the DSS of a segment says beside data came through in some segment.
    pub fn knows(&self, flow: usize, direction: Direction, sight: &Sight) -> bool {
        let ear = self.ear(flow, direction);
        let acked = |acked: u32| self.upto.get(&ear).is_some_and(|upto| is_at_least(*upto, acked));
        dss(sight).is_none_or(|dss| {
            dss.data_ack.map(low).is_none_or(acked) && (!dss.data_fin || self.ended.contains(&ear))
        })
    }

    fn ear(&self, flow: usize, direction: Direction) -> Ear {
        let server = self.servers.get(&flow);
        let host = match direction {
            Direction::ToServer => server,
            Direction::ToClient => server.and_then(|server| self.peers.get(server)),
        };
        host.map_or(Ear::Of(flow, direction), |host| Ear::Host(*host))
    }
}

fn low(number: DataNumber) -> u32 {
    match number {
        DataNumber::Short(low) => low,
        DataNumber::Long(whole) => u32::try_from(whole & u64::from(u32::MAX)).unwrap_or(0),
    }
}

//! TCP options in words: where each stands, and what those of MPTCP say. Keys are secrets and have none.

use crate::mptcp::option::{AddAddr, Capable, DataNumber, Dss, Join, Prio, Proof, Tcprst};
use crate::mptcp::signals::Signal;
use crate::mptcp::{MptcpOption, option_name};
use crate::wire::options::MPTCP;
use crate::wire::{OptionKind, OptionMask, Packet};

/// One TCP option as it stands in a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its name; of MPTCP that of the subtype.
    pub(super) name: String,
    /// Its kind.
    pub(super) kind: OptionKind,
    pub(super) at: usize,
    pub(super) len: usize,
    /// Its length cannot be true.
    pub(super) broken: bool,
}

impl Listed {
    /// The bytes that it takes.
    pub(super) const fn span(&self) -> OptionMask {
        OptionMask::span(self.at, self.len)
    }

    pub(super) const fn is_mptcp(&self) -> bool {
        matches!(self.kind, OptionKind::Kind(MPTCP))
    }
}

/// All options of a segment, in their order.
pub(super) fn listed(packet: &Packet<'_>) -> Vec<Listed> {
    let listed = packet.options().map(|option| Listed {
        name: option_name(&option),
        kind: OptionKind::of(&option),
        at: option.at,
        len: option.bytes.len(),
        broken: option.broken,
    });
    listed.collect()
}

/// What an MPTCP option says.
pub(super) fn told(signal: &Signal) -> String {
    let label = signal.subtype.label();
    match &signal.option {
        // The text names the subtype itself.
        Err(malformed) => format!("malformed: {malformed}"),
        Ok(option) => {
            let details = details(option);
            if details.is_empty() { label.to_owned() } else { format!("{label}: {}", details.join(", ")) }
        }
    }
}

fn details(option: &MptcpOption) -> Vec<String> {
    match option {
        MptcpOption::Capable(capable) => of_capable(capable),
        MptcpOption::Join(join) => of_join(join),
        MptcpOption::Dss(dss) => of_dss(dss),
        MptcpOption::AddAddr(add_addr) => of_add_addr(add_addr),
        MptcpOption::RemoveAddr(ids) => ids.iter().map(|id| address_id(*id)).collect(),
        MptcpOption::Prio(Prio { backup, address_id: id }) => {
            let mut details = vec![backup_word(*backup)];
            details.extend(id.map(address_id));
            details
        }
        MptcpOption::Fail(dsn) => vec![format!("data sequence number {dsn:#x}")],
        MptcpOption::Fastclose(_) => vec!["its receiver's key".to_owned()],
        MptcpOption::Tcprst(Tcprst { transient, reason, .. }) => {
            let again = if *transient { "it may work later" } else { "for good" };
            vec![format!("reason {reason} {}", reason.label()), again.to_owned()]
        }
        MptcpOption::Unassigned { number } => vec![format!("number {number}")],
    }
}

fn of_capable(capable: &Capable) -> Vec<String> {
    let mut details = vec![format!("version {}", capable.version)];
    if capable.flags.checksum() {
        details.push("checksums required".to_owned());
    }
    if capable.flags.no_join() {
        details.push("no joins to this address".to_owned());
    }
    let keys = match (capable.sender_key, capable.receiver_key) {
        (None, None) => None,
        (Some(_), None) => Some("the sender's key"),
        (Some(_), Some(_)) => Some("both keys"),
        (None, Some(_)) => Some("the receiver's key"),
    };
    details.extend(keys.map(str::to_owned));
    details.extend(capable.data.map(|data| format!("{} bytes of data", data.len)));
    details
}

fn of_join(join: &Join) -> Vec<String> {
    match join {
        Join::Syn { backup, address_id: id, token, nonce } => {
            vec![format!("token {token}"), format!("nonce {nonce}"), address_id(*id), backup_word(*backup)]
        }
        Join::SynAck { backup, address_id: id, nonce, .. } => {
            let hmac = "HMAC of 64 bits".to_owned();
            vec![hmac, format!("nonce {nonce}"), address_id(*id), backup_word(*backup)]
        }
        Join::Ack { .. } => vec!["HMAC of 160 bits".to_owned()],
    }
}

fn of_dss(dss: &Dss) -> Vec<String> {
    let mut details = Vec::new();
    details.extend(dss.data_ack.map(|ack| format!("DATA_ACK {}", number(ack))));
    details.extend(dss.mapping.map(|mapping| match mapping.len {
        0 => "infinite mapping".to_owned(),
        len => format!("mapping of {len} bytes from {}", number(mapping.dsn)),
    }));
    if dss.data_fin {
        details.push("DATA_FIN".to_owned());
    }
    details
}

fn of_add_addr(AddAddr { announced, proof }: &AddAddr) -> Vec<String> {
    let addr = announced.port.map_or_else(
        || announced.addr.to_string(),
        |port| std::net::SocketAddr::new(announced.addr, port).to_string(),
    );
    let proof = match proof {
        Proof::None => "no HMAC (version 0)",
        Proof::Hmac(_) => "HMAC of 64 bits",
        Proof::Echo => "echo",
    };
    vec![addr, address_id(announced.address_id), proof.to_owned()]
}

fn number(number: DataNumber) -> String {
    match number {
        DataNumber::Short(low) => format!("{low:#x}"),
        DataNumber::Long(whole) => format!("{whole:#x}"),
    }
}

fn address_id(id: u8) -> String {
    format!("address id {id}")
}

fn backup_word(backup: bool) -> String {
    if backup { "backup" } else { "not a backup" }.to_owned()
}

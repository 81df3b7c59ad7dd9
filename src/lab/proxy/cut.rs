//! A link that is cut, and put back, with what a network manager does then.

use std::time::Duration;

use crate::lab::LabError;
use crate::lab::interrupt::Interrupt;
use crate::lab::netns::Netns;
use crate::lab::world::{Link, World};

/// The kernel looks after carriers at least once a second.
const CARRIER_LIMIT: Duration = Duration::from_secs(5);

/// Which of the client's links is cut in the middle of the download.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// None.
    Never,
    /// The first one, over which the connection was opened.
    Eth0,
    /// The second one, which joined.
    #[default]
    Wlan0,
}

impl Cut {
    pub(super) fn link(self, world: &World) -> Option<&Link> {
        let [first, second] = &world.links;
        match self {
            Self::Never => None,
            Self::Eth0 => Some(first),
            Self::Wlan0 => Some(second),
        }
    }
}

/// Takes `link` down. Routes by it go with it, and addresses of IPv6; the kernel's MPTCP is told that its address is
/// gone, else the other side learns from lost segments alone that nothing arrives there.
pub(super) fn cut(world: &World, link: &Link) -> Result<(), LabError> {
    let gone = match world.endpoint(link)? {
        Some(id) => format!("mptcp endpoint delete id {id}\n"),
        // The address of the first subflow has this number in every connection (RFC 8684 3.4.2).
        None => format!("mptcp endpoint delete id 0 {}\n", world.client_addr(link)),
    };
    world.ip(&world.client, &format!("link set {} down\n{gone}", link.name))
}

/// Brings it up again, with its address, routes and, once both ends have a carrier, its endpoint: connections join from
/// it at once, and a SYN that goes before is lost for a second.
pub(super) fn put_back(world: &World, link: &Link, interrupt: &Interrupt) -> Result<(), LabError> {
    let lines = format!("link set {} up\n", link.name) + &world.link_up_lines(link);
    world.ip(&world.client, &lines)?;
    interrupt.until(&format!("a carrier of {}", link.name), CARRIER_LIMIT, || {
        Ok((is_up(&world.client, link.name)? && is_up(world.near(), link.router_end)?).then_some(()))
    })?;
    world.ip(&world.client, &world.endpoint_line(link))
}

/// Whether the kernel sends by that interface; without a carrier it throws away what it is given.
fn is_up(host: &Netns, interface: &str) -> Result<bool, LabError> {
    let shown = host.tool("ip", &["-brief", "link", "show", "dev", interface], "")?;
    Ok(shown.split_whitespace().nth(1) == Some("UP"))
}

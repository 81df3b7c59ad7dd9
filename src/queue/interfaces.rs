//! Names of network interfaces by their numbers.

use std::os::fd::AsFd;
use std::time::Duration;

use arrayvec::ArrayVec;
use rustix::net::netdevice::index_to_name_inlined;

use crate::rules::InterfaceName;
use crate::time::Timestamp;

/// Interfaces that are remembered; few routers have more busy ones, and the next one costs a system call.
const REMEMBERED_MAX: usize = 64;

/// An interface can be renamed, and a number used again: after this time all are asked for anew.
const REMEMBERED_FOR: Duration = Duration::from_secs(1);

/// The names that were asked for lately.
#[derive(Debug, Default)]
pub(super) struct Interfaces {
    names: ArrayVec<(u32, Option<InterfaceName>), REMEMBERED_MAX>,
    stale_at: Timestamp,
}

impl Interfaces {
    /// The name of interface `index` in the namespace of `socket`; none for 0, and where it is gone.
    pub(super) fn name(&mut self, now: Timestamp, socket: impl AsFd, index: u32) -> Option<InterfaceName> {
        if index == 0 {
            return None;
        }
        if now >= self.stale_at || self.names.is_full() {
            self.names.clear();
            self.stale_at = now.after(REMEMBERED_FOR);
        }
        if let Some((_, name)) = self.names.iter().find(|(known, _)| *known == index) {
            return *name;
        }
        let name =
            index_to_name_inlined(socket, index).ok().and_then(|name| InterfaceName::new(name.as_str()));
        self.names.push((index, name));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_found_by_its_number_and_nothing_by_none() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut interfaces = Interfaces::default();
        let name = |interfaces: &mut Interfaces, index| {
            interfaces.name(Timestamp::ZERO, &socket, index).map(|name| name.as_str().to_owned())
        };
        assert_eq!(name(&mut interfaces, 1).as_deref(), Some("lo"));
        assert_eq!(name(&mut interfaces, 0), None);
        assert_eq!(name(&mut interfaces, u32::MAX >> 1), None);
    }

    #[test]
    fn no_more_names_are_remembered_than_the_limit() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut interfaces = Interfaces::default();
        for index in 1_000_000..1_000_200 {
            interfaces.name(Timestamp::ZERO, &socket, index);
        }
        assert!(interfaces.names.len() <= REMEMBERED_MAX);
    }
}

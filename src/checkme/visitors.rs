//! Who is connected: how many, for how long, and what is kept of each.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::checkme::Limits;
use crate::checkme::site::{Site, router};
use crate::checkme::tap::Syn;

/// A browser sends its headers in one or two segments; who takes longer, or keeps a connection idle, only holds a place.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(10);

/// Browsers with a few cookies of the same host send 1 to 4 KB; the least that hyper takes is 8192.
const HEADERS_BYTES_MAX: usize = 8192;

/// Then a connection ends after its current answer, so that nobody holds a place by asking without end.
const CONNECTION_LIFE: Duration = Duration::from_mins(5);

/// An IPv6 customer has at least a network of 64 bits (RFC 6177), and all its addresses.
const CUSTOMER: u128 = !0 << 64;

const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 10\r\n\
content-type: text/plain\r\ncontent-length: 43\r\n\r\ntoo many connections; try again in a while\n";

type Counts = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// The places, and who has them.
#[derive(Debug)]
pub(super) struct Visitors {
    limits: Limits,
    counts: Counts,
}

/// A place among the visitors, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    whose: IpAddr,
    counts: Counts,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Visit {
    /// The client's end.
    pub(super) client: SocketAddr,
    /// Ours.
    pub(super) server: SocketAddr,
    /// What opened it, if that was seen.
    pub(super) syn: Option<Syn>,
    /// A second handle of its socket, to ask the kernel about.
    pub(super) socket: OwnedFd,
    _place: Place,
}

impl Visitors {
    /// Nobody yet.
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, counts: Counts::default() }
    }

    /// A place, unless all are taken, or all that one address may take.
    pub(super) fn admit(&self, client: IpAddr) -> Option<Place> {
        let whose = match client {
            IpAddr::V4(_) => client,
            IpAddr::V6(addr) => Ipv6Addr::from_bits(addr.to_bits() & CUSTOMER).into(),
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let here = counts.values().sum::<usize>();
        let theirs = counts.get(&whose).copied().unwrap_or(0);
        if here >= self.limits.clients || theirs >= self.limits.per_address {
            return None;
        }
        counts.insert(whose, theirs + 1);
        Some(Place { whose, counts: Arc::clone(&self.counts) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let left = counts.get(&self.whose).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            counts.remove(&self.whose);
        } else {
            counts.insert(self.whose, left);
        }
    }
}

impl Visit {
    /// # Errors
    /// When descriptors have run out.
    pub(super) fn new(
        stream: &TcpStream,
        (client, server): (SocketAddr, SocketAddr),
        syn: Option<Syn>,
        place: Place,
    ) -> io::Result<Self> {
        Ok(Self { client, server, syn, socket: stream.as_fd().try_clone_to_owned()?, _place: place })
    }
}

/// Says why, as far as the send buffer takes it at once: who comes too much gets no time of ours.
pub(super) fn turn_away(stream: &TcpStream) {
    stream.try_write(TOO_MANY).ok();
}

/// Answers one connection until it ends. Its errors are its peer's affair: it closed early, was too slow, or does not
/// speak HTTP.
pub(super) async fn converse(stream: TcpStream, visit: Arc<Visit>, site: Arc<Site>) {
    let last_answer = site.limits.download_time;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_buf_size(HEADERS_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router(site, visit)));
    let mut connection = pin!(connection);
    if timeout(CONNECTION_LIFE, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        timeout(last_answer, connection).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use bytesize::ByteSize;

    use super::*;

    #[test]
    fn places_are_counted_by_customer_and_given_back() {
        let limits =
            Limits { clients: 3, per_address: 2, download: ByteSize::mb(1), download_time: Duration::ZERO };
        let visitors = Visitors::new(limits);
        let admit = |addr: &str| visitors.admit(addr.parse().unwrap());
        let first = admit("2001:db8::1").unwrap();
        let _second = admit("2001:db8::2").unwrap();
        assert!(admit("2001:db8::3").is_none(), "one network of 64 bits");
        let _other = admit("192.0.2.1").unwrap();
        assert!(admit("192.0.2.2").is_none(), "all places are taken");
        drop(first);
        assert!(admit("2001:db8::3").is_some());
    }

    #[test]
    fn the_refusal_has_the_length_that_it_says() {
        let (head, body) = std::str::from_utf8(TOO_MANY).unwrap().split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("\r\ncontent-length: {}", body.len())), "{}", body.len());
    }
}

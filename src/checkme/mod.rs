//! A page over a real MPTCP socket that tells its visitor whether this very connection is MPTCP, and why not if not.

mod kernel;
mod diag;
mod tap;
mod verdict;
mod visitors;
mod download;
mod page;
mod site;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytesize::ByteSize;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use self::site::Site;
use self::tap::Tap;
use self::verdict::Speaks;
use self::visitors::{Visit, Visitors};

/// Connections whose handshake is done and that wait for a place.
const BACKLOG: i32 = 64;

/// `accept` fails for want of descriptors or memory; both may come back.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What visitors may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub clients: usize,
    /// Connections at once from one IPv4 address, or one IPv6 network of 64 bits.
    pub per_address: usize,
    /// The longest download.
    pub download: ByteSize,
    /// How long a download may take.
    pub download_time: Duration,
}

impl Limits {
    /// A class of pupils with a browser each.
    pub const CLIENTS: usize = 256;
    /// A browser opens six; a few people share an address.
    pub const PER_ADDRESS: usize = 32;
    /// 50 MB by 4 Mbit/s take 100 s.
    pub const DOWNLOAD_SECS: u64 = 120;
}

/// Why no page can be served.
#[derive(Debug, thiserror::Error)]
pub enum CheckmeError {
    /// The address is not to be had.
    #[error("cannot listen on {addr} ({cause}); {}", remedy(.cause))]
    Listen {
        /// As it was asked for.
        addr: SocketAddr,
        /// What the kernel says.
        cause: io::Error,
    },
    /// The kernel gives no random bytes.
    #[error("no random bytes for downloads: {0}")]
    Noise(#[from] getrandom::Error),
}

/// What to do about the errors of binding that people meet (bind(2)).
const REMEDIES: [(io::ErrorKind, &str); 3] = [
    (
        io::ErrorKind::AddrInUse,
        "another program has it: `ss -tlnp` names it; stop it, or choose another port",
    ),
    (
        io::ErrorKind::PermissionDenied,
        "ports below 1024 need root or CAP_NET_BIND_SERVICE: choose a higher one",
    ),
    (
        io::ErrorKind::AddrNotAvailable,
        "this machine does not have that address: `ip address` lists what it has",
    ),
];

fn remedy(cause: &io::Error) -> &'static str {
    let known = REMEDIES.iter().find(|(kind, _)| *kind == cause.kind());
    known.map_or("choose another address with --listen", |(_, remedy)| remedy)
}

/// A page that is ready to be visited.
#[derive(Debug)]
pub struct Checkme {
    listener: TcpListener,
    tap: Option<Tap>,
    site: Arc<Site>,
    visitors: Visitors,
}

impl Checkme {
    /// Takes the address; what the page must then do without is told in the log.
    ///
    /// # Errors
    /// When somebody else has it, the machine does not, or this user may not.
    pub fn listen(addr: SocketAddr, limits: Limits) -> Result<Self, CheckmeError> {
        let failed = |cause| CheckmeError::Listen { addr, cause };
        let (socket, speaks) = socket(addr).map_err(failed)?;
        let listener = bound(socket, addr).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let tap = Tap::open(port).inspect_err(|error| {
            tracing::warn!("cannot look at SYNs ({error}), so the page cannot tell why a connection is not MPTCP: run it as root, or with CAP_NET_RAW");
        });
        let site = Arc::new(Site::new(port, speaks, limits)?);
        Ok(Self { listener, tap: tap.ok(), site, visitors: Visitors::new(limits) })
    }

    /// Where it listens, with the port that the kernel chose for port 0.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is dropped.
    pub async fn serve(mut self) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = listen_for_syns(&mut self.tap) => continue,
            };
            match accepted {
                Ok((stream, client)) => self.welcome(stream, client),
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn welcome(&mut self, stream: TcpStream, client: SocketAddr) {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        // Who is gone already needs no answer.
        let Ok(server) = stream.local_addr() else { return };
        let server = SocketAddr::new(server.ip().to_canonical(), server.port());
        let syn = self.tap.as_mut().and_then(|tap| tap.syn_of(client, server));
        let Some(place) = self.visitors.admit(client.ip()) else {
            visitors::turn_away(&stream);
            return;
        };
        if let Ok(visit) = Visit::new(&stream, (client, server), syn, place) {
            tokio::spawn(visitors::converse(stream, Arc::new(visit), Arc::clone(&self.site)));
        }
    }
}

async fn listen_for_syns(tap: &mut Option<Tap>) {
    match tap {
        Some(tap) => tap.listen().await,
        None => std::future::pending().await,
    }
}

/// An MPTCP socket, or a plain one where MPTCP is off: then the page says so.
fn socket(addr: SocketAddr) -> io::Result<(Socket, Speaks)> {
    let domain = Domain::for_address(addr);
    match Socket::new(domain, Type::STREAM, Some(Protocol::MPTCP)) {
        Ok(socket) => Ok((socket, Speaks::Mptcp)),
        Err(error) => {
            tracing::warn!(
                "no MPTCP socket ({error}), so every visitor reads that MPTCP is off here: `sysctl -w net.mptcp.enabled=1` turns it on, then start anew"
            );
            Ok((Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?, Speaks::PlainTcp))
        }
    }
}

fn bound(socket: Socket, addr: SocketAddr) -> io::Result<TcpListener> {
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

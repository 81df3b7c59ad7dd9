//! The sender and the receiver: a stream that both can compute, over MPTCP sockets of the kernel.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::clock;
use crate::lab::netns::Netns;
use crate::lab::{LabError, doing};

/// What is sent, and compared, at once.
const BLOCK: usize = 64 * 1024;
const BLOCK_BYTES: u64 = 64 * 1024;

/// A connection on which nothing moves for so long is stuck; refused handshakes of MPTCP cost at most 7 s.
const STALL_LIMIT: Duration = Duration::from_secs(15);

/// Connections that the server serves at once; the lab opens no more than three.
const SERVED_MAX: usize = 16;

/// How often the server looks for new connections; the kernel has answered them before.
const ACCEPT_EVERY: Duration = Duration::from_millis(5);

/// `sendto` connects, and sends in the SYN (`linux/socket.h`).
const MSG_FASTOPEN: i32 = 0x2000_0000;

/// Blocks begin so many bytes further in the noise than the one before: prime, so that 65 536 blocks in a row differ.
const BLOCK_STEP: u64 = 8191;

/// A line as FTP has it (RFC 959 4.1.2), for boxes that rewrite addresses in data: they shall have something to rewrite.
pub(super) const ADDRESS_LINE: &[u8; 19] = b"PORT 10,0,1,2,4,1\r\n";

/// Where it stands in the noise: the seventh block of a stream is the first that reaches so far. By then the connection
/// has joined.
const LINE_AT: usize = 121_873;

/// Two blocks of noise, of which each block of a stream is a part: to send and to compare costs no arithmetic, so that
/// the lab measures links, not itself.
#[derive(Clone, Debug)]
struct Noise(Vec<u8>);

impl Noise {
    /// SplitMix64 from `seed`.
    fn new(seed: u64) -> Self {
        let words = (1..=BLOCK_BYTES / 4).flat_map(|count| {
            let state = seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ mixed >> 31).to_be_bytes()
        });
        let mut noise: Vec<u8> = words.collect();
        let line = noise.iter_mut().skip(LINE_AT).zip(ADDRESS_LINE);
        line.for_each(|(noise, line)| *noise = *line);
        Self(noise)
    }

    /// The first `len` bytes of the block that begins at byte `at` of the stream.
    fn block(&self, at: u64, len: usize) -> &[u8] {
        let begin = usize::try_from(at / BLOCK_BYTES * BLOCK_STEP % BLOCK_BYTES).unwrap_or(0);
        self.0.get(begin..begin + len).unwrap_or_default()
    }
}

/// What the receiver asks the sender for.
#[derive(Clone, Copy, Debug)]
struct Order {
    bytes: u64,
    seed: u64,
}

impl Order {
    fn emit(self) -> Vec<u8> {
        [self.bytes, self.seed].map(u64::to_be_bytes).concat()
    }

    fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let [mut bytes, mut seed] = [[0; 8]; 2];
        stream.read_exact(&mut bytes)?;
        stream.read_exact(&mut seed)?;
        Ok(Self { bytes: u64::from_be_bytes(bytes), seed: u64::from_be_bytes(seed) })
    }

    /// The stream in blocks, the last one shorter: calls `carry` with where each begins, and its bytes.
    fn blocks(self, mut carry: impl FnMut(u64, &[u8]) -> Result<(), LabError>) -> Result<(), LabError> {
        let noise = Noise::new(self.seed);
        let mut at = 0;
        while at < self.bytes {
            let len = usize::try_from(self.bytes - at).map_or(BLOCK, |left| left.min(BLOCK));
            carry(at, noise.block(at, len))?;
            at += BLOCK_BYTES;
        }
        Ok(())
    }
}

/// Noise that nobody has seen before, in blocks: calls `carry` with each.
pub(super) fn noise(
    bytes: u64,
    mut carry: impl FnMut(&[u8]) -> Result<(), LabError>,
) -> Result<(), LabError> {
    Order { bytes, seed: clock::now().nanos() }.blocks(|_at, block| carry(block))
}

/// Sends what is asked for, until it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    _ends_the_thread: SyncSender<()>,
}

impl Server {
    /// Listens in `namespace`.
    pub(super) fn start(namespace: &Netns, addr: SocketAddr) -> Result<Self, LabError> {
        let listener = namespace.inside(|| listen(addr).map_err(doing(format!("listening on {addr}"))))?;
        let (stop, stopped) = sync_channel(1);
        namespace.spawn("server", move || accept(&listener, &stopped))?;
        Ok(Self { _ends_the_thread: stop })
    }
}

fn mptcp_socket(addr: SocketAddr) -> io::Result<Socket> {
    Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::MPTCP))
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = mptcp_socket(addr)?;
    socket.set_reuse_address(true)?;
    // What most kernels use anyway; with another one links fill, and connections open, at another pace.
    socket.set_tcp_congestion(b"cubic").ok();
    socket.bind(&addr.into())?;
    socket.listen(64)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn accept(listener: &TcpListener, stopped: &Receiver<()>) {
    let serving = Arc::new(());
    while stopped.recv_timeout(ACCEPT_EVERY) == Err(RecvTimeoutError::Timeout) {
        while let Ok((stream, _client)) = listener.accept() {
            let place = Arc::clone(&serving);
            if Arc::strong_count(&serving) > SERVED_MAX {
                continue;
            }
            thread::spawn(move || {
                // Whoever receives notices what fails here.
                serve(stream).ok();
                drop(place);
            });
        }
    }
}

fn serve(mut stream: TcpStream) -> Result<(), LabError> {
    let sending = || doing("sending");
    stream.set_nonblocking(false).map_err(sending())?;
    stream.set_read_timeout(Some(STALL_LIMIT)).map_err(sending())?;
    stream.set_write_timeout(Some(STALL_LIMIT)).map_err(sending())?;
    let order = Order::read(&mut stream).map_err(sending())?;
    order.blocks(|_at, block| stream.write_all(block).map_err(sending()))
}

/// Opens a connection; says how long it took.
pub(super) fn connect(namespace: &Netns, server: SocketAddr) -> Result<(TcpStream, Duration), LabError> {
    namespace.inside(|| {
        let connecting = || doing(format!("connecting to {server}"));
        let socket = mptcp_socket(server).map_err(connecting())?;
        let since = clock::now();
        socket.connect_timeout(&server.into(), STALL_LIMIT).map_err(connecting())?;
        let took = clock::now().since(since);
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(STALL_LIMIT)).map_err(connecting())?;
        stream.set_write_timeout(Some(STALL_LIMIT)).map_err(connecting())?;
        Ok((stream, took))
    })
}

/// Moves `bytes` bytes over plain TCP with Fast Open: what asks for them travels in the SYN where the client has the
/// server's cookie, and the SYN asks for one where it has not (RFC 7413 3).
pub(super) fn fast_open(namespace: &Netns, server: SocketAddr, bytes: u64) -> Result<(), LabError> {
    namespace.inside(|| {
        let opening = || doing(format!("opening fast to {server}"));
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).map_err(opening())?;
        socket.set_read_timeout(Some(STALL_LIMIT)).map_err(opening())?;
        socket.set_write_timeout(Some(STALL_LIMIT)).map_err(opening())?;
        let order = Order { bytes, seed: clock::now().nanos() };
        socket.send_to_with_flags(&order.emit(), &server.into(), MSG_FASTOPEN).map_err(opening())?;
        receive(&mut socket.into(), order, &AtomicU64::new(0))
    })
}

/// A transfer from the server to the client, under way; dropping it ends it.
#[derive(Debug)]
pub(super) struct Download {
    /// Bytes that it shall bring.
    pub(super) bytes: u64,
    received: Arc<AtomicU64>,
    failed: Receiver<LabError>,
    stream: TcpStream,
}

impl Download {
    /// Asks the server for `bytes` bytes, over a connection to it.
    pub(super) fn start(namespace: &Netns, mut stream: TcpStream, bytes: u64) -> Result<Self, LabError> {
        let order = Order { bytes, seed: clock::now().nanos() };
        stream.write_all(&order.emit()).map_err(doing("asking the server for data"))?;
        let mut reader = stream.try_clone().map_err(doing("duplicating a socket"))?;
        let received = Arc::new(AtomicU64::new(0));
        let (tell, failed) = sync_channel(1);
        let count = Arc::clone(&received);
        namespace.spawn("receiver", move || {
            if let Err(error) = receive(&mut reader, order, &count) {
                // Nobody listens where the transfer was given up.
                tell.send(error).ok();
            }
        })?;
        Ok(Self { bytes, received, failed, stream })
    }

    /// Bytes that came and were right.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Why no more will come, when something went wrong.
    pub(super) fn failure(&self) -> Option<LabError> {
        self.failed.try_recv().ok()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // One that has ended is not connected any more.
        self.stream.shutdown(Shutdown::Both).ok();
    }
}

fn receive(stream: &mut TcpStream, order: Order, received: &AtomicU64) -> Result<(), LabError> {
    let mut came = vec![0; BLOCK];
    order.blocks(|at, sent| {
        let came = came.get_mut(..sent.len()).unwrap_or_default();
        stream.read_exact(came).map_err(doing(format!("receiving, behind byte {at} of {}", order.bytes)))?;
        if came != sent {
            return Err(LabError::DataDiffers { at });
        }
        received.fetch_add(u64::try_from(sent.len()).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(order: Order) -> Vec<u8> {
        let mut whole = Vec::new();
        order
            .blocks(|at, block| {
                assert_eq!(at, u64::try_from(whole.len()).unwrap());
                whole.extend_from_slice(block);
                Ok(())
            })
            .unwrap();
        whole
    }

    #[test]
    fn a_stream_has_the_length_asked_for_and_begins_like_a_longer_one() {
        let long = stream(Order { bytes: 200_003, seed: 7 });
        let short = stream(Order { bytes: 65_541, seed: 7 });
        assert_eq!((long.len(), short.len()), (200_003, 65_541));
        assert_eq!(long[..65_541], short);
    }

    #[test]
    fn the_address_comes_in_the_middle_of_the_stream() {
        let whole = stream(Order { bytes: 1_000_000, seed: 3 });
        let at = whole.windows(ADDRESS_LINE.len()).position(|window| window == ADDRESS_LINE);
        assert_eq!(at, Some(523_288));
    }

    #[test]
    fn a_block_that_is_lost_or_comes_twice_is_noticed() {
        let whole = stream(Order { bytes: 5_000_000, seed: 1 });
        let blocks: Vec<_> = whole.chunks(BLOCK).collect();
        let alike = |(at, block): (usize, &&[u8])| blocks[at + 1..].iter().any(|other| other == block);
        assert!(!blocks.iter().enumerate().any(alike));
        assert_ne!(whole, stream(Order { bytes: 5_000_000, seed: 2 }));
    }
}

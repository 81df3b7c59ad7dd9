//! Packets as the kernel hands them over: several with one system call, read where they lie.
//!
//! linux/netfilter/nfnetlink_queue.h has the shapes, linux/netlink.h those of attributes.

use std::array::from_fn;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};

use arrayvec::ArrayVec;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg};

use crate::queue::verdicts::GROUP_MAX;
use crate::wire::edit::ChecksumState;

/// A whole packet, and some hundred bytes that the kernel says of it. No multiple of a page, or all buffers would begin in the
/// same sets of the processor's cache.
const MESSAGE_MAX: usize = (1 << 16) + 4096 + 576;

/// Whether one packet is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    Yes,
    No,
}

/// Messages that were received together, and the next one to be read.
#[derive(Debug)]
pub(super) struct Inbox {
    headers: MultiHeaders<()>,
    buffers: Vec<u8>,
    lens: ArrayVec<usize, GROUP_MAX>,
    next: usize,
}

/// A packet that waits for its verdict, as the kernel's message has it.
#[derive(Debug)]
pub(super) struct Message<'b> {
    /// The queue that it waits in.
    pub(super) queue: u16,
    pub(super) id: u32,
    pub(super) mark: u32,
    /// Numbers of interfaces, or 0.
    pub(super) input: u32,
    pub(super) output: u32,
    pub(super) checksum: ChecksumState,
    /// Bytes of the packet, of which `payload` has the first.
    pub(super) original_len: usize,
    pub(super) payload: &'b mut [u8],
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(GROUP_MAX, None),
            buffers: vec![0; GROUP_MAX * MESSAGE_MAX],
            lens: ArrayVec::new(),
            next: 0,
        }
    }

    /// Receives what waits, up to so many messages and [`GROUP_MAX`], in place of those before: how many they are.
    ///
    /// # Errors
    /// When nothing waits, or the socket has an error to tell.
    pub(super) fn receive(&mut self, socket: impl AsFd, most: usize, wait: Wait) -> io::Result<usize> {
        let flags = match wait {
            Wait::Yes => MsgFlags::MSG_WAITFORONE,
            Wait::No => MsgFlags::MSG_DONTWAIT,
        };
        // Packets that come one by one do not pay for buffers that stay empty.
        match most {
            1 => self.receive_among::<1>(socket, most, flags),
            _ => self.receive_among::<GROUP_MAX>(socket, most, flags),
        }
    }

    fn receive_among<const N: usize>(
        &mut self,
        socket: impl AsFd,
        most: usize,
        flags: MsgFlags,
    ) -> io::Result<usize> {
        (self.next, self.lens) = (0, ArrayVec::new());
        let mut buffers = self.buffers.chunks_exact_mut(MESSAGE_MAX);
        let mut parts: [_; N] = from_fn(|_nth| [IoSliceMut::new(buffers.next().unwrap_or_default())]);
        let parts = parts.iter_mut().take(most);
        let received = recvmmsg(socket.as_fd().as_raw_fd(), &mut self.headers, parts, flags, None)?;
        self.lens.extend(received.map(|message| message.bytes));
        Ok(self.lens.len())
    }

    /// The next packet; none behind the last one.
    ///
    /// # Errors
    /// What the kernel answered to a verdict that it did not take.
    pub(super) fn next(&mut self) -> Option<io::Result<Message<'_>>> {
        let len = *self.lens.get(self.next)?;
        let bytes = self.buffers.chunks_exact_mut(MESSAGE_MAX).nth(self.next)?.get_mut(..len)?;
        self.next = self.next.saturating_add(1);
        Some(read(bytes))
    }
}

/// Reads what the kernel says: a packet, or an error.
fn read(bytes: &mut [u8]) -> io::Result<Message<'_>> {
    const ERROR: u16 = 2; // NLMSG_ERROR
    const PACKET: u16 = 3 << 8; // NFNL_SUBSYS_QUEUE, NFQNL_MSG_PACKET
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "a message of the kernel that is no packet");
    match bytes.get(4..6).and_then(<[u8]>::as_array).map(|kind| u16::from_ne_bytes(*kind)) {
        Some(PACKET) => packet(bytes).ok_or_else(strange),
        Some(ERROR) => Err(word(bytes, 16).map_or_else(strange, |number| {
            io::Error::from_raw_os_error(i32::from_ne_bytes(number).saturating_neg())
        })),
        _ => Err(strange()),
    }
}

/// A netlink header of 16 bytes, one of netfilter of 4 whose last two are the queue, then attributes.
fn packet(bytes: &mut [u8]) -> Option<Message<'_>> {
    const CHECKSUM_NOT_READY: u32 = 1; // NFQA_SKB_CSUMNOTREADY
    let queue = u16::from_be_bytes(*bytes.get(18..20)?.as_array()?);
    let (mut id, mut payload) = (None, 0..0);
    let (mut mark, mut input, mut output, mut whole, mut info) = (0, 0, 0, 0, 0);
    let mut at: usize = 20;
    while let Some([len, kind]) = bytes.get(at..).and_then(attribute) {
        let begin = at.checked_add(4)?;
        let end = at.checked_add(len.into()).filter(|&end| begin <= end && end <= bytes.len())?;
        let number = || word(bytes, begin).map(u32::from_be_bytes);
        match kind {
            1 => id = number(),         // NFQA_PACKET_HDR
            3 => mark = number()?,      // NFQA_MARK
            5 => input = number()?,     // NFQA_IFINDEX_INDEV
            6 => output = number()?,    // NFQA_IFINDEX_OUTDEV
            10 => payload = begin..end, // NFQA_PAYLOAD
            13 => whole = number()?,    // NFQA_CAP_LEN
            14 => info = number()?,     // NFQA_SKB_INFO
            _ => {}
        }
        at = end.next_multiple_of(4);
    }
    let payload = bytes.get_mut(payload)?;
    Some(Message {
        queue,
        id: id?,
        mark,
        input,
        output,
        checksum: if info & CHECKSUM_NOT_READY == 0 {
            ChecksumState::Complete
        } else {
            ChecksumState::Partial
        },
        // It is said only of a packet that is longer.
        original_len: usize::try_from(whole).ok()?.max(payload.len()),
        payload,
    })
}

/// Length and kind of an attribute, header and all; the upper bits of a kind are flags.
fn attribute(bytes: &[u8]) -> Option<[u16; 2]> {
    let [a, b, c, d] = *bytes.first_chunk()?;
    Some([u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]) & 0x3fff])
}

fn word(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    fn put(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
        message.extend(u16::try_from(4 + value.len()).unwrap().to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(value);
        message.resize(message.len().next_multiple_of(4), 0);
    }

    /// A packet of queue 7 as Linux describes it, with these attributes behind its id.
    fn queued(id: u32, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = vec![0; 16];
        message[4..6].copy_from_slice(&0x300_u16.to_ne_bytes());
        message.extend([2, 0, 0, 7]);
        put(&mut message, 1, &[&id.to_be_bytes()[..], &[8, 0, 2]].concat());
        attributes.iter().for_each(|(kind, value)| put(&mut message, *kind, value));
        let len = u32::try_from(message.len()).unwrap();
        message[..4].copy_from_slice(&len.to_ne_bytes());
        message
    }

    #[test]
    fn what_the_kernel_says_of_a_packet_is_read_and_its_bytes_can_be_rewritten() {
        let mut bytes = queued(
            9,
            &[
                (3, &[0, 0, 1, 2]),
                (5, &[0, 0, 0, 4]),
                (6, &[0, 0, 0, 5]),
                (9, &[0, 6, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0]),
                (14, &[0, 0, 0, 3]),
                (13, &[0, 0, 5, 220]),
                (0x8000 | 10, b"abcde"),
            ],
        );
        let message = read(&mut bytes).unwrap();
        assert_eq!((message.queue, message.id, message.mark), (7, 9, 0x102));
        assert_eq!((message.input, message.output), (4, 5));
        assert_eq!((message.checksum, message.original_len), (ChecksumState::Partial, 1500));
        assert_eq!(message.payload, b"abcde");
        message.payload.copy_from_slice(b"ABCDE");
        assert_eq!(read(&mut bytes).unwrap().payload, b"ABCDE");

        let mut bytes = queued(u32::MAX, &[(10, b"whole")]);
        let message = read(&mut bytes).unwrap();
        assert_eq!((message.id, message.mark, message.original_len), (u32::MAX, 0, 5));
        assert_eq!((message.input, message.checksum), (0, ChecksumState::Complete));
    }

    #[test]
    fn errors_are_what_the_kernel_says_and_all_else_is_none_of_its_packets() {
        let mut refused = vec![0; 36];
        refused[4] = 2;
        refused[16..20].copy_from_slice(&(-2_i32).to_ne_bytes());
        assert_eq!(read(&mut refused).unwrap_err().kind(), io::ErrorKind::NotFound);
        let mut foreign = queued(1, &[]);
        foreign[5] = 4;
        let strange =
            [foreign, vec![], queued(1, &[])[..20].to_vec(), queued(1, &[(3, &[1, 2])])[..36].to_vec()];
        for mut bytes in strange {
            assert_eq!(read(&mut bytes).unwrap_err().kind(), io::ErrorKind::InvalidData, "{bytes:?}");
        }
    }

    #[test]
    fn no_bytes_are_too_few_and_no_length_leads_out_of_the_message() {
        let whole = queued(1, &[(3, &[0; 4]), (10, b"payload")]);
        for len in 0..whole.len() {
            read(&mut whole[..len].to_vec()).ok();
        }
        for (at, value) in
            (0..whole.len()).flat_map(|at| [0, 1, 3, 4, 5, 0x7f, 0xff].map(|value| (at, value)))
        {
            let mut bytes = whole.clone();
            bytes[at] = value;
            read(&mut bytes).ok();
        }
    }

    #[test]
    fn what_waits_is_received_together_up_to_so_many() {
        let (kernel, ours) = UnixDatagram::pair().unwrap();
        let mut inbox = Inbox::new();
        let ids = |inbox: &mut Inbox| {
            std::iter::from_fn(|| inbox.next().map(|message| message.unwrap().id)).collect::<Vec<_>>()
        };
        (1..=4).for_each(|id| {
            kernel.send(&queued(id, &[(10, &[0; 3000])])).unwrap();
        });
        assert_eq!(inbox.receive(&ours, 1, Wait::Yes).unwrap(), 1);
        assert_eq!(ids(&mut inbox), [1]);
        assert_eq!(inbox.receive(&ours, 2, Wait::No).unwrap(), 2);
        assert_eq!(inbox.receive(&ours, GROUP_MAX, Wait::No).unwrap(), 1);
        assert_eq!(ids(&mut inbox), [4], "those that nobody read are gone");
        assert_eq!(inbox.receive(&ours, GROUP_MAX, Wait::No).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(ids(&mut inbox).is_empty());
    }
}

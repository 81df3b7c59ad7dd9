//! Verdicts on their way to the kernel: gathered while packets still wait, and sent with one system call.
//!
//! A send costs about a microsecond, whatever is in it; and packets that the kernel accepts by one message
//! (`NFQNL_MSG_VERDICT_BATCH`) spare it the parsing of the others. linux/netfilter/nfnetlink_queue.h has the shapes.

use std::io::{self, IoSlice};
use std::iter;
use std::os::fd::AsFd;

use arrayvec::ArrayVec;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};

/// Verdicts that are held back at most: what a send costs is shared by so many, and the first of them waits for the decisions
/// of the others, some tens of microseconds.
pub(super) const GROUP_MAX: usize = 32;

/// What messages consist of: a number, or two of half the size.
type Word = [u8; 4];

/// A header, the verdict and a mark.
const WORDS_MAX: usize = 10;

/// What the kernel shall do with a packet that it keeps (linux/netfilter.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Drop,
    Accept,
    /// The packet meets the rules that queued it once more.
    Repeat,
    /// The packet waits in that queue.
    Queue(u16),
}

impl Answer {
    fn number(self) -> u32 {
        match self {
            Self::Drop => 0,
            Self::Accept => 1,
            Self::Queue(number) => u32::from(number) << 16 | 3,
            Self::Repeat => 4,
        }
    }
}

/// On whom a message speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// The packet with that id.
    One(u32),
    /// All that wait, up to that id.
    UpTo(u32),
}

/// Packets in a row with the same answer and mark.
#[derive(Clone, Copy, Debug)]
struct Run {
    answer: Answer,
    mark: Option<u32>,
    first: u32,
    last: u32,
}

/// The verdicts of one queue that were not sent yet; send them before there are more than [`GROUP_MAX`].
#[derive(Debug)]
pub(super) struct Verdicts {
    queue: u16,
    messages: ArrayVec<Word, { GROUP_MAX * WORDS_MAX }>,
    run: Option<Run>,
}

impl Verdicts {
    pub(super) const fn new(queue: u16) -> Self {
        Self { queue, messages: ArrayVec::new_const(), run: None }
    }

    /// Answers a packet that stays as it is, and gives it that mark where there is one.
    pub(super) fn give(&mut self, id: u32, answer: Answer, mark: Option<u32>) {
        match &mut self.run {
            Some(run) if (run.answer, run.mark) == (answer, mark) => run.last = id,
            _ => {
                self.end_run();
                self.run = Some(Run { answer, mark, first: id, last: id });
            }
        }
    }

    /// All packets up to that id meet the kernel's rules once more; nothing else may be held back then.
    pub(super) fn repeat_up_to(&mut self, id: u32) {
        self.say(Answer::Repeat, Reach::UpTo(id), None);
    }

    /// Sends what was gathered, in one system call; where the kernel does not take that, one by one.
    ///
    /// # Errors
    /// When the socket does not take some of them singly either: the first such error, after all were tried.
    pub(super) fn send(&mut self, socket: impl AsFd) -> io::Result<()> {
        self.send_by(|bytes| Ok(send(&socket, bytes, SendFlags::empty()).map(drop)?))
    }

    fn send_by(&mut self, mut send: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.end_run();
        let messages = self.messages.as_flattened();
        let sent = if messages.is_empty() || send(messages).is_ok() {
            Ok(())
        } else {
            each(messages).map(send).fold(Ok(()), Result::and)
        };
        self.messages.clear();
        sent
    }

    fn end_run(&mut self) {
        if let Some(Run { answer, mark, first, last }) = self.run.take() {
            let reach = if first == last { Reach::One(last) } else { Reach::UpTo(last) };
            self.say(answer, reach, mark);
        }
    }

    fn say(&mut self, answer: Answer, reach: Reach, mark: Option<u32>) {
        self.messages.extend(message(self.queue, answer, reach, mark));
    }
}

/// Answers one packet of that queue and id; where bytes are given, they are in place of its own.
///
/// # Errors
/// When the socket does not take that, or they are more than an attribute can hold, which is as much as a queue hands over.
pub(super) fn send_one(
    socket: impl AsFd,
    (queue, id): (u16, u32),
    (answer, mark): (Answer, Option<u32>),
    payload: Option<&[u8]>,
) -> io::Result<()> {
    const PAYLOAD: u16 = 10; // NFQA_PAYLOAD
    let mut head: ArrayVec<Word, { WORDS_MAX + 1 }> =
        message(queue, answer, Reach::One(id), mark).into_iter().collect();
    let payload = payload.unwrap_or_default();
    if !payload.is_empty() {
        let too_long = |_too_long| io::Error::from(io::ErrorKind::InvalidInput);
        let len = u16::try_from(payload.len().saturating_add(4)).map_err(too_long)?;
        head.push(attribute(len, PAYLOAD));
    }
    let whole = head.as_flattened().len().saturating_add(payload.len());
    if let Some(len) = head.first_mut() {
        *len = u32::try_from(whole).unwrap_or(u32::MAX).to_ne_bytes();
    }
    let parts = [IoSlice::new(head.as_flattened()), IoSlice::new(payload)];
    sendmsg(socket, &parts, &mut SendAncillaryBuffer::default(), SendFlags::empty())?;
    Ok(())
}

fn message(queue: u16, answer: Answer, reach: Reach, mark: Option<u32>) -> ArrayVec<Word, WORDS_MAX> {
    const VERDICT: u16 = 3 << 8 | 1; // NFNL_SUBSYS_QUEUE, NFQNL_MSG_VERDICT
    const VERDICT_BATCH: u16 = 3 << 8 | 3; // NFNL_SUBSYS_QUEUE, NFQNL_MSG_VERDICT_BATCH
    const REQUEST: u16 = 1; // NLM_F_REQUEST
    const VERDICT_HDR: u16 = 2; // NFQA_VERDICT_HDR
    const MARK: u16 = 3; // NFQA_MARK
    let (kind, id) = match reach {
        Reach::One(id) => (VERDICT, id),
        Reach::UpTo(id) => (VERDICT_BATCH, id),
    };
    let len: u32 = if mark.is_some() { 40 } else { 32 };
    let mut words = ArrayVec::from([
        len.to_ne_bytes(),
        halves(kind.to_ne_bytes(), REQUEST.to_ne_bytes()),
        [0; 4],                              // sequence number
        [0; 4],                              // port
        halves([0; 2], queue.to_be_bytes()), // nfgenmsg: family, version, queue
        attribute(12, VERDICT_HDR),
        answer.number().to_be_bytes(),
        id.to_be_bytes(),
        attribute(8, MARK),
        mark.unwrap_or_default().to_be_bytes(),
    ]);
    if mark.is_none() {
        words.truncate(8);
    }
    words
}

/// The header of an attribute of so many bytes, these four included.
const fn attribute(len: u16, kind: u16) -> Word {
    halves(len.to_ne_bytes(), kind.to_ne_bytes())
}

const fn halves([a, b]: [u8; 2], [c, d]: [u8; 2]) -> Word {
    [a, b, c, d]
}

/// The messages of a group: each begins with its length.
fn each(mut group: &[u8]) -> impl Iterator<Item = &[u8]> {
    iter::from_fn(move || {
        let len = usize::try_from(u32::from_ne_bytes(*group.first_chunk()?)).ok()?;
        let (message, rest) = group.split_at_checked(len)?;
        group = rest;
        Some(message)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    /// What the kernel would read: the answer, whether it is for all up to the id, the id and the mark.
    fn read(bytes: &[u8]) -> Vec<(u32, bool, u32, Option<u32>)> {
        assert_eq!(each(bytes).map(<[u8]>::len).sum::<usize>(), bytes.len());
        each(bytes)
            .map(|message| {
                let word = |at: usize| u32::from_be_bytes(message[at..at + 4].try_into().unwrap());
                assert_eq!(u16::from_be_bytes([message[18], message[19]]), 7);
                (word(24), message[4] == 3, word(28), (message.len() == 40).then(|| word(36)))
            })
            .collect()
    }

    fn sent(gather: impl FnOnce(&mut Verdicts)) -> Vec<(u32, bool, u32, Option<u32>)> {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let mut verdicts = Verdicts::new(7);
        gather(&mut verdicts);
        verdicts.send(&ours).unwrap();
        let mut bytes = [0; 4096];
        let len = theirs.recv(&mut bytes).unwrap();
        theirs.set_nonblocking(true).unwrap();
        theirs.recv(&mut [0; 1]).unwrap_err();
        read(&bytes[..len])
    }

    #[test]
    fn a_packet_alone_has_its_own_verdict() {
        assert_eq!(sent(|verdicts| verdicts.give(9, Answer::Accept, None)), [(1, false, 9, None)]);
        assert_eq!(sent(|verdicts| verdicts.give(9, Answer::Accept, Some(5))), [(1, false, 9, Some(5))]);
        assert_eq!(sent(|verdicts| verdicts.give(9, Answer::Drop, None)), [(0, false, 9, None)]);
    }

    #[test]
    fn a_run_of_accepts_is_one_message_and_order_is_kept() {
        let said = sent(|verdicts| {
            (1..=5).for_each(|id| verdicts.give(id, Answer::Accept, None));
            verdicts.give(6, Answer::Drop, None);
            (7..=8).for_each(|id| verdicts.give(id, Answer::Accept, None));
            (9..=11).for_each(|id| verdicts.give(id, Answer::Accept, Some(3)));
            verdicts.give(12, Answer::Accept, None);
        });
        let expected = [
            (1, true, 5, None),
            (0, false, 6, None),
            (1, true, 8, None),
            (1, true, 11, Some(3)),
            (1, false, 12, None),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn ids_that_wrap_round_are_still_a_run() {
        let said = sent(|verdicts| {
            [u32::MAX, 0, 1].map(|id| verdicts.give(id, Answer::Accept, None)).into_iter().collect()
        });
        assert_eq!(said, [(1, true, 1, None)]);
    }

    #[test]
    fn one_packet_is_sent_elsewhere_or_with_other_bytes() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let mut bytes = [0; 70_000];
        send_one(&ours, (7, 9), (Answer::Queue(0x8007), None), None).unwrap();
        let len = theirs.recv(&mut bytes).unwrap();
        assert_eq!(read(&bytes[..len]), [(0x8007_0003, false, 9, None)]);

        send_one(&ours, (7, 9), (Answer::Accept, Some(5)), Some(b"other")).unwrap();
        let len = theirs.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..4], u32::try_from(len).unwrap().to_ne_bytes());
        assert_eq!(bytes[36..40], 5_u32.to_be_bytes());
        assert_eq!(bytes[40..len], [&9_u16.to_ne_bytes()[..], &10_u16.to_ne_bytes(), b"other"].concat());

        send_one(&ours, (7, 9), (Answer::Accept, None), Some(&[1; 65_531])).unwrap();
        assert_eq!(theirs.recv(&mut bytes).unwrap(), 32 + 4 + 65_531);
        send_one(&ours, (7, 9), (Answer::Accept, None), Some(&[1; 65_532])).unwrap_err();
    }

    #[test]
    fn a_full_group_fits() {
        let mut verdicts = Verdicts::new(7);
        for id in 1..=u32::try_from(GROUP_MAX).unwrap() {
            verdicts.give(id, Answer::Accept, Some(id));
        }
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        verdicts.send(&ours).unwrap();
        let mut bytes = [0; 4096];
        let len = theirs.recv(&mut bytes).unwrap();
        assert_eq!(read(&bytes[..len]).len(), GROUP_MAX);
    }

    #[test]
    fn a_group_that_is_not_taken_goes_one_by_one() {
        let mut verdicts = Verdicts::new(7);
        verdicts.give(1, Answer::Accept, None);
        verdicts.give(2, Answer::Drop, None);
        verdicts.give(3, Answer::Accept, None);
        let mut taken = Vec::new();
        let sent = verdicts.send_by(|bytes| {
            let said = read(bytes);
            // Neither the group nor the second one.
            if said.len() > 1 || said[0].2 == 2 {
                return Err(io::ErrorKind::OutOfMemory.into());
            }
            taken.extend(said);
            Ok(())
        });
        assert_eq!(sent.unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        assert_eq!(taken, [(1, false, 1, None), (1, false, 3, None)]);
    }
}

//! Reads scripts, line by line.

use std::time::Duration;

use crate::engine::{Ingress, Mode};
use crate::mptcp::MptcpOption;
use crate::rules::InterfaceName;
use crate::script::error::{ScriptError, Thing, Wrong};
use crate::script::hosts::Addresses;
use crate::script::mptcp_options::{self, Said};
use crate::script::packet::Draft;
use crate::script::words::{self, Words};
use crate::script::{Case, Line, RuleText, Script, Step, tcp_options};
use crate::time::Timestamp;
use crate::wire::Segment;
use crate::wire::edit::ChecksumState;

/// Nobody mends more than these before asking again.
const ERRORS_MAX: usize = 100;

/// All packets of a script are held in memory at once; a hundred thousand handshakes are a quarter of this.
const PACKET_BYTES_MAX: usize = 64 << 20;

/// From one packet to the next.
const PACE: Duration = Duration::from_millis(1);

/// What a line can begin with.
const LINES: [&str; 13] = [
    "c>s", "from", "case", "rules", "observe", "limits", "wait", "input", "output", "mark", "partial",
    "ipv6", "bytes",
];

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// What is wrong with each line, for the first hundred lines with which something is.
    pub fn parse(text: &str) -> Result<Self, Vec<ScriptError>> {
        let mut reader = Reader::default();
        let mut errors = Vec::new();
        let mut lines = text.lines().zip(1..);
        while let Some((line, number)) = lines.next() {
            let line = bare(line);
            let read = if line == "rules" {
                let mut ended = false;
                let more = |line: &&str| {
                    ended = bare(line) == "end";
                    !ended
                };
                let file: Vec<_> = lines.by_ref().map(|(line, _number)| line).take_while(more).collect();
                reader.push(Step::Rules(RuleText { number: number + 1, text: file.join("\n") }));
                if ended { Ok(()) } else { Err(Wrong::NoEnd) }
            } else {
                reader.line(number, line)
            };
            errors.extend(read.err().map(|wrong| ScriptError { line: number, wrong }));
            if errors.len() == ERRORS_MAX {
                break;
            }
        }
        if errors.is_empty() { Ok(reader.finish()) } else { Err(errors) }
    }
}

/// A line without its comment.
fn bare(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

#[derive(Default)]
struct Reader {
    cases: Vec<Case>,
    case: Case,
    world: World,
    packet_bytes: usize,
}

/// What the lines of a case have set so far.
struct World {
    addresses: Addresses,
    ingress: Ingress,
    now: Timestamp,
    /// Of the MP_CAPABLE that was said last, 1 before it.
    version: u8,
}

impl Default for World {
    fn default() -> Self {
        let (addresses, ingress) = (Addresses::default(), Ingress::default());
        Self { addresses, ingress, now: Timestamp::ZERO, version: 1 }
    }
}

impl Reader {
    fn finish(mut self) -> Script {
        if !self.case.steps.is_empty() || self.cases.is_empty() {
            self.cases.push(self.case);
        }
        Script { cases: self.cases }
    }

    fn push(&mut self, step: Step) {
        self.case.steps.push(step);
    }

    fn line(&mut self, number: usize, line: &str) -> Result<(), Wrong> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if word == "case" {
            self.begin(rest.trim());
        }
        if matches!(word, "" | "case") {
            return Ok(());
        }
        let (said, wanted) = decision(line)?;
        let all: Vec<_> = said.split_whitespace().collect();
        let mut options = all.split(|word| *word == "+");
        let mut words = Words::new("", options.next().unwrap_or_default());
        let first = words.next().unwrap_or("=");
        let bytes = if first == "bytes" {
            words.hex()?
        } else if first == "from" || first.contains('>') {
            self.segment(first, words, options)?.build()?
        } else {
            let too_much = wanted.map(|_decision| "=").or_else(|| options.next().map(|_option| "+"));
            self.set(first, &mut words)?;
            return too_much.map_or_else(|| words.end(first), |word| Err(Wrong::too_much(word, first)));
        };
        self.packet(number, line, bytes, wanted)
    }

    /// A case of that name; the one before it is dropped where nothing happens in it.
    fn begin(&mut self, name: &str) {
        let case = Case { name: name.to_owned(), ..Case::default() };
        let before = std::mem::replace(&mut self.case, case);
        self.cases.extend(Some(before).filter(|case| !case.steps.is_empty()));
        self.world = World::default();
    }

    fn packet(
        &mut self,
        number: usize,
        text: &str,
        bytes: Vec<u8>,
        wanted: Option<String>,
    ) -> Result<(), Wrong> {
        self.packet_bytes = self.packet_bytes.saturating_add(bytes.len());
        if self.packet_bytes > PACKET_BYTES_MAX {
            return Err(Wrong::TooLong { most: PACKET_BYTES_MAX });
        }
        let World { ingress, .. } = self.world;
        self.world.now = self.world.now.after(PACE);
        let (text, now) = (text.to_owned(), self.world.now);
        self.push(Step::Packet(Line { number, text, now, ingress, bytes, wanted }));
        Ok(())
    }

    /// Reads `words` behind the word `way`, and the options that follow the first.
    fn segment<'w, 't>(
        &mut self,
        way: &'t str,
        mut words: Words<'w, 't>,
        options: impl Iterator<Item = &'w [&'t str]>,
    ) -> Result<Draft, Wrong> {
        let way = self.world.addresses.way(way, &mut words)?;
        let word = words.need(Thing::Segment, "something like syn, or data:100")?;
        let (kind, len) = word.split_once(':').map_or((word, None), |(kind, len)| (kind, Some(len)));
        let segment = Segment::ALL.into_iter().find(|segment| segment.label() == kind);
        let segment =
            segment.ok_or_else(|| Wrong::unknown(kind, Thing::Segment, &Segment::ALL.map(Segment::label)))?;
        let mut draft = Draft::new(way.flow, segment);
        if let Some(len) = len {
            let read: u16 = words::number(len)
                .ok_or_else(|| Wrong::value(len, Thing::Length, "the bytes of payload, 0 to 65495"))?;
            draft = draft.with_payload(read.into());
        }
        let payload_len = u16::try_from(draft.payload.len()).unwrap_or(u16::MAX);
        let mut said = Said { way, segment, payload_len, version: self.world.version };
        if !words.is_empty() {
            draft = option(draft, &mut said, words)?;
        }
        for words in options {
            draft = option(draft, &mut said, Words::new("+", words))?;
        }
        self.world.version = said.version;
        Ok(draft)
    }

    fn set(&mut self, word: &str, words: &mut Words<'_, '_>) -> Result<(), Wrong> {
        match word {
            "rules" => {}
            "observe" => self.case(word)?.mode = Mode::Observe,
            "limits" => {
                let right = "how many connections are remembered, and how many handshakes";
                let (connections_max, handshakes_max) = (words.number(right)?, words.number(right)?);
                let limits = &mut self.case(word)?.limits;
                limits.connections_max = connections_max;
                limits.handshakes_max = handshakes_max;
            }
            "wait" => {
                self.world.now = self.world.now.after(Duration::from_secs(words.number("seconds")?));
                self.push(Step::Wait(self.world.now));
            }
            "input" => self.world.ingress.input = Some(interface(words)?),
            "output" => self.world.ingress.output = Some(interface(words)?),
            "mark" => self.world.ingress.mark = words.number("a mark of 32 bits, such as 0x1")?,
            "partial" => self.world.ingress.checksum = ChecksumState::Partial,
            "ipv6" => self.world.addresses.ipv6 = true,
            _ => return Err(Wrong::unknown(word, Thing::Line, &LINES)),
        }
        Ok(())
    }

    /// The case, as long as its engine has seen nothing.
    fn case(&mut self, word: &str) -> Result<&mut Case, Wrong> {
        let begun = self.world.now > Timestamp::ZERO;
        if begun { Err(Wrong::Late { word: word.to_owned() }) } else { Ok(&mut self.case) }
    }
}

/// Puts one option, or what stands in its place, into the draft.
fn option(draft: Draft, said: &mut Said, mut words: Words<'_, '_>) -> Result<Draft, Wrong> {
    let name = words.need(Thing::Option, "something like mp_capable, or mss 1460")?;
    match name {
        "raw" => return Ok(draft.with_raw(&words.hex()?)),
        "seq" => {
            let draft = draft.with_seq(words.number("a sequence number")?);
            words.end(name)?;
            return Ok(draft);
        }
        _ => {}
    }
    if let Some(bytes) = tcp_options::read(name, &mut words)? {
        return Ok(draft.with_raw(&bytes));
    }
    let Some(option) = mptcp_options::read(name, *said, &mut words)? else {
        let names =
            mptcp_options::names().chain(tcp_options::NAMES).chain(["raw", "seq"]).collect::<Vec<_>>();
        return Err(Wrong::unknown(name, Thing::Option, &names));
    };
    if let MptcpOption::Capable(capable) = &option {
        said.version = capable.version;
    }
    Ok(draft.with(&option))
}

/// What a line says, and the decision behind its `=`, with single blanks.
fn decision(line: &str) -> Result<(&str, Option<String>), Wrong> {
    let Some((said, wanted)) = line.split_once('=') else { return Ok((line, None)) };
    let words: Vec<_> = wanted.split_whitespace().collect();
    let right = "verdict, reason and standing, such as accept default new_connection";
    Words::new("=", &words).need(Thing::Decision, right)?;
    Ok((said, Some(words.join(" "))))
}

fn interface(words: &mut Words<'_, '_>) -> Result<InterfaceName, Wrong> {
    let right = "1 to 15 bytes, such as eth0";
    let word = words.need(Thing::Interface, right)?;
    InterfaceName::new(word).ok_or_else(|| Wrong::value(word, Thing::Interface, right))
}

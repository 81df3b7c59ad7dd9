//! Conversations in words, as a script or on the command line, played and traced.

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::{Args, Book, Printer, Traced, open};
use crate::live::load::LoadError;
use crate::rules::{RuleSet, Source};
use crate::script::{Case, RuleText, Script, Step};
use crate::trace::{Arrival, Told};

/// A longer text is no script that a person traces: the longest of the tests has a thousandth of this.
const SCRIPT_BYTES_MAX: u64 = 8 << 20;

/// Where a conversation is told.
#[derive(Clone, Copy)]
pub(super) enum Telling<'p> {
    Words,
    File(&'p Path),
}

impl Telling<'_> {
    /// A line of it, as messages name it.
    fn place(self, line: usize) -> String {
        match self {
            Self::Words => format!("line {line}"),
            Self::File(path) => format!("{}:{line}", path.display()),
        }
    }

    /// A rule file inside it, at the lines of the whole.
    fn source(self, file: &RuleText) -> Source {
        let path = match self {
            Self::Words => "words".to_owned(),
            Self::File(path) => path.display().to_string(),
        };
        let text = "\n".repeat(file.number.saturating_sub(1)) + &file.text;
        Source { path, text }
    }
}

pub(super) fn conversation(
    args: &Args,
    telling: Telling<'_>,
    text: &str,
    book: &Book,
    printer: &mut Printer,
) -> anyhow::Result<Traced> {
    let script = match Script::parse(text) {
        Ok(script) => script,
        Err(errors) => {
            let errors = errors.iter().map(|error| format!("{}: {}", telling.place(error.line), error.wrong));
            return Ok(Traced::Not(errors.collect::<Vec<_>>().join("\n")));
        }
    };
    let packets = script.cases.iter().flat_map(|case| &case.steps);
    let count =
        packets.filter(|step| matches!(step, Step::Packet(_))).zip(1..).last().map_or(0, |(_, at)| at);
    if count == 0 {
        let remedy = "write one such as `c>s syn mp_capable`; `mpgate trace --help` has the words";
        return Ok(Traced::Not(format!("there is no packet to trace; {remedy}")));
    }
    if args.last {
        printer.first = count;
    }
    for case in &script.cases {
        if let Err(error) = play(case, telling, book, printer)? {
            return Ok(Traced::Not(error.to_string()));
        }
    }
    Ok(Traced::All)
}

/// Plays a case, with an engine of its own; the rules of its script take the place of those that it begins with.
fn play(
    case: &Case,
    telling: Telling<'_>,
    book: &Book,
    printer: &mut Printer,
) -> io::Result<Result<(), LoadError>> {
    let engine = case.engine(RuleSet::default());
    drop(engine.swap_rules(Arc::clone(&book.rules)));
    let mut written = None;
    for step in &case.steps {
        match step {
            Step::Rules(file) => match Book::compiled(vec![telling.source(file)]) {
                Ok(book) => {
                    drop(engine.swap_rules(Arc::clone(&book.rules)));
                    written = Some(book);
                }
                Err(error) => return Ok(Err(error)),
            },
            Step::Wait(now) => {
                engine.expire(*now);
            }
            Step::Packet(line) => {
                let arrival = Arrival {
                    number: printer.packets + 1,
                    told: Told::Script { case: &case.name, line: line.number, text: &line.text },
                    now: line.now,
                    ingress: &line.ingress,
                    bytes: &line.bytes,
                };
                printer.arrive(&engine, &written.as_ref().unwrap_or(book).sources, arrival)?;
            }
        }
    }
    Ok(Ok(()))
}

pub(super) fn script_text(path: &Path) -> anyhow::Result<String> {
    let name = path.display();
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(open(path)?) };
    let mut text = String::new();
    source.take(SCRIPT_BYTES_MAX + 1).read_to_string(&mut text).with_context(|| format!("{name}"))?;
    if u64::try_from(text.len()).is_ok_and(|len| len > SCRIPT_BYTES_MAX) {
        bail!("{name}: is larger than {} MiB, the most that a script may have", SCRIPT_BYTES_MAX >> 20);
    }
    Ok(text)
}

//! A hundred thousand mutated rule files: each is read or refused with places that are in it, in time, and without a panic.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that cannot go on has failed, and one that hangs is ended"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mpgate::rules::codes::CATALOGUE;
use mpgate::rules::diagnostic::{Look, render};
use mpgate::rules::schema::schema;
use mpgate::rules::{Diagnostic, Severity, Source, compile_with};

const CASES: u64 = 100_000;

/// A file of some hundred lines takes a millisecond or two without optimisation.
const CASE_MAX: Duration = Duration::from_secs(2);

/// One of so many reports is drawn, and one of so many clean files is held against the schema: both cost more than reading.
const DRAWN: u64 = 8;

/// Where the seeds of the cases begin; a case is told by its seed alone.
const SEED: u64 = 0x6d70_6761_7465;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.roll() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn pick<'t>(&mut self, from: &'t [String]) -> &'t str {
        &from[self.below(from.len())]
    }
}

/// What files are made of.
struct Stuff {
    /// Sound and unsound files, all small.
    files: Vec<String>,
    /// Sections of these and of larger ones, each with its header.
    sections: Vec<String>,
    /// Lines of all of them.
    lines: Vec<String>,
    /// Keys, words and signs.
    pieces: Vec<String>,
}

impl Stuff {
    fn gather() -> Self {
        let home = Path::new(env!("CARGO_MANIFEST_DIR"));
        let shipped = fs::read_dir(home.join("rules")).unwrap().map(|entry| entry.unwrap().path());
        let shipped = shipped.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
        let mut large: Vec<_> = shipped.map(|path| fs::read_to_string(path).unwrap()).collect();
        large.sort();
        large.push(include_str!("rules/everything.toml").to_owned());
        let files: Vec<_> = CATALOGUE
            .iter()
            .flat_map(|explained| [explained.bad.to_owned(), explained.good.to_owned()])
            .collect();
        let all = large.iter().chain(&files).map(String::as_str).collect::<Vec<_>>().join("\n");
        let code = all.lines().map(|line| line.split('#').next().unwrap()).collect::<Vec<_>>().join("\n");
        let sections =
            code.split("\n[").map(|section| format!("[{}\n", section.trim_start_matches('[').trim()));
        let sections = sections
            .map(|section| if section.starts_with("[rule]]") { format!("[{section}") } else { section });
        let words = code.split(|letter: char| letter.is_whitespace() || letter == ',').map(str::to_owned);
        let schema = schema();
        let keys = ["policy", "limits", "normalize", "sets"]
            .into_iter()
            .map(|section| format!("/properties/{section}"));
        let keys = keys.chain(["/properties/rule/items".to_owned()]).flat_map(|section| {
            let properties = schema.pointer(&section).and_then(|section| section["properties"].as_object());
            properties.into_iter().flatten().map(|(key, _)| format!("{key} = ")).collect::<Vec<_>>()
        });
        let signs = SIGNS.iter().map(|&sign| sign.to_owned());
        let mut pieces: Vec<_> = words.filter(|word| !word.is_empty()).chain(keys).chain(signs).collect();
        pieces.sort();
        pieces.dedup();
        Self {
            sections: sections.collect(),
            files,
            lines: code.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect(),
            pieces,
        }
    }

    /// Half of them are whole files of the catalogue with one thing done to them, which may well be sound then; the others
    /// are sections of anything.
    fn file(&self, dice: &mut Dice) -> Vec<u8> {
        let whole = dice.below(2) == 0;
        let mut bytes = if whole {
            dice.pick(&self.files).as_bytes().to_vec()
        } else {
            (0..=dice.below(3)).map(|_| dice.pick(&self.sections)).collect::<String>().into_bytes()
        };
        for _ in 0..if whole { 1 } else { 1 + dice.below(4) } {
            self.mutate(&mut bytes, dice);
        }
        bytes
    }

    fn mutate(&self, bytes: &mut Vec<u8>, dice: &mut Dice) {
        let at = dice.below(bytes.len() + 1);
        match dice.below(12) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            1 => put(bytes, at, &[], dice.below(40)),
            2 => bytes.truncate(at),
            3 => {
                let taken = dice.below(12);
                put(bytes, at, dice.pick(&self.pieces).as_bytes(), taken);
            }
            4..=6 => {
                let line = dice.pick(&self.lines).to_owned();
                let start =
                    bytes[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
                bytes.splice(start..start, line.into_bytes());
            }
            7 => put(
                bytes,
                at,
                &NUMBERS[dice.below(NUMBERS.len())].repeat(1 + dice.below(3)).into_bytes(),
                dice.below(6),
            ),
            8 => put(bytes, at, &NESTS[dice.below(NESTS.len())].repeat(1 << dice.below(10)).into_bytes(), 0),
            9 => put(bytes, at, STRANGE[dice.below(STRANGE.len())].as_bytes(), dice.below(3)),
            10 => {
                let end = (at + dice.below(200)).min(bytes.len());
                let again = bytes[at..end].repeat(1 + dice.below(6));
                put(bytes, at, &again, 0);
            }
            _ => value_of_another(bytes, at, dice.pick(&self.lines)),
        }
    }
}

/// Puts a piece in the place of some bytes.
fn put(bytes: &mut Vec<u8>, at: usize, piece: &[u8], taken: usize) {
    let end = (at + taken).min(bytes.len());
    bytes.splice(at..end, piece.iter().copied());
}

/// Puts the value of another line behind the `=` of the line at `at`.
fn value_of_another(bytes: &mut Vec<u8>, at: usize, line: &str) {
    let (Some(equals), Some((_, value))) =
        (bytes[at..].iter().position(|&byte| byte == b'=').map(|equals| at + equals), line.split_once('='))
    else {
        return;
    };
    let end =
        bytes[equals..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |len| equals + len + 1);
    bytes.splice(equals + 1..end, value.bytes());
}

const SIGNS: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'''",
    "\"\"\"",
    "\\u",
    "\\",
    "\n",
    "\r\n",
    "\r",
    "=",
    ",",
    ".",
    "#",
    "true",
    "false",
    "@",
    "1979-05-27",
    "inf",
    "nan",
    "\t",
    " ",
    "\"9-3\"",
    "\"> 5\"",
    "\"100/s per source\"",
    "\"0x1/0xff\"",
    "\"10.0.0.0/8\"",
    "\"::/0\"",
    "{ file = \"list.txt\" }",
    "{ file = \"\" }",
    "[[rule]]\n",
    "[sets]\n",
    "[rule]\n",
    "_not = ",
];

const NUMBERS: [&str; 10] = [
    "0",
    "-1",
    "65536",
    "4294967296",
    "99999999999999999999",
    "0xffffffffffffffff",
    "1e999",
    "0b1",
    "0o7",
    "3.5",
];

const NESTS: [&str; 8] = ["[", "{a=", "[[", "a.", "{a={", "[\"", "(", "\"@a\","];

const STRANGE: [&str; 10] =
    ["é", "\u{feff}", "\0", "\u{1b}[31m", "\u{202e}", "e\u{301}", "😀", "\u{2028}", "\u{85}", "\u{7f}"];

/// What the set's lists say: something of everything.
const LIST: &str = "192.0.2.1\n# ours\n::1/130\nbad.example\n\u{fc}\n2001:db8::/32 # é\n";

/// All that is said of the file, or what is wrong with what is said.
fn check(text: &str) -> Result<Vec<Diagnostic>, String> {
    let source = Source { path: "r.toml".to_owned(), text: text.to_owned() };
    let mut read = |named: &str, by: &Source| match named.len() % 3 {
        0 => Err("cannot be read".to_owned()),
        _ => Ok(Source { path: format!("{}/{named}", by.path), text: LIST.to_owned() }),
    };
    let outcome = compile_with(&[source], &mut read);
    let refused = outcome.is_err();
    let said = outcome.map_or_else(|errors| errors, |(_, warnings)| warnings);
    if refused != said.iter().any(|said| said.severity == Severity::Error) {
        return Err(format!("refused: {refused}, and yet {said:#?}"));
    }
    for said in &said {
        let places = [Some(&said.place), said.related.as_ref().map(|related| &related.place)];
        for place in places.into_iter().flatten() {
            let text = if place.path == "r.toml" { text } else { LIST };
            let line = text.split('\n').nth(place.line.wrapping_sub(1));
            let fits = line.is_some_and(|line| (1..=line.chars().count() + 1).contains(&place.column));
            if !fits || text.get(place.span.clone()).is_none() {
                return Err(format!("no such place: {said:#?}"));
            }
        }
    }
    Ok(said)
}

fn agrees_with_schema(text: &str, validator: &jsonschema::Validator) -> Result<(), String> {
    // Numbers that are too large for JSON are too large for rules, and no sound file has any.
    let value: serde_json::Value = toml::from_str(text).map_err(|error| error.to_string())?;
    validator
        .validate(&value)
        .map_err(|error| format!("sound, but for the schema: {}: {error}", error.instance_path()))
}

/// What the threads share.
struct Run {
    stuff: Stuff,
    validator: jsonschema::Validator,
    next: AtomicU64,
    sound: AtomicUsize,
    complaint: Mutex<Option<String>>,
}

impl Run {
    fn case(&self, number: u64, text: &str) -> Result<(), String> {
        let said = check(text)?;
        if number.is_multiple_of(DRAWN) {
            let _drawn = render(&said, Look::Coloured);
        }
        if said.iter().all(|said| said.severity != Severity::Error) {
            self.sound.fetch_add(1, Ordering::Relaxed);
            if number.is_multiple_of(DRAWN) {
                agrees_with_schema(text, &self.validator)?;
            }
        }
        Ok(())
    }

    /// Runs cases until there are none or one is wrong; `now` shows the one that runs.
    fn work(&self, now: &Mutex<(u64, Instant)>) {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= CASES || self.complaint.lock().unwrap().is_some() {
                return;
            }
            *now.lock().unwrap() = (number, Instant::now());
            let bytes = self.stuff.file(&mut Dice(SEED.wrapping_add(number)));
            let text = String::from_utf8_lossy(&bytes);
            let outcome = catch_unwind(AssertUnwindSafe(|| self.case(number, &text)));
            if let Err(why) = outcome.unwrap_or_else(|_| Err("a panic".to_owned())) {
                self.complaint.lock().unwrap().get_or_insert(format!("case {number}: {why}\n{text}"));
            }
        }
    }
}

#[test]
fn mutated_files_are_read_or_refused_with_a_place_and_in_time() {
    let run = Arc::new(Run {
        stuff: Stuff::gather(),
        validator: jsonschema::draft202012::new(&schema()).unwrap(),
        next: AtomicU64::new(0),
        sound: AtomicUsize::new(0),
        complaint: Mutex::new(None),
    });
    let threads = thread::available_parallelism().map_or(2, usize::from);
    let workers: Vec<_> = (0..threads)
        .map(|_| {
            let (run, now) = (Arc::clone(&run), Arc::new(Mutex::new((0, Instant::now()))));
            let shown = Arc::clone(&now);
            (thread::spawn(move || run.work(&now)), shown)
        })
        .collect();
    while workers.iter().any(|(worker, _)| !worker.is_finished()) {
        thread::sleep(Duration::from_millis(20));
        for (worker, shown) in &workers {
            let (number, since) = *shown.lock().unwrap();
            if !worker.is_finished() && since.elapsed() > CASE_MAX {
                let bytes = run.stuff.file(&mut Dice(SEED.wrapping_add(number)));
                panic!("case {number} takes longer than {CASE_MAX:?}\n{}", String::from_utf8_lossy(&bytes));
            }
        }
    }
    if let Some(complaint) = run.complaint.lock().unwrap().take() {
        panic!("{complaint}");
    }
    for (worker, _) in workers {
        worker.join().unwrap();
    }
    let sound = run.sound.load(Ordering::Relaxed);
    println!("{CASES} mutated files, {sound} of them sound; seed {SEED:#x}");
    // Where nearly all are refused by the parser, the language is not tried; where nearly none is, its errors are not.
    let tenth = usize::try_from(CASES / 20).unwrap();
    assert!((tenth..19 * tenth).contains(&sound), "{sound}");
}

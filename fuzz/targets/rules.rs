//! Any text is read as rules, or refused with places that are in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mpgate::rules::diagnostic::{Look, render};
use mpgate::rules::{Source, compile_with};

/// What the lists of sets say.
const LIST: &str = "192.0.2.1\n# ours\n::1/130\nbad.example\n2001:db8::/32\n";

fuzz_target!(|text: &str| {
    let source = Source { path: "r.toml".to_owned(), text: text.to_owned() };
    let mut read = |_: &str, _: &Source| Ok(Source { path: "list.txt".to_owned(), text: LIST.to_owned() });
    let said = compile_with(&[source], &mut read).map_or_else(|errors| errors, |(_, warnings)| warnings);
    for said in &said {
        let text = if said.place.path == "r.toml" { text } else { LIST };
        let line = text.split('\n').nth(said.place.line - 1);
        assert!(line.is_some_and(|line| (1..=line.chars().count() + 1).contains(&said.place.column)), "{said:?}");
        assert!(text.get(said.place.span.clone()).is_some(), "{said:?}");
    }
    render(&said, Look::Plain);
});

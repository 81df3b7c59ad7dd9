//! Draws what `benches/run` measured: `chart SUMMARY.json OUT.svg|OUT.png`.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a bench prints")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mpgate::picture::{Axis, Bar, Bars, Chart, Colour, Format, Panel, Picture, Unit};
use serde::Deserialize;

/// A row of the summary, as far as it is drawn.
#[derive(Deserialize)]
struct Row {
    value: f64,
    unit: String,
}

/// What stands on the router, in the order in which it is drawn, and how a picture calls it.
const WHO: [(&str, &str); 13] = [
    ("none", "no filter"),
    ("control", "mpgate, mode control"),
    ("control-fanout", "mpgate, mode control, a queue for each processor"),
    ("strict", "mpgate, mode strict"),
    ("all", "mpgate, mode all"),
    ("all-ordinary", "mpgate, mode all, ordinary priority"),
    ("c", "least C program, all TCP"),
    ("c-head-realtime", "the same, packets' heads, real-time priority"),
    ("nfq", "nfq crate's loop, all TCP"),
    ("c-control", "least C program, mpgate's control rules"),
    ("c-control-fanout", "the same, a queue for each processor"),
    ("tcpoptstrip", "kernel alone: TCPOPTSTRIP"),
    ("nft-reset", "kernel alone: nft reset"),
];

/// What is drawn, by the summary's rows.
const PANELS: [(&str, &str); 8] = [
    ("bulk tcp", "Bulk data of plain TCP: more is better"),
    ("bulk mptcp", "Bulk data of MPTCP, four connections: more is better"),
    ("connections tcp", "Plain TCP connections opened: more is better"),
    ("connections mptcp", "MPTCP connections opened: more is better"),
    ("connect mptcp, p50", "How long an MPTCP connection takes to open, median: less is better"),
    ("worker, bulk tcp", "Worker's processor time for one packet of bulk data, TCP: less is better"),
    ("worker, bulk mptcp", "The same, MPTCP: less is better"),
    (
        "worker, small packets that wait",
        "Worker's processor time for one small packet of many: less is better",
    ),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let [summary, out] = words.as_slice() else {
        return println!("benches/run runs this");
    };
    let rows: BTreeMap<String, Row> = serde_json::from_slice(&fs::read(summary).unwrap()).unwrap();
    let panels = PANELS.iter().filter_map(|(row, title)| panel(&rows, row, title)).collect();
    let picture = Picture {
        title: "What the gate costs".to_owned(),
        subtitle: "One machine of two cores, network namespaces, medians in one run: benches/run".to_owned(),
        panels,
        events: Vec::new(),
    };
    let out = Path::new(out);
    fs::write(out, picture.encode(Format::of(out).unwrap()).unwrap()).unwrap();
}

fn panel(rows: &BTreeMap<String, Row>, name: &str, title: &str) -> Option<Panel> {
    let measured =
        WHO.iter().filter_map(|(who, called)| Some((*who, *called, rows.get(&format!("{name}, {who}"))?)));
    let bars: Vec<Bar> = measured
        .clone()
        .map(|(who, called, row)| Bar { name: called.to_owned(), value: row.value, colour: colour(who) })
        .collect();
    let (_, _, first) = measured.clone().next()?;
    let x = Axis { label: name.to_owned(), unit: Unit::Other(first.unit.clone()) };
    Some(Panel { title: title.to_owned(), chart: Chart::Bars(Bars { x, bars }) })
}

fn colour(who: &str) -> Colour {
    match who {
        "control" | "control-fanout" | "strict" | "all" | "all-ordinary" => Colour::Series(0),
        "none" => Colour::Series(2),
        _ => Colour::Muted,
    }
}

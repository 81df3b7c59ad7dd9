//! A page for those who decide: what a user has of each box, and of mpgate at its place. It needs no network and no
//! script.

use std::fmt::Write;

use bytesize::ByteSize;

use crate::lab::boxes::catalogue::Means;
use crate::lab::boxes::measure::{Outcome, STALL_LIMIT};
use crate::lab::boxes::report::{Report, Row, percents, told_micros};

const PAGE: &str = include_str!("page.html");

/// Waiting that people notice: a fifth of a second is read as "at once" (Nielsen's 0.1 s, with room).
const NOTICED_MICROS: u64 = 200_000;

/// A bar of waiting is full with so much; what takes longer fills it too.
const WAIT_FULL_MICROS: u64 = 4_000_000;

/// The page.
pub fn page(report: &Report) -> String {
    let kernel = rustix::system::uname();
    let [first, second] = report.links;
    let how = format!(
        "Real MPTCP sockets on Linux {}, in network namespaces. Each download is {} over two links of {} Mbit/s each; both \
         subflows pass the box. Each box meets a host that never met it before.",
        escaped(&kernel.release().to_string_lossy()),
        ByteSize(report.bytes).display().si(),
        report.link_mbit
    );
    let sections = [
        section(report, "Without a box", "What MPTCP is for.", |row| {
            matches!(row.kind.means, Means::Forward)
        }),
        section(
            report,
            "Boxes that do not know MPTCP",
            "Each does one thing, as firewalls, normalizers and gateways in the field do.",
            |row| !matches!(row.kind.means, Means::Forward) && !row.kind.is_gate(),
        ),
        section(
            report,
            "mpgate at the same place",
            "Each rule file as it ships. What they let be MPTCP uses both links; the rest becomes plain TCP in its SYN.",
            |row| row.kind.is_gate(),
        ),
    ];
    PAGE.replace("{{lead}}", LEAD)
        .replace("{{figures}}", &figures(report))
        .replace("{{how}}", &how)
        .replace("{{first}}", first)
        .replace("{{second}}", second)
        .replace("{{sections}}", &sections.concat())
        .replace("{{family}}", report.family.name())
        .replace("{{full}}", &(WAIT_FULL_MICROS / 1_000_000).to_string())
        .replace("{{stall}}", &STALL_LIMIT.as_secs().to_string())
}

const LEAD: &str = "Multipath TCP lets one connection use several links. It lives in an option of TCP that many boxes on \
    the way do not expect. Some make its users wait, some refuse them, some let connections stand still without a word. \
    A firewall that knows MPTCP need not choose between letting it pass unseen and breaking it.";

/// What is to be kept in mind, in numbers.
fn figures(report: &Report) -> String {
    let mut figures = String::new();
    let mut figure = |class: &str, number: String, words: &str| {
        write!(figures, "<div class=\"figure {class}\"><b>{number}</b>{words}</div>").ok();
    };
    let boxes: Vec<_> = report.rows.iter().filter(|row| is_box(row)).collect();
    let gates: Vec<_> = report.rows.iter().filter(|row| row.kind.is_gate()).collect();
    let count = |rows: &[&Row], is: fn(&Row) -> bool| rows.iter().filter(|row| is(row)).count();
    if !boxes.is_empty() {
        let harmed = count(&boxes, is_hurt);
        figure("bad", format!("{harmed} of {}", boxes.len()), "boxes make users wait, or break what they do");
        let slowed = count(&boxes, |row| !is_hurt(row) && !uses_both(row));
        figure("", format!("{slowed} of {}", boxes.len()), "leave them one link of two");
    }
    if !gates.is_empty() {
        let harmed = count(&gates, is_hurt);
        let class = if harmed == 0 { "good" } else { "bad" };
        figure(
            class,
            format!("{harmed} of {}", gates.len()),
            "rule files of mpgate make anybody wait, or break anything",
        );
        let worst = gates.iter().filter_map(|row| row.measured.connects.worst_micros).max();
        let worst = worst.map_or("-".to_owned(), told_micros);
        figure(class, worst, "is the longest that a connection took to open through mpgate");
    }
    if report.probed > 0 {
        let (number, words) = (
            format!("{} of {}", report.named, report.probed),
            "ways that mpgate probe tells right, with the hop",
        );
        figure("", number, words);
    }
    figures
}

fn section(report: &Report, title: &str, about: &str, belongs: fn(&Row) -> bool) -> String {
    let rows: String = report.rows.iter().filter(|row| belongs(row)).map(|row| told(report, row)).collect();
    if rows.is_empty() {
        return rows;
    }
    let [first, second] = report.links;
    format!(
        "<section><h2>{title}</h2><p class=\"faint\">{about}</p><table><thead><tr><th class=\"name\">Box</th>\
         <th class=\"connect\">Waiting for a connection, at worst</th>\
         <th class=\"rate\">Download over <span class=\"key first\"></span> {first} \
         <span class=\"key second\"></span> {second}</th><th>What a user sees</th></tr></thead>\
         <tbody>{rows}</tbody></table></section>\n"
    )
}

fn told(report: &Report, row: &Row) -> String {
    let worst = row.measured.connects.worst_micros;
    let wait = worst.map_or("none opens".to_owned(), told_micros);
    let waited = worst.map_or(0, |micros| micros.saturating_mul(100) / WAIT_FULL_MICROS).min(100);
    let class = if worst.is_none_or(|micros| micros > NOTICED_MICROS) { "number bad" } else { "number" };
    // Of what both links could carry.
    let full = f64::from(report.link_mbit) * 2.0;
    let [first, second] = percents(row.measured.transfer.by_link).map(|part| {
        let part = u32::try_from(part).unwrap_or(100);
        f64::from(part) * row.mbit / full
    });
    let seen = match (is_hurt(row), uses_both(row)) {
        (true, _) => "bad",
        (false, true) => "good",
        (false, false) => "plain",
    };
    let said = row
        .probe
        .as_ref()
        .map(|probe| format!("<small>mpgate probe: {}</small>", escaped(&probe.to_string())));
    let said = said.unwrap_or_default();
    format!(
        "<tr><th>{}<small>{}</small></th>\
         <td data-what=\"Longest wait:\"><span class=\"{class}\">{wait}</span>\
         <span class=\"bar\"><i class=\"wait\" style=\"width:{waited}%\"></i></span></td>\
         <td data-what=\"Download:\"><span class=\"number\">{:.1} Mbit/s</span><span class=\"bar\">\
         <i class=\"first\" style=\"width:{first:.1}%\"></i><i class=\"second\" style=\"width:{second:.1}%\"></i></span></td>\
         <td><span class=\"{seen}\">{}</span>{said}</td></tr>\n",
        row.kind.name,
        escaped(row.does),
        row.mbit,
        seen_by_user(row)
    )
}

/// A sentence about what was measured.
fn seen_by_user(row: &Row) -> String {
    let measured = &row.measured;
    let came = ByteSize(measured.transfer.received).display().si();
    let wait = measured.connects.worst_micros.map(told_micros).unwrap_or_default();
    match measured.outcome {
        Outcome::Refused | Outcome::Unanswered => {
            format!("Nothing works: each connection is {}.", refusal(measured.outcome))
        }
        Outcome::Reset | Outcome::Closed => format!("The download breaks off after {came}."),
        Outcome::Stalled => format!("The download stands still after {came}, and nothing says why."),
        Outcome::Slow => format!("The download crawls: {came} came."),
        Outcome::Differs => format!("Other data than was sent, after {came}."),
        Outcome::Failed => format!("The download fails after {came}."),
        Outcome::Whole if measured.mptcp.turned_off > 0 => {
            format!(
                "The first connection waits {wait}; then the host does without MPTCP for an hour, everywhere."
            )
        }
        Outcome::Whole if uses_both(row) => "Both links at work.".to_owned(),
        Outcome::Whole if measured.mptcp.connections > 0 => {
            "MPTCP, but the second link stays idle.".to_owned()
        }
        Outcome::Whole if row.kind.is_gate() => {
            "Plain TCP over one link, as the rules say, at once.".to_owned()
        }
        Outcome::Whole => "Plain TCP: it works, over one link.".to_owned(),
    }
}

const fn refusal(outcome: Outcome) -> &'static str {
    if matches!(outcome, Outcome::Refused) { "refused" } else { "left without an answer" }
}

const fn is_box(row: &Row) -> bool {
    !row.kind.is_gate() && !matches!(row.kind.means, Means::Forward)
}

/// Somebody waits, or loses something.
fn is_hurt(row: &Row) -> bool {
    let measured = &row.measured;
    measured.outcome != Outcome::Whole
        || measured.connects.failed > 0
        || measured.connects.worst_micros.is_some_and(|micros| micros > NOTICED_MICROS)
}

fn uses_both(row: &Row) -> bool {
    percents(row.measured.transfer.by_link).iter().all(|percent| *percent >= 10)
}

/// As HTML has text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

//! The page for people: the verdict needs no JavaScript, the live rates do.

use std::fmt::Write;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::{IntoResponse, Response};

use crate::checkme::Limits;
use crate::checkme::verdict::Report;

const PAGE: &str = include_str!("page.html");

/// Sizes to choose from; those above the limit are not offered.
const SIZES: [(u64, &str); 4] =
    [(10_000_000, "10MB"), (50_000_000, "50MB"), (200_000_000, "200MB"), (1_000_000_000, "1GB")];

/// Fills the page in. All that comes from a visitor is numbers and names of options by now.
pub(super) fn page(report: &Report, limits: &Limits) -> Response {
    let mut nonce = [0; 16];
    if let Err(error) = getrandom::fill(&mut nonce) {
        return (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response();
    }
    let nonce = format!("{:032x}", u128::from_be_bytes(nonce));
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    let (class, title) = if report.mptcp { ("yes", "MPTCP works") } else { ("no", "Not MPTCP") };
    let text = PAGE
        .replace("{{nonce}}", &nonce)
        .replace("{{class}}", class)
        .replace("{{title}}", title)
        .replace("{{explanation}}", report.explanation)
        .replace("{{facts}}", &facts(report))
        .replace("{{subflows}}", &subflows(report))
        .replace("{{sizes}}", &sizes(limits));
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, policy.as_str()),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, text).into_response()
}

fn facts(report: &Report) -> String {
    let syn = report.syn.as_ref().map_or_else(
        || "not seen".to_owned(),
        |syn| {
            let capable = syn.mp_capable.map_or_else(
                || "no MP_CAPABLE".to_owned(),
                |version| format!("MP_CAPABLE, version {version}"),
            );
            let options = syn.options.join(", ");
            format!("{capable}<small>{options}</small>")
        },
    );
    let mut facts = String::new();
    let mut fact = |name: &str, value: &str| {
        write!(facts, "<dt>{name}</dt><dd>{value}</dd>").ok();
    };
    if let Some(version) = report.version {
        fact("Version", &version.to_string());
    }
    if let Some(token) = &report.token {
        fact("Token", &format!("<code>{token}</code>"));
    }
    fact("Arrived in your SYN", &syn);
    fact("You", &format!("<code>{}</code>", report.client));
    fact("This server", &format!("<code>{}</code>", report.server));
    facts
}

fn subflows(report: &Report) -> String {
    let mut rows = String::new();
    for subflow in &report.subflows {
        let millis = f64::from(subflow.rtt_micros) / 1000.0;
        write!(rows, "<tr><td><code>{}</code></td><td>{millis:.1} ms</td></tr>", subflow.client).ok();
    }
    rows
}

fn sizes(limits: &Limits) -> String {
    let offered = SIZES.into_iter().filter(|(bytes, _)| *bytes <= limits.download.as_u64());
    offered
        .map(|(_, name)| format!("<a class=\"size\" href=\"/download?bytes={name}\" download>{name}</a>"))
        .collect()
}

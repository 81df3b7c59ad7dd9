//! `[limits]` and `[normalize]`: what holds for all connections, whatever the rules say.

use std::collections::BTreeMap;

use toml::de::DeTable;

use crate::rules::Caps;
use crate::rules::codes::Code;
use crate::rules::file::File;
use crate::rules::report::{At, Finding, Located, Report, quote};
use crate::rules::sets::Sets;
use crate::rules::values::{Key, Reader, Shape, Value};
use crate::wire::OptionKind;
use crate::wire::options::MPTCP;

/// Subflows that `ip mptcp limits` lets a Linux host open beside the first by default.
const LINUX_SUBFLOWS: u16 = 2;

/// Addresses that are remembered of each host of a connection; Linux announces at most so many.
const ANNOUNCED_MAX: u16 = 8;

/// What the two sections say.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) caps: Caps,
    /// The options that `[normalize]` allows.
    pub(super) allowed: Option<Vec<Located<OptionKind>>>,
    /// Where `[normalize]` stands.
    normalize: Option<At>,
    break_connections: bool,
}

type Row = Key<Settings>;

/// The keys of `[limits]`.
pub(super) const LIMITS: [Key<Settings>; 3] = [
    Row::value(
        "subflows",
        "subflows of a connection beside the first, as `ip mptcp limits` counts them",
        Shape::Number(u16::MAX),
        |reader, settings, value| {
            settings.caps.subflows = limit(reader, value, LINUX_SUBFLOWS, u16::MAX);
        },
    ),
    Row::value(
        "pending_joins",
        "joins to a connection that are under way at once",
        Shape::Number(u16::MAX),
        |reader, settings, value| {
            settings.caps.pending_joins = limit(reader, value, LINUX_SUBFLOWS, u16::MAX);
        },
    ),
    Row::value(
        "announced_addresses",
        "addresses that one host of a connection announces",
        Shape::Number(ANNOUNCED_MAX),
        |reader, settings, value| {
            settings.caps.announced_addresses = limit(reader, value, LINUX_SUBFLOWS, ANNOUNCED_MAX);
        },
    ),
];

/// The keys of `[normalize]`.
pub(super) const NORMALIZE: [Key<Settings>; 2] = [
    Row::value(
        "allow",
        "the TCP options that connections may open with; others become NOPs in their SYN",
        Shape::Kinds,
        |reader, settings, value| settings.allowed = Some(allowed(reader, value)),
    )
    .of(|| OptionKind::names().filter(|name| *name != "mptcp").collect()),
    Row::value(
        "break_connections",
        "take out signatures (md5, ao) too",
        Shape::Flag,
        |reader, settings, value| settings.break_connections = reader.flag(value),
    ),
];

/// The settings of all files together; each key may stand in one of them.
pub(super) fn read(files: &[File<'_>], sets: &mut Sets, report: &mut Report<'_>) -> Settings {
    let mut settings = Settings::default();
    let mut seen = BTreeMap::new();
    for file in files {
        let mut reader = Reader::new(file.index, sets, report);
        once(&mut reader, "limits", &file.limits, &mut seen);
        reader.section("[limits]", &LIMITS, &file.limits, &mut settings);
        once(&mut reader, "normalize", &file.normalize, &mut seen);
        reader.section("[normalize]", &NORMALIZE, &file.normalize, &mut settings);
        settings.normalize = settings.normalize.or(file.normalize_at);
    }
    check_normalize(&settings, report);
    settings
}

/// Says which keys of a section stand in two files.
pub(super) fn once(
    reader: &mut Reader<'_, '_>,
    section: &str,
    table: &DeTable<'_>,
    seen: &mut BTreeMap<String, At>,
) {
    for key in table.keys() {
        let at = reader.at(key.span());
        let name = format!("{section} {}", key.get_ref());
        let first = *seen.entry(name).or_insert(at);
        if first != at {
            let message = format!("the key {} of [{section}] stands in two files", quote(key.get_ref()));
            let finding = Finding::error(Code::Duplicate, at, message).related(first, "first here");
            reader.add(finding.remedy("keep one of them: which one would speak is nobody's guess"));
        }
    }
}

fn limit(reader: &mut Reader<'_, '_>, value: &Value<'_>, usual: u16, most: u16) -> Option<u16> {
    let limit = u16::try_from(reader.number(value, most.into())?).ok()?;
    if limit < usual {
        let message = format!("{limit} is less than the {usual} that Linux hosts use by default");
        let remedy = format!(
            "allow at least {usual}; where connections shall have one path, `action = \"single_path\"` says so"
        );
        reader.add(Finding::warning(Code::LowLimit, reader.at(value.span()), message).remedy(remedy));
    }
    Some(limit)
}

fn allowed(reader: &mut Reader<'_, '_>, value: &Value<'_>) -> Vec<Located<OptionKind>> {
    let kinds = reader.kinds(value);
    for kind in kinds.iter().filter(|kind| kind.value == OptionKind::Kind(MPTCP)) {
        let message = "[normalize] leaves MPTCP alone, so allowing it says nothing";
        let remedy = "take it out; rules and `[policy] default` decide about MPTCP";
        reader.add(Finding::error(Code::BadValue, kind.at, message).remedy(remedy));
    }
    kinds
}

fn check_normalize(settings: &Settings, report: &mut Report<'_>) {
    let Some(at) = settings.normalize else { return };
    let Some(allowed) = &settings.allowed else {
        let finding = Finding::error(Code::MissingKey, at, "[normalize] has no `allow`");
        report.add(
            finding.remedy("add `allow = [\"mss\", \"window_scale\", \"sack_permitted\", \"timestamps\"]`"),
        );
        return;
    };
    for vital in [19, 29].map(OptionKind::Kind) {
        if settings.break_connections || allowed.iter().any(|allowed| allowed.value == vital) {
            continue;
        }
        let name = vital.label();
        let message =
            format!("without `{name}` in `allow`, connections that sign their segments do not open");
        let remedy = format!(
            "allow \"{name}\": who signs with it drops what is unsigned (RFC 2385 2.0, RFC 5925 7.3); or insist with `break_connections = true`"
        );
        report.add(Finding::error(Code::VitalOption, at, message).remedy(remedy));
    }
}

//! From files to a rule set, or to everything that is wrong with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::DeValue;

use crate::rules::diagnostic::Code;
use crate::rules::file::File;
use crate::rules::keys::{self, Draft};
use crate::rules::matcher::{Condition, Rule};
use crate::rules::report::{At, Finding, Located, Report, quote};
use crate::rules::sets::Sets;
use crate::rules::values::{Reader, Value, kind};
use crate::rules::{Action, Diagnostic, RuleLabel, RuleSet, Source};
use crate::rules::{laws, lint, policy};

/// Compiles files into one rule set; their order is the order of the rules. Gives warnings along with it.
///
/// # Errors
/// All errors of all files, in their order. What is unused or never matches is not looked for then.
pub fn compile(sources: &[Source]) -> Result<(RuleSet, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut report = Report::new(sources);
    let files: Vec<_> =
        sources.iter().enumerate().map(|(index, source)| File::parse(index, source, &mut report)).collect();
    let mut sets = Sets::read(&files, &mut report);
    let policy = policy::read(&files, &mut sets, &mut report);
    let rules = read_rules(&files, &mut sets, &mut report);
    if report.has_errors() {
        return Err(report.finish());
    }
    sets.lint(&mut report);
    lint::unreachable_rules(&rules, &mut report);
    let rules = rules.into_iter().map(|(_, rule)| rule).collect();
    Ok((RuleSet { policy, sets: sets.len(), rules }, report.finish()))
}

fn read_rules(files: &[File<'_>], sets: &mut Sets, report: &mut Report<'_>) -> Vec<(At, Rule)> {
    let mut names = BTreeMap::new();
    let mut rules = Vec::new();
    for file in files {
        let mut reader = Reader::new(file.index, sets, report);
        for value in &file.rules {
            let errors = reader.report.errors();
            let draft = read_rule(&mut reader, value);
            let whole = reader.report.errors() == errors;
            check_name(&mut reader, &draft, &mut names);
            // Of a rule that could be read in part, nothing more can be said.
            if whole {
                rules.extend(compile_rule(&mut reader, draft));
            }
        }
    }
    rules
}

fn read_rule(reader: &mut Reader<'_, '_>, value: &Value<'_>) -> Draft {
    let mut draft = Draft::at(reader.at(value.span()));
    if let DeValue::Table(table) = value.get_ref() {
        reader.section("a rule", &keys::KEYS, table, &mut draft);
    } else {
        let message = format!("a rule cannot be {}", kind(value.get_ref()));
        reader.add(Finding::error(Code::Section, draft.at, message).remedy("begin each rule with [[rule]]"));
    }
    draft
}

fn check_name(reader: &mut Reader<'_, '_>, draft: &Draft, names: &mut BTreeMap<String, At>) {
    let Some(Located { value: name, at }) = &draft.name else { return };
    let first = *names.entry(name.clone()).or_insert(*at);
    if first != *at {
        let finding =
            Finding::error(Code::Duplicate, *at, format!("two rules have the name {}", quote(name)));
        let remedy = "give one of them another: logs and metrics tell rules by their names";
        reader.add(finding.related(first, "first here").remedy(remedy));
    }
}

fn compile_rule(reader: &mut Reader<'_, '_>, draft: Draft) -> Option<(At, Rule)> {
    let at = draft.name.as_ref().map_or(draft.at, |name| name.at);
    let action = action(reader, &draft, at);
    let Some(name) = &draft.name else {
        let finding = Finding::error(Code::MissingKey, at, "the rule has no `name`");
        reader.add(finding.remedy("add `name = \"…\"`: logs and metrics tell rules by their names"));
        return None;
    };
    let action = action?;
    for finding in laws::breaches(&draft, action) {
        reader.add(finding);
    }
    let (mut conditions, named) = laws::narrowed(&draft, action.value);
    let label = Arc::new(RuleLabel { name: name.value.clone(), comment: draft.comment });
    conditions.extend(draft.conditions);
    conditions.sort_by_key(Condition::cost);
    let rule = Rule {
        label,
        action: action.value,
        log: draft.log,
        break_connections: draft.break_connections,
        named,
        conditions: conditions.into(),
    };
    Some((at, rule))
}

fn action(reader: &mut Reader<'_, '_>, draft: &Draft, at: At) -> Option<Located<Action>> {
    let Some(action) = draft.action else {
        let finding = Finding::error(Code::MissingKey, at, "the rule has no `action`");
        reader.add(finding.remedy("add `action = \"accept\"`, `\"strip\"`, `\"reject\"` or `\"drop\"`"));
        return None;
    };
    let Some(reason) = draft.reason else { return Some(action) };
    if let Action::Reject { .. } = action.value {
        return Some(Located { value: Action::Reject { reason: reason.value }, ..action });
    }
    let message = format!("`reason` says nothing with `action = \"{}\"`", action.value.label());
    let remedy = "only a reject sends MP_TCPRST: take `reason` out, or use `action = \"reject\"`";
    reader.add(Finding::error(Code::ReasonWithoutReject, reason.at, message).remedy(remedy));
    None
}

//! From files to a rule set, or to everything that is wrong with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use toml::de::DeValue;

use crate::rules::codes::Code;
use crate::rules::condition::{Condition, Counted, Whose};
use crate::rules::file::File;
use crate::rules::index::{Asks, Index};
use crate::rules::keys::{self, Draft, rule_key};
use crate::rules::matcher::{Asked, Effect, Rule};
use crate::rules::report::{At, Finding, Located, Report, quote};
use crate::rules::sets::{ReadList, Sets};
use crate::rules::values::{Reader, Value, kind};
use crate::rules::{Action, Caps, Diagnostic, Needs, Refusal, RuleLabel, RuleSet, Source};
use crate::rules::{laws, lint, policy, settings, words};

/// Compiles files into one rule set; their order is the order of the rules. Gives warnings along with it. Sets that name
/// files cannot be read here: see [`compile_with`].
///
/// # Errors
/// All errors of all files, in their order. What is unused or never matches is not looked for then.
pub fn compile(sources: &[Source]) -> Result<(RuleSet, Vec<Diagnostic>), Vec<Diagnostic>> {
    compile_with(sources, &mut |_, _| Err("files cannot be read here".to_owned()))
}

/// The same; `lists` gives the text of a file that a set names.
///
/// # Errors
/// As [`compile`].
pub fn compile_with(
    sources: &[Source],
    lists: &mut ReadList<'_>,
) -> Result<(RuleSet, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut report = Report::new(sources);
    let files: Vec<_> =
        sources.iter().enumerate().map(|(index, source)| File::parse(index, source, &mut report)).collect();
    let mut sets = Sets::read(&files, &mut report, lists);
    let policy = policy::read(&files, &mut sets, &mut report);
    let settings = settings::read(&files, &mut sets, &mut report);
    let rules = read_rules(&files, &mut sets, &mut report);
    if report.has_errors() {
        return Err(report.finish());
    }
    let index = Index::build(&rules.iter().map(Rule::asks).collect::<Vec<_>>());
    sets.lint(&mut report);
    lint::rules(&rules, &index, &mut report);
    let inherits = |rule: &Rule| rule.effect.inherit_mark.is_some();
    let of_settings = Needs {
        bound: settings.caps != Caps::default() || policy.inherit_mark != 0 || rules.iter().any(inherits),
        routine: settings.allowed.is_some() || rules.iter().any(Rule::may_hear_routine),
        ..Needs::default()
    };
    let set = RuleSet {
        policy,
        caps: settings.caps,
        allowed: settings.allowed.map(|allowed| allowed.into_iter().map(|kind| kind.value).collect()),
        sets: sets.len(),
        needs: rules.iter().flat_map(|rule| rule.conditions.iter()).fold(of_settings, needs),
        rules,
        index,
    };
    Ok((set, report.finish()))
}

/// Tells the lines of one file's rules, one after the other: each line of the file is counted once.
struct Places {
    path: Arc<str>,
    counted_to: usize,
    line: usize,
}

impl Places {
    fn of(file: usize, report: &Report<'_>) -> Self {
        let path = report.source(file).map_or("", |source| &source.path);
        Self { path: path.into(), counted_to: 0, line: 1 }
    }

    fn line(&mut self, at: At, report: &Report<'_>) -> usize {
        let text = report.source(at.file).map_or("", |source| &source.text);
        let passed = text.as_bytes().get(self.counted_to..at.start).unwrap_or_default();
        self.line += passed.iter().filter(|&&byte| byte == b'\n').count();
        self.counted_to = self.counted_to.max(at.start);
        self.line
    }
}

fn needs(needs: Needs, asked: &Asked) -> Needs {
    match asked.condition.bare().0 {
        Condition::Kind(_) | Condition::Odd(..) => Needs { kinds: true, ..needs },
        Condition::Count(Counted::SourceConnections, _) => Needs { source_connections: true, ..needs },
        Condition::SameInterface(_)
        | Condition::Count(Counted::Subflows | Counted::PendingJoins, _)
        | Condition::ParentRule(_)
        | Condition::JoinTo(_)
        | Condition::Port(Whose::Parent, ..)
        | Condition::Address(Whose::Parent, ..) => Needs { parent: true, ..needs },
        Condition::Option(_)
        | Condition::Segment(_)
        | Condition::Standing(_)
        | Condition::Version(_)
        | Condition::Mark(_)
        | Condition::Interface(..)
        | Condition::Port(Whose::Segment, ..)
        | Condition::Address(Whose::Segment, ..)
        | Condition::Announces(_)
        | Condition::Sound
        | Condition::Not(_) => needs,
    }
}

fn read_rules(files: &[File<'_>], sets: &mut Sets, report: &mut Report<'_>) -> Vec<Rule> {
    let mut names = BTreeMap::new();
    let mut parents = Vec::new();
    let mut rules = Vec::new();
    for file in files {
        let mut places = Places::of(file.index, report);
        let mut reader = Reader::new(file.index, sets, report);
        for value in &file.rules {
            let errors = reader.report.errors();
            let mut draft = read_rule(&mut reader, value);
            let whole = reader.report.errors() == errors;
            check_name(&mut reader, &draft, &mut names);
            parents.append(&mut draft.parents);
            // Of a rule that could be read in part, nothing more can be said.
            if whole {
                rules.extend(compile_rule(&mut reader, draft, &mut places));
            }
        }
    }
    for parent in parents.iter().filter(|parent| !names.contains_key(&parent.value)) {
        let message = format!("there is no rule {}", quote(&parent.value));
        let remedy = match words::nearest(&parent.value, names.keys().map(String::as_str)) {
            Some(nearest) => format!("did you mean {}?", quote(nearest)),
            None => "name a rule of these files".to_owned(),
        };
        report.add(Finding::error(Code::UnknownRule, parent.at, message).remedy(remedy));
    }
    rules
}

fn read_rule(reader: &mut Reader<'_, '_>, value: &Value<'_>) -> Draft {
    let mut draft = Draft::at(reader.at(value.span()));
    if let DeValue::Table(table) = value.get_ref() {
        let conditions = reader.section("a rule", &keys::KEYS, table, &mut draft);
        draft.conditions.extend(conditions);
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

fn compile_rule(reader: &mut Reader<'_, '_>, draft: Draft, places: &mut Places) -> Option<Rule> {
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
    let laws::Narrowed { mut conditions, named, kinds } = laws::narrowed(&draft, action);
    conditions.extend(draft.conditions);
    conditions.sort_by_key(|asked| (!Asks::knows(&asked.condition), asked.condition.cost()));
    let indexed = conditions.iter().filter(|asked| Asks::knows(&asked.condition)).count();
    Some(Rule {
        key: rule_key(&name.value),
        label: Arc::new(RuleLabel {
            name: name.value.clone(),
            comment: draft.comment,
            path: Arc::clone(&places.path),
            line: places.line(at, reader.report),
        }),
        at,
        effect: Effect {
            action: action.value,
            log: draft.log,
            observe: draft.observe,
            break_connections: draft.break_connections,
            set_mark: draft.set_mark.map(|mark| mark.value),
            inherit_mark: draft.inherit_mark.map(|mask| mask.value),
        },
        named,
        kinds,
        conditions: conditions.into(),
        indexed,
        rate: draft.rate,
    })
}

/// The action with all that belongs to it, where that can be said.
fn action(reader: &mut Reader<'_, '_>, draft: &Draft, at: At) -> Option<Located<Action>> {
    let Some(action) = draft.action else {
        let finding = Finding::error(Code::MissingKey, at, "the rule has no `action`");
        let remedy = "add `action = \"accept\"`, `\"strip\"`, `\"reject\"`, `\"drop\"` or `\"single_path\"`";
        reader.add(finding.remedy(remedy));
        return None;
    };
    let marks = [
        ("set_mark", draft.set_mark.map(|mark| mark.at)),
        ("inherit_mark", draft.inherit_mark.map(|mask| mask.at)),
    ];
    let resets = [
        ("reason", draft.reason.map(|reason| reason.at)),
        ("transient", draft.transient.map(|flag| flag.at)),
    ];
    let (idle, remedy) = match action.value {
        Action::Accept | Action::Strip | Action::SinglePath => {
            (resets, "only a reject sends MP_TCPRST: take it out, or use `action = \"reject\"`")
        }
        Action::Reject(_) | Action::Drop => {
            (marks, "what does not go on has no mark: take it out, or use `action = \"accept\"`")
        }
    };
    let also = if let Action::Drop = action.value { resets } else { [("", None); 2] };
    let idle: Vec<_> = idle.into_iter().chain(also).filter_map(|(key, at)| Some((key, at?))).collect();
    for &(key, at) in &idle {
        let message = format!("`{key}` says nothing with `action = \"{}\"`", action.value.label());
        reader.add(Finding::error(Code::IdleKey, at, message).remedy(remedy));
    }
    if !idle.is_empty() {
        return None;
    }
    let Action::Reject(usual) = action.value else { return Some(action) };
    let refusal = draft.reason.map_or(usual, |reason| Refusal::because(reason.value));
    let transient = draft.transient.map_or(refusal.transient, |transient| transient.value);
    Some(Located { value: Action::Reject(Refusal { transient, ..refusal }), ..action })
}

//! `[sets]`: lists of addresses, ports or names under one name, which may refer to each other and to files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;

use crate::rules::codes::Code;
use crate::rules::diagnostic::Source;
use crate::rules::file::File;
use crate::rules::members::{Member, nets};
use crate::rules::ranges::{Prefixes, Ranges};
use crate::rules::report::{At, Finding, Located, Report, quote};
use crate::rules::values::{NO_WORDS, Reader, Shape};
use crate::rules::words;

/// Sets that refer to sets that refer to sets …: deeper than this nobody follows, and each step takes stack.
const NESTING_MAX: usize = 16;

/// Gives the text of a file that a set names: `named` as the set writes it, in the rule file `by`.
pub(super) type ReadList<'f> = dyn FnMut(&str, &Source) -> Result<Source, String> + 'f;

/// All sets of the files.
#[derive(Debug, Default)]
pub(super) struct Sets(BTreeMap<String, Set>);

/// What a set holds: one of these, the others are empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) prefixes: Arc<Prefixes>,
    pub(super) ports: Ranges<u16>,
    pub(super) names: Arc<[Located<String>]>,
}

/// What kind of thing a set holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Addresses.
    Addresses,
    /// Ports.
    Ports,
    /// Names of interfaces or rules.
    Names,
}

#[derive(Debug)]
struct Set {
    at: At,
    holds: Holds,
    content: Content,
    /// The sets that it has in it.
    within: BTreeSet<String>,
    used: bool,
}

/// A set as the file writes it.
struct Draft {
    at: At,
    nets: Vec<IpNet>,
    ports: Vec<(u16, u16)>,
    names: Vec<Located<String>>,
    sets: Vec<Located<String>>,
    /// What its own members are.
    holds: Option<Holds>,
}

impl Sets {
    /// Reads the sets of all files; any rule may then name any set.
    pub(super) fn read(files: &[File<'_>], report: &mut Report<'_>, lists: &mut ReadList<'_>) -> Self {
        let mut drafts = BTreeMap::new();
        for file in files {
            read_drafts(file, &mut drafts, report, lists);
        }
        Resolver { drafts: &drafts, done: Self::default(), report }.resolve_all()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Says which sets nobody names, and which have addresses in common though none is in the other.
    pub(super) fn lint(&self, report: &mut Report<'_>) {
        for (name, set) in self.0.iter().filter(|(_, set)| !set.used) {
            let message = format!("no rule uses the set {}", quote(name));
            report.add(
                Finding::warning(Code::UnusedSet, set.at, message)
                    .remedy(format!("write \"@{name}\" in a rule, or take the set out")),
            );
        }
        let named: Vec<_> = self.0.iter().collect();
        let prefixes: Vec<_> = named.iter().map(|(_, set)| &*set.content.prefixes).collect();
        for (one, other, addr) in Prefixes::overlaps(&prefixes) {
            let (Some((one, first)), Some((other, second))) = (named.get(one), named.get(other)) else {
                continue;
            };
            if first.within.contains(*other) || second.within.contains(*one) {
                continue;
            }
            let message = format!("the sets {} and {} both have {addr}", quote(one), quote(other));
            let remedy = format!(
                "where one is meant to be part of the other, write it into it (\"@{one}\"); else take {addr} out of one"
            );
            report.add(
                Finding::warning(Code::OverlappingSets, second.at, message)
                    .related(first.at, "the other one")
                    .remedy(remedy),
            );
        }
    }

    fn unknown(&self, name: &Located<String>) -> Finding {
        unknown(name, self.0.keys().map(String::as_str))
    }
}

impl Reader<'_, '_> {
    /// What a set has, which counts as used from now on.
    pub(super) fn set(&mut self, name: &Located<String>, wanted: Holds) -> Option<Content> {
        let Some(set) = self.sets.0.get_mut(&name.value) else {
            let finding = self.sets.unknown(name);
            self.add(finding);
            return None;
        };
        set.used = true;
        if set.holds == wanted {
            return Some(set.content.clone());
        }
        let message = format!(
            "the set {} holds {}, and {} are wanted here",
            quote(&name.value),
            set.holds.word(),
            wanted.word()
        );
        let finding = Finding::error(Code::SetKind, name.at, message).related(set.at, "the set");
        self.add(finding.remedy(format!("name a set of {}", wanted.word())));
        None
    }
}

impl Holds {
    const fn word(self) -> &'static str {
        match self {
            Self::Addresses => "addresses",
            Self::Ports => "ports",
            Self::Names => "names",
        }
    }
}

impl Draft {
    const fn at(at: At) -> Self {
        Self { at, nets: Vec::new(), ports: Vec::new(), names: Vec::new(), sets: Vec::new(), holds: None }
    }

    /// Takes a member in; `false` where it is of another kind than those before.
    fn take(&mut self, member: Located<Member>) -> bool {
        let holds = match &member.value {
            Member::Nets(_) | Member::File(_) => Holds::Addresses,
            Member::Ports(..) => Holds::Ports,
            Member::Name(_) => Holds::Names,
            Member::Set(_) => {
                self.take_in(member);
                return true;
            }
        };
        if *self.holds.get_or_insert(holds) != holds {
            return false;
        }
        self.take_in(member);
        true
    }

    fn take_in(&mut self, Located { value, at }: Located<Member>) {
        match value {
            Member::Nets(nets) => self.nets.extend(nets),
            Member::Ports(first, last) => self.ports.push((first, last)),
            Member::Name(name) => self.names.push(Located { value: name, at }),
            Member::Set(name) => self.sets.push(Located { value: name, at }),
            Member::File(_) => {}
        }
    }
}

fn read_drafts(
    file: &File<'_>,
    drafts: &mut BTreeMap<String, Draft>,
    report: &mut Report<'_>,
    lists: &mut ReadList<'_>,
) {
    let mut none = Sets::default();
    for (name, value) in &file.sets {
        let mut reader = Reader::new(file.index, &mut none, report);
        let at = reader.at(name.span());
        let name = name.get_ref();
        reader.expect(name, Shape::Addresses, NO_WORDS);
        check_name(name, at, &mut reader);
        let mut draft = Draft::at(at);
        for member in reader.set_members(value) {
            let at = member.at;
            if let Member::File(named) = &member.value {
                draft.nets.extend(list(named, at, reader.report, lists));
            }
            let held = draft.holds;
            if !draft.take(member) {
                let held = held.map_or("nothing", Holds::word);
                let message = format!("the set {} holds {held}, and this is something else", quote(name));
                let finding = Finding::error(Code::SetKind, at, message);
                reader.add(finding.remedy("make two sets: one of addresses, one of ports, one of names"));
            }
        }
        if let Some(first) = drafts.get(name.as_ref()) {
            let finding =
                Finding::error(Code::Duplicate, at, format!("the set {} stands twice", quote(name)));
            report.add(finding.related(first.at, "first here").remedy("give one of them another name"));
        } else {
            drafts.insert(name.to_string(), draft);
        }
    }
}

/// The addresses in a file: one address, prefix or range a line; `#` begins a comment.
fn list(named: &str, at: At, report: &mut Report<'_>, lists: &mut ReadList<'_>) -> Vec<IpNet> {
    let Some(by) = report.source(at.file) else { return Vec::new() };
    let source = match lists(named, by) {
        Ok(source) => source,
        Err(why) => {
            let finding = Finding::error(Code::ListFile, at, format!("the list {}: {why}", quote(named)));
            report.add(
                finding.remedy("name a file that can be read; its path begins at the rule file's directory"),
            );
            return Vec::new();
        }
    };
    let text = source.text.clone();
    let file = report.add_list(source);
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let said = line.split('#').next().unwrap_or_default();
        let word = said.trim();
        let word_at = start + (said.len() - said.trim_start().len());
        start += line.len();
        if word.is_empty() {
            continue;
        }
        match nets(word) {
            Some(nets) => found.extend(nets),
            None => {
                let at = At { file, start: word_at, end: word_at + word.len() };
                let message = format!("{} is neither an address nor a prefix", quote(word));
                let finding = Finding::error(Code::BadValue, at, message);
                report.add(
                    finding.remedy("a list has one address, prefix or range a line; # begins a comment"),
                );
            }
        }
    }
    found
}

fn check_name(name: &str, at: At, reader: &mut Reader<'_, '_>) {
    if name.is_empty()
        || name.contains(|letter: char| letter.is_whitespace() || letter.is_control() || letter == '@')
    {
        let message = format!("{} cannot name a set", quote(name));
        let remedy = "a name has letters, digits, - or _; the @ is for those who refer to it";
        reader.add(Finding::error(Code::BadValue, at, message).remedy(remedy));
    }
}

fn unknown<'k>(name: &Located<String>, known: impl Iterator<Item = &'k str> + Clone) -> Finding {
    let remedy = match words::nearest(&name.value, known) {
        Some(nearest) => format!("did you mean \"@{nearest}\"?"),
        None => format!("name its members under [sets]: {} = [\"192.0.2.0/24\"]", quote(&name.value)),
    };
    let message = format!("there is no set {}", quote(&name.value));
    Finding::error(Code::UnknownSet, name.at, message).remedy(remedy)
}

/// Puts the members of sets into those that refer to them.
struct Resolver<'d, 'r, 's> {
    drafts: &'d BTreeMap<String, Draft>,
    done: Sets,
    report: &'r mut Report<'s>,
}

impl<'d> Resolver<'d, '_, '_> {
    fn resolve_all(mut self) -> Sets {
        for (name, draft) in self.drafts {
            self.resolve(name, draft, &mut Vec::new());
        }
        self.done
    }

    /// `path` are the sets through which we came.
    fn resolve(&mut self, name: &'d str, draft: &'d Draft, path: &mut Vec<&'d str>) {
        if self.done.0.contains_key(name) {
            return;
        }
        path.push(name);
        let parts: Vec<_> = draft.sets.iter().filter_map(|set| self.member(set, path)).collect();
        path.pop();
        let holds = draft.holds.or(parts.first().map(|(_, part)| part.holds)).unwrap_or(Holds::Addresses);
        let mut within = BTreeSet::new();
        let (mut prefixes, mut ports, mut names) = (Vec::new(), draft.ports.clone(), draft.names.clone());
        for (at, part) in parts {
            if part.holds != holds {
                let message = format!("a set of {} in a set of {}", part.holds.word(), holds.word());
                let finding = Finding::error(Code::SetKind, at, message);
                self.report.add(finding.remedy("a set holds addresses, or ports, or names"));
                continue;
            }
            within.extend(part.within);
            prefixes.push(part.content.prefixes);
            ports.extend(part.content.ports.iter());
            names.extend_from_slice(&part.content.names);
        }
        within.extend(draft.sets.iter().map(|set| set.value.clone()));
        let content = Content {
            prefixes: Arc::new(Prefixes::union(&draft.nets, &prefixes)),
            ports: Ranges::union(ports, |last| last.checked_add(1)),
            names: names.into(),
        };
        self.done.0.insert(name.to_owned(), Set { at: draft.at, holds, content, within, used: false });
    }

    fn member(&mut self, name: &'d Located<String>, path: &mut Vec<&'d str>) -> Option<(At, Part)> {
        let Some(draft) = self.drafts.get(&name.value) else {
            self.report.add(unknown(name, self.drafts.keys().map(String::as_str)));
            return None;
        };
        if path.contains(&name.value.as_str()) || path.len() == NESTING_MAX {
            let way = path.iter().copied().chain([name.value.as_str()]).map(|name| format!("@{name}"));
            let message = format!("sets go round or too deep: {}", way.collect::<Vec<_>>().join(" → "));
            let remedy = format!("take out one of these; at most {NESTING_MAX} may follow each other");
            self.report.add(Finding::error(Code::SetCycle, name.at, message).remedy(remedy));
            return None;
        }
        self.resolve(&name.value, draft, path);
        let set = self.done.0.get_mut(&name.value)?;
        set.used = true;
        Some((name.at, Part { holds: set.holds, content: set.content.clone(), within: set.within.clone() }))
    }
}

/// A set that is part of another.
struct Part {
    holds: Holds,
    content: Content,
    within: BTreeSet<String>,
}

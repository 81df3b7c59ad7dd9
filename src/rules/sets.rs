//! `[sets]`: lists of addresses by name, which may refer to each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use crate::rules::diagnostic::Code;
use crate::rules::file::File;
use crate::rules::ranges::Prefixes;
use crate::rules::report::{At, Finding, Located, Report, quote};
use crate::rules::values::{NO_WORDS, Reader};
use crate::rules::words;

/// Sets that refer to sets that refer to sets …: deeper than this nobody follows, and each step takes stack.
const NESTING_MAX: usize = 16;

const TAKES: &str = "an address, a prefix, \"@set\", or a list of these";

/// All sets of the files.
#[derive(Debug, Default)]
pub(super) struct Sets(BTreeMap<String, Set>);

#[derive(Debug)]
struct Set {
    at: At,
    prefixes: Arc<Prefixes>,
    used: bool,
}

struct Draft {
    at: At,
    nets: Vec<IpNet>,
    sets: Vec<Located<String>>,
}

impl Sets {
    /// Reads the sets of all files; any rule may then name any set.
    pub(super) fn read(files: &[File<'_>], report: &mut Report<'_>) -> Self {
        let mut drafts = BTreeMap::new();
        for file in files {
            read_drafts(file, &mut drafts, report);
        }
        Resolver { drafts: &drafts, done: Self::default(), report }.resolve_all()
    }

    /// The prefixes of a set, which counts as used from now on.
    pub(super) fn named(&mut self, name: &str) -> Option<Arc<Prefixes>> {
        let set = self.0.get_mut(name)?;
        set.used = true;
        Some(Arc::clone(&set.prefixes))
    }

    /// That there is no such set.
    pub(super) fn unknown(&self, name: &Located<String>) -> Finding {
        unknown(name, self.0.keys().map(String::as_str))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Says which sets nobody named.
    pub(super) fn lint(&self, report: &mut Report<'_>) {
        for (name, set) in self.0.iter().filter(|(_, set)| !set.used) {
            let message = format!("no rule uses the set {}", quote(name));
            report.add(
                Finding::warning(Code::UnusedSet, set.at, message)
                    .remedy(format!("write \"@{name}\" in a rule, or take the set out")),
            );
        }
    }
}

fn read_drafts(file: &File<'_>, drafts: &mut BTreeMap<String, Draft>, report: &mut Report<'_>) {
    let mut none = Sets::default();
    let mut reader = Reader::new(file.index, &mut none, report);
    for (name, value) in &file.sets {
        let at = reader.at(name.span());
        let name = name.get_ref();
        reader.expect(name, TAKES, NO_WORDS);
        check_name(name, at, &mut reader);
        let (nets, sets) = reader.members(value);
        if let Some(first) = drafts.get(name.as_ref()) {
            let finding =
                Finding::error(Code::Duplicate, at, format!("the set {} stands twice", quote(name)));
            reader.add(finding.related(first.at, "first here").remedy("give one of them another name"));
        } else {
            drafts.insert(name.to_string(), Draft { at, nets, sets });
        }
    }
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
        None => format!("name its addresses under [sets]: {} = [\"192.0.2.0/24\"]", quote(&name.value)),
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
        let mut parts = Vec::new();
        for set in &draft.sets {
            parts.extend(self.member(set, path));
        }
        path.pop();
        let prefixes = Arc::new(Prefixes::union(&draft.nets, &parts));
        self.done.0.entry(name.to_owned()).or_insert(Set { at: draft.at, prefixes, used: false });
    }

    fn member(&mut self, name: &'d Located<String>, path: &mut Vec<&'d str>) -> Option<Arc<Prefixes>> {
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
        self.done.named(&name.value)
    }
}

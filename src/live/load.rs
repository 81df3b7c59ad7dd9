//! Reads rule files and directories, and the lists that sets name.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::rules::diagnostic::{Look, count, render};
use crate::rules::{Diagnostic, RuleSet, Severity, Source, compile_with};

/// A hundred thousand prefixes take 2 to 4 MiB of text; more than this is no rule file, and would be read into memory.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Why there are no rules to use.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A path that does not exist, or that nobody lets us read.
    #[error("{}: cannot be read: {error}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A device, a pipe or a socket: reading it might never end.
    #[error("{}: is neither a file nor a directory", path.display())]
    NoFile {
        /// What was named.
        path: PathBuf,
    },
    /// A set that names a directory.
    #[error("{}: is a directory; a set names a file", path.display())]
    NoList {
        /// The directory.
        path: PathBuf,
    },
    /// A directory in which no rule file lies.
    #[error("{}: no rule file in this directory; rule files end in .toml and do not start with a dot", path.display())]
    NoRules {
        /// The directory.
        path: PathBuf,
    },
    /// A file that is no rule file.
    #[error("{}: is larger than {} MiB, the most that a rule file or a list may have", path.display(), FILE_BYTES_MAX >> 20)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file that is no text.
    #[error("{}:{line}: is not UTF-8 text from here on; save the file as UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// The line where the text ends, from 1.
        line: usize,
    },
    /// Rules that are wrong; all of it, drawn for a person.
    #[error("{} in the rules\n{rendered}", count(*errors, "error"))]
    Refused {
        /// How many errors there are.
        errors: usize,
        /// The errors and warnings, each with its line.
        rendered: String,
    },
}

/// Reads rule files, in the order of `paths`; of a directory those that end in `.toml`, by name.
///
/// # Errors
/// The first path that cannot be read. What the files say is not looked at.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Source>, LoadError> {
    let mut sources = Vec::new();
    for path in paths {
        let about = metadata(path)?;
        if about.is_dir() {
            for file in rule_files(path)? {
                sources.push(read_file(&file)?);
            }
        } else {
            sources.push(read_file(path)?);
        }
    }
    Ok(sources)
}

/// Rules, and what is allowed in them but surely not meant.
pub type Loaded = (RuleSet, Vec<Diagnostic>);

/// A list that a set names, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct List {
    pub(super) path: PathBuf,
    text: Result<String, String>,
}

/// Reads and compiles rule files. Gives warnings along with the rules; no path means no rule and the default policy.
///
/// # Errors
/// A path that cannot be read, or all errors in the files.
pub fn load(paths: &[PathBuf]) -> Result<Loaded, LoadError> {
    compiled(&read(paths)?)
}

/// Compiles rule files that were read.
///
/// # Errors
/// All errors in the files.
pub fn compiled(sources: &[Source]) -> Result<Loaded, LoadError> {
    compile(sources).map_err(|diagnostics| refused(&diagnostics))
}

/// Compiles rule files, and the lists that their sets name. Gives warnings along with the rules.
///
/// # Errors
/// All errors of all files and lists.
pub fn compile(sources: &[Source]) -> Result<Loaded, Vec<Diagnostic>> {
    compile_with(sources, &mut |named, by| {
        read_list(&list_path(named, by)).map_err(|error| told(&error, named))
    })
}

/// The same as [`compiled`], and the lists that were read, whatever else is wrong.
pub(super) fn compile_recorded(sources: &[Source]) -> (Result<Loaded, LoadError>, Vec<List>) {
    let mut lists = Vec::new();
    let outcome = compile_with(sources, &mut |named, by| {
        let path = list_path(named, by);
        let list = read_list(&path);
        let text = list.as_ref().map(|list| list.text.clone()).map_err(ToString::to_string);
        lists.push(List { path, text });
        list.map_err(|error| told(&error, named))
    });
    (outcome.map_err(|diagnostics| refused(&diagnostics)), lists)
}

/// Reads lists by their paths.
pub(super) fn read_lists(paths: Vec<PathBuf>) -> Vec<List> {
    let list = |path: PathBuf| {
        let text = read_list(&path).map(|list| list.text).map_err(|error| error.to_string());
        List { path, text }
    };
    paths.into_iter().map(list).collect()
}

fn refused(diagnostics: &[Diagnostic]) -> LoadError {
    LoadError::Refused {
        errors: diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count(),
        rendered: render(diagnostics, Look::Plain),
    }
}

/// The path of a list begins where the rule file lies that names it.
fn list_path(named: &str, by: &Source) -> PathBuf {
    Path::new(&by.path).parent().unwrap_or(Path::new("")).join(named)
}

/// The error, without the name that whoever tells it has told already.
fn told(error: &LoadError, named: &str) -> String {
    let told = error.to_string();
    told.strip_prefix(&format!("{named}: ")).map(str::to_owned).unwrap_or(told)
}

fn read_list(path: &Path) -> Result<Source, LoadError> {
    if metadata(path)?.is_dir() {
        return Err(LoadError::NoList { path: path.to_owned() });
    }
    read_file(path)
}

fn rule_files(directory: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let unreadable = |error| LoadError::Unreadable { path: directory.to_owned(), error };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden
            && path.extension().is_some_and(|extension| extension == "toml")
            && !metadata(&path)?.is_dir()
        {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(LoadError::NoRules { path: directory.to_owned() });
    }
    files.sort();
    Ok(files)
}

fn read_file(path: &Path) -> Result<Source, LoadError> {
    if !metadata(path)?.is_file() {
        return Err(LoadError::NoFile { path: path.to_owned() });
    }
    let unreadable = |error| LoadError::Unreadable { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > FILE_BYTES_MAX) {
        return Err(LoadError::TooLarge { path: path.to_owned() });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let (sound, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        LoadError::NotUtf8 {
            path: path.to_owned(),
            line: 1 + sound.iter().filter(|&&byte| byte == b'\n').count(),
        }
    })?;
    Ok(Source { path: path.display().to_string(), text })
}

fn metadata(path: &Path) -> Result<fs::Metadata, LoadError> {
    fs::metadata(path).map_err(|error| LoadError::Unreadable { path: path.to_owned(), error })
}

//! Reads rule files and directories.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::rules::diagnostic::{Look, count, render};
use crate::rules::{Diagnostic, RuleSet, Severity, Source, compile};

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
    /// A directory in which no rule file lies.
    #[error("{}: no rule file in this directory; rule files end in .toml and do not start with a dot", path.display())]
    NoRules {
        /// The directory.
        path: PathBuf,
    },
    /// A file that is no rule file.
    #[error("{}: is larger than {} MiB, the most that a rule file may have", path.display(), FILE_BYTES_MAX >> 20)]
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

/// Reads and compiles rule files. Gives warnings along with the rules; no path means no rule and the default policy.
///
/// # Errors
/// A path that cannot be read, or all errors in the files.
pub fn load(paths: &[PathBuf]) -> Result<(RuleSet, Vec<Diagnostic>), LoadError> {
    compiled(&read(paths)?)
}

/// Compiles rule files that were read.
///
/// # Errors
/// All errors in the files.
pub fn compiled(sources: &[Source]) -> Result<(RuleSet, Vec<Diagnostic>), LoadError> {
    compile(sources).map_err(|diagnostics| LoadError::Refused {
        errors: diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count(),
        rendered: render(&diagnostics, Look::Plain),
    })
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

//! Files that commands write: each takes its name only once it is whole.

use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tempfile::NamedTempFile;

/// A file in the making, and what it will be called.
pub(super) type File = BufWriter<NamedTempFile>;

/// Where a file will be.
#[derive(Clone, Debug)]
pub(super) struct Target {
    path: PathBuf,
    force: bool,
}

impl Target {
    /// A file that is not there yet, or that may be replaced.
    pub(super) fn new(path: &Path, force: bool) -> anyhow::Result<Self> {
        if !force && path.exists() {
            bail!("{}: exists; --force replaces it", path.display());
        }
        Ok(Self { path: path.to_owned(), force })
    }

    /// Starts it, readable by its owner alone: captures hold the keys of connections.
    pub(super) fn start(&self) -> anyhow::Result<File> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let file = NamedTempFile::new_in(parent.unwrap_or(Path::new("."))).with_context(|| self.name())?;
        Ok(BufWriter::new(file))
    }

    /// Gives it its name.
    pub(super) fn keep(&self, file: File) -> anyhow::Result<()> {
        let file = file.into_inner().map_err(io::IntoInnerError::into_error).with_context(|| self.name())?;
        let persisted =
            if self.force { file.persist(&self.path) } else { file.persist_noclobber(&self.path) };
        persisted.map(|_| ()).with_context(|| self.name())
    }

    /// As errors call it.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }
}

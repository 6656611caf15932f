//! A folder that appears whole or not at all.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::ModelsError;

/// A folder under a temporary name, removed again unless it is finished.
#[derive(Debug)]
pub(crate) struct NewFolder {
    temporary: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl NewFolder {
    /// Makes a folder beside `target`, which may not exist, unless as an empty folder.
    ///
    /// # Errors
    /// When something is there, or the folder cannot be made.
    pub fn create(target: &Path) -> Result<Self, ModelsError> {
        free(target)?;
        let name =
            target.file_name().ok_or_else(|| ModelsError::invalid(target, "it is no name of a folder"))?;
        let parent = parent(target);
        fs::create_dir_all(parent).map_err(ModelsError::write(parent))?;
        let temporary = parent.join(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        if temporary.exists() {
            fs::remove_dir_all(&temporary).map_err(ModelsError::write(&temporary))?;
        }
        fs::create_dir(&temporary).map_err(ModelsError::write(&temporary))?;
        Ok(Self { temporary, target: target.to_owned(), finished: false })
    }

    /// Where its files go.
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Writes a JSON file, indented as Hugging Face's are.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_json(&self, name: &str, value: &Value) -> Result<(), ModelsError> {
        let path = self.temporary.join(name);
        let file = File::create(&path).map_err(ModelsError::write(&path))?;
        let mut out = BufWriter::new(file);
        serde_json::to_writer_pretty(&mut out, value)
            .map_err(std::io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| out.flush())
            .map_err(ModelsError::write(&path))
    }

    /// Syncs every file and the folder, and gives it its name.
    ///
    /// # Errors
    /// When that fails; nothing of the name is there then.
    pub fn finish(mut self) -> Result<(), ModelsError> {
        sync_all(&self.temporary)?;
        free(&self.target)?;
        if self.target.exists() {
            fs::remove_dir(&self.target).map_err(ModelsError::write(&self.target))?;
        }
        fs::rename(&self.temporary, &self.target).map_err(ModelsError::write(&self.target))?;
        self.finished = true;
        sync(parent(&self.target))
    }

    /// Syncs the one file `name` and puts it alone where the folder was to be.
    ///
    /// # Errors
    /// As [`NewFolder::finish`].
    pub fn finish_as_file(self, name: &str) -> Result<(), ModelsError> {
        let file = self.temporary.join(name);
        sync(&file)?;
        fs::rename(&file, &self.target).map_err(ModelsError::write(&self.target))?;
        sync(parent(&self.target))
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = fs::remove_dir_all(&self.temporary)
        {
            tracing::debug!(%error, "cannot remove an unfinished folder");
        }
    }
}

/// Fails where something is in the way.
fn free(target: &Path) -> Result<(), ModelsError> {
    let taken = match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => target.exists(),
    };
    if taken {
        let message = "it exists already; name another place, or remove it first";
        return Err(ModelsError::invalid(target, message));
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_all(folder: &Path) -> Result<(), ModelsError> {
    for entry in fs::read_dir(folder).map_err(ModelsError::read(folder))? {
        sync(&entry.map_err(ModelsError::read(folder))?.path())?;
    }
    sync(folder)
}

fn sync(path: &Path) -> Result<(), ModelsError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(ModelsError::write(path))
}

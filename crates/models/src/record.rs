//! Where the record of the run that made a model lies.

use std::path::{Path, PathBuf};

/// The record's name; `lore train` writes it into a run's folder, and it goes with the model from there.
pub const RUN: &str = "run.yaml";
/// The folder of a run with the model that it made.
pub const MODEL: &str = "model";

/// The record of the run that made the adapter or the checkpoint in `folder`: in it, or in the folder that it lies in.
pub fn of_adapter(folder: &Path) -> Option<PathBuf> {
    of(folder, true)
}

/// The record of the run that made the model in the folder `model`: in it, or beside it in the folder of a run. A file has
/// none, since it may lie among others.
pub fn of_model(model: &Path) -> Option<PathBuf> {
    let whole = model.canonicalize().ok()?;
    of(&whole, whole.ends_with(MODEL))
}

fn of(folder: &Path, above: bool) -> Option<PathBuf> {
    let whole = folder.canonicalize().ok().filter(|folder| folder.is_dir())?;
    let above = whole.parent().filter(|_| above);
    [Some(whole.as_path()), above]
        .into_iter()
        .flatten()
        .map(|place| place.join(RUN))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use super::*;

    #[test]
    fn a_record_lies_with_what_was_made_or_in_the_runs_folder() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().canonicalize().unwrap();
        for name in ["adapter", "model", "merged"] {
            fs::create_dir(run.join(name)).unwrap();
        }
        assert_eq!(of_adapter(&run.join("adapter")), None);
        fs::write(run.join(RUN), "").unwrap();
        assert_eq!(of_adapter(&run.join("adapter")), Some(run.join(RUN)));
        assert_eq!(of_model(&run.join("model")), Some(run.join(RUN)));
        // Any other folder beside a run's record may hold a model that the run did not make.
        assert_eq!(of_model(&run.join("merged")), None);
        fs::write(run.join("merged/run.yaml"), "").unwrap();
        assert_eq!(of_model(&run.join("merged")), Some(run.join("merged/run.yaml")));
        fs::write(run.join("m.gguf"), "").unwrap();
        assert_eq!(of_model(&run.join("m.gguf")), None);
    }
}

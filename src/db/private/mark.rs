//! The marks that tie a data folder to its database where that is elsewhere: `database` in the data folder says where, `data-folder`
//! beside the database says whose it is, and both hold the same id. So a folder that was moved or copied is told from a new one.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::error::PrivateError;

/// The mark in a data folder.
const DATABASE: &str = "database";
/// The mark beside a database that is not in its data folder.
const DATA_FOLDER: &str = "data-folder";
/// The home of a database that is in its data folder.
const HERE: &str = ".";

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) id: Uuid,
    /// The other folder: the database's home (`None` when it is the data folder itself), or the data folder.
    pub(super) folder: Option<PathBuf>,
}

/// Where the mark of a data folder is.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(DATABASE)
}

/// Reads where a data folder's database is; `None` when it has no mark yet.
pub(super) fn home_of(data_dir: &Path) -> Result<Option<Mark>, PrivateError> {
    read(&path(data_dir), "home")
}

/// Reads whose the database in a home is; `None` when it has no mark yet.
pub(super) fn owner_of(home: &Path) -> Result<Option<Mark>, PrivateError> {
    read(&home.join(DATA_FOLDER), "data")
}

/// Writes both marks as they should be, unless they are. Called by the holder of the lock once there is a database.
pub(super) fn write(data_dir: &Path, home: &Path) -> Result<(), PrivateError> {
    let found = home_of(data_dir)?;
    if data_dir == home {
        let is_right = found.is_some_and(|mark| mark.folder.is_none());
        return if is_right { Ok(()) } else { replace(&path(data_dir), "home", Uuid::new_v4(), Path::new(HERE)) };
    }
    let owner = owner_of(home)?;
    let id = found.as_ref().or(owner.as_ref()).map_or_else(Uuid::new_v4, |mark| mark.id);
    let (ours, its) = (Mark { id, folder: Some(home.to_owned()) }, Mark { id, folder: Some(data_dir.to_owned()) });
    // Its mark first: one that names nobody yet is adopted, and a data folder that names a stranger is refused.
    if owner.as_ref() != Some(&its) {
        replace(&home.join(DATA_FOLDER), "data", id, data_dir)?;
    }
    if found.as_ref() != Some(&ours) {
        replace(&path(data_dir), "home", id, home)?;
    }
    Ok(())
}

fn read(file: &Path, name: &str) -> Result<Option<Mark>, PrivateError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(problem) if matches!(problem.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(problem) => return Err(PrivateError::at(file, "reading where the database is", problem)),
    };
    let wrong = |problem: String| PrivateError::Mark { file: file.to_owned(), problem };
    let value = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let mut values = lines.filter(|(found, _)| found.trim() == name).map(|(_, value)| value.trim());
        values.next().filter(|value| !value.is_empty()).ok_or_else(|| wrong(format!("it has no line `{name} = …`")))
    };
    let id = value("id")?.parse().map_err(|why| wrong(format!("its id is none: {why}")))?;
    let folder = value(name)?;
    Ok(Some(Mark { id, folder: (folder != HERE).then(|| PathBuf::from(folder)) }))
}

/// Whole or not at all: written beside it and renamed.
fn replace(file: &Path, name: &str, id: Uuid, folder: &Path) -> Result<(), PrivateError> {
    let text = format!(
        "# Written by Maju: keep it with this folder. A backup needs the other folder too, where one is named.\nid = {id}\n{name} = {}\n",
        folder.display()
    );
    let unfinished = file.with_extension("new");
    fs::write(&unfinished, text)
        .and_then(|()| fs::File::open(&unfinished)?.sync_all())
        .and_then(|()| fs::rename(&unfinished, file))
        .map_err(|problem| PrivateError::at(file, "writing where the database is", problem))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{home_of, owner_of, path, write};

    #[test]
    fn the_marks_of_two_folders_fit_and_stay_as_they_are() {
        let (data, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!((home_of(data.path()).unwrap(), owner_of(home.path()).unwrap()), (None, None));
        write(data.path(), home.path()).unwrap();
        let (ours, its) = (home_of(data.path()).unwrap().unwrap(), owner_of(home.path()).unwrap().unwrap());
        assert_eq!(ours.id, its.id);
        assert_eq!((ours.folder.as_deref(), its.folder.as_deref()), (Some(home.path()), Some(data.path())));
        write(data.path(), home.path()).unwrap();
        assert_eq!(home_of(data.path()).unwrap().unwrap(), ours);
        // The database moved in.
        write(data.path(), data.path()).unwrap();
        assert_eq!(home_of(data.path()).unwrap().unwrap().folder, None);
    }

    #[test]
    fn a_mark_that_is_damaged_is_refused_by_name() {
        let data = tempfile::tempdir().unwrap();
        for damaged in ["", "id = x\nhome = .\n", "id = 67e55044-10b1-426f-9247-bb680e5fe0c8\n", "home = /srv\n"] {
            fs::write(path(data.path()), damaged).unwrap();
            let refusal = home_of(data.path()).unwrap_err().to_string();
            assert!(refusal.contains(path(data.path()).to_str().unwrap()), "{refusal}");
        }
        assert_eq!(home_of(Path::new("/nowhere")).unwrap(), None);
    }
}

//! Marker files, which connect a data folder with a database that is elsewhere. `database` in the
//! data folder names the place of the database; `data-folder` beside the database names the data
//! folder; both have the same id. They tell a folder that was moved or copied from a new one.
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::error::PrivateError;

/// The marker file in a data folder.
const LOCATION_FILE: &str = "database";
/// The marker file beside a database that is not in its data folder.
const OWNER_FILE: &str = "data-folder";
/// The place of a database that is in its data folder.
const HERE: &str = ".";

/// The contents of a marker file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) id: Uuid,
    /// The other folder: that of the database (`None` if it is in the data folder), or the data
    /// folder.
    pub(super) folder: Option<PathBuf>,
}

/// Returns the path of a data folder's marker file.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(LOCATION_FILE)
}

/// Reads where a data folder's database is. `None` if it has no marker file yet.
///
/// # Errors
/// Returns an error if the file cannot be read or is damaged.
pub(super) fn read_location(data_dir: &Path) -> Result<Option<Marker>, PrivateError> {
    read(&path(data_dir), "home")
}

/// Reads which data folder a database belongs to. `None` if it has no marker file yet.
///
/// # Errors
/// Returns an error if the file cannot be read or is damaged.
pub(super) fn read_owner(postgres_dir: &Path) -> Result<Option<Marker>, PrivateError> {
    read(&postgres_dir.join(OWNER_FILE), "data")
}

/// Writes the marker files that are missing or wrong. Called by the holder of the lock once there
/// is a database.
///
/// # Errors
/// Returns an error if a file cannot be read or written.
pub(super) fn write(data_dir: &Path, postgres_dir: &Path) -> Result<(), PrivateError> {
    let found = read_location(data_dir)?;
    if data_dir == postgres_dir {
        let is_correct = found.is_some_and(|mark| mark.folder.is_none());
        return if is_correct { Ok(()) } else { replace(&path(data_dir), "home", Uuid::new_v4(), Path::new(HERE)) };
    }
    let owner = read_owner(postgres_dir)?;
    let id = found.as_ref().or(owner.as_ref()).map_or_else(Uuid::new_v4, |mark| mark.id);
    let (location, ownership) =
        (Marker { id, folder: Some(postgres_dir.to_owned()) }, Marker { id, folder: Some(data_dir.to_owned()) });
    // The database's marker first: a database without a marker is adopted, but a data folder that
    // names another folder's database is refused.
    if owner.as_ref() != Some(&ownership) {
        replace(&postgres_dir.join(OWNER_FILE), "data", id, data_dir)?;
    }
    if found.as_ref() != Some(&location) {
        replace(&path(data_dir), "home", id, postgres_dir)?;
    }
    Ok(())
}

fn read(file: &Path, name: &str) -> Result<Option<Marker>, PrivateError> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(problem) if matches!(problem.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(problem) => return Err(PrivateError::at(file, "reading where the database is", problem)),
    };
    let wrong = |problem: String| PrivateError::Marker { file: file.to_owned(), problem };
    let value = |name: &str| {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let mut values = lines.filter(|(found, _)| found.trim() == name).map(|(_, value)| value.trim());
        values.next().filter(|value| !value.is_empty()).ok_or_else(|| wrong(format!("it has no line `{name} = …`")))
    };
    let id = value("id")?.parse().map_err(|why| wrong(format!("its id is not valid: {why}")))?;
    let folder = value(name)?;
    Ok(Some(Marker { id, folder: (folder != HERE).then(|| PathBuf::from(folder)) }))
}

/// Replaces a marker file atomically: writes another file and renames it.
fn replace(file: &Path, name: &str, id: Uuid, folder: &Path) -> Result<(), PrivateError> {
    let text = format!(
        "# Written by Maju. Keep this file with its folder. If it names another folder, back that up too.\nid = {id}\n{name} = {}\n",
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

    use super::{path, read_location, read_owner, write};

    #[test]
    fn the_markers_of_two_folders_match_and_do_not_change() {
        let (data, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!((read_location(data.path()).unwrap(), read_owner(home.path()).unwrap()), (None, None));
        write(data.path(), home.path()).unwrap();
        let (location, owner) =
            (read_location(data.path()).unwrap().unwrap(), read_owner(home.path()).unwrap().unwrap());
        assert_eq!(location.id, owner.id);
        assert_eq!((location.folder.as_deref(), owner.folder.as_deref()), (Some(home.path()), Some(data.path())));
        write(data.path(), home.path()).unwrap();
        assert_eq!(read_location(data.path()).unwrap().unwrap(), location);
        // The database was moved into the data folder.
        write(data.path(), data.path()).unwrap();
        assert_eq!(read_location(data.path()).unwrap().unwrap().folder, None);
    }

    #[test]
    fn a_damaged_marker_is_refused_by_name() {
        let data = tempfile::tempdir().unwrap();
        for damaged in ["", "id = x\nhome = .\n", "id = 67e55044-10b1-426f-9247-bb680e5fe0c8\n", "home = /srv\n"] {
            fs::write(path(data.path()), damaged).unwrap();
            let refusal = read_location(data.path()).unwrap_err().to_string();
            assert!(refusal.contains(path(data.path()).to_str().unwrap()), "{refusal}");
        }
        assert_eq!(read_location(Path::new("/nowhere")).unwrap(), None);
    }
}

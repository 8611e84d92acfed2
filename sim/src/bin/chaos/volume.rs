//! A small volume for the data folder, so that a run can fill it: a file on a loop device, or a
//! tmpfs where there are no loop devices.
//!
//! It is mounted in a mount namespace of this process. Only the processes of the run see it, and
//! the kernel unmounts it when the last of them ends.
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Enough for the PostgreSQL programs, a database and its WAL.
const VOLUME_SIZE: &str = "640M";
/// Bytes of one write to the ballast, the file that fills the volume.
const WRITE_BYTES: usize = 256 * 1024;

/// A mounted volume, which [`Volume::fill`] fills.
pub struct Volume {
    ballast: PathBuf,
}

impl Volume {
    /// Mounts an empty volume over a folder.
    ///
    /// # Errors
    /// The first line of what the failed program printed.
    pub fn mount(folder: &Path) -> Result<Self, String> {
        let image = folder.with_extension("volume");
        let made = run(Command::new("truncate").args(["-s", VOLUME_SIZE]).arg(&image))
            .and_then(|()| run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image)))
            .and_then(|()| run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(folder)));
        if made.is_err() {
            let _ = std::fs::remove_file(&image);
            let size = format!("size={VOLUME_SIZE},mode=755");
            run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(folder))?;
        }
        let _ = std::fs::remove_dir(folder.join("lost+found"));
        Ok(Self { ballast: folder.join("ballast") })
    }

    /// Fills all the space that is left, to the last byte that can be written.
    pub fn fill(&self) {
        let Ok(mut file) = OpenOptions::new().create(true).append(true).open(&self.ballast) else { return };
        let mut piece = WRITE_BYTES;
        while piece > 0 {
            if file.write_all(&vec![b'.'; piece]).is_err() {
                piece /= 4;
            }
        }
        let _ = file.sync_all();
    }

    /// Deletes the ballast, so that there is space again.
    pub fn free(&self) {
        let _ = std::fs::remove_file(&self.ballast);
        let _ = self.ballast.parent().and_then(|folder| File::open(folder).ok()).map(|folder| folder.sync_all());
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.stdin(Stdio::null()).output().map_err(|why| format!("{name}: {why}"))?;
    let output = String::from_utf8_lossy(&done.stderr);
    if done.status.success() { Ok(()) } else { Err(format!("{name}: {}", output.lines().next().unwrap_or("failed"))) }
}

//! Whether something could be written: tried, because permissions alone do not tell.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The room that a file has to have, in bytes: some thousand lines.
const ROOM: usize = 1 << 20;

/// Whether a folder is, or could be made, a place to write.
pub(super) fn writable(folder: &Path) -> Result<(), String> {
    write(&nearest(folder)?, 0)
}

/// Whether lines could be appended to a file, which may not be there yet; if so, why it could not be put aside. A file that
/// is there is opened and left as it is: the service may be writing it. `made`: a folder that the service makes itself.
pub(super) fn appendable(file: &Path, made: &Path) -> Result<Option<String>, String> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    match OpenOptions::new().append(true).open(file) {
        // What opens it for the first time makes it there.
        Err(error) if error.kind() == ErrorKind::NotFound && folder == made => {
            write(&nearest(folder)?, ROOM)?
        }
        Err(error) if error.kind() == ErrorKind::NotFound && !folder.exists() => {
            return Err(format!("there is no folder {}", folder.display()));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => write(folder, ROOM)?,
        Err(error) => return Err(format!("{} cannot be written: {error}", file.display())),
        Ok(_) => match write(folder, 0) {
            Ok(()) => write(folder, ROOM)?,
            Err(why) => return Ok(Some(format!("{} cannot be put aside: {why}", file.display()))),
        },
    }
    Ok(None)
}

/// The folder, or the first above it that is there.
fn nearest(folder: &Path) -> Result<PathBuf, String> {
    let mut place: PathBuf = folder.to_owned();
    loop {
        match fs::metadata(&place) {
            Ok(about) if about.is_dir() => return Ok(place),
            Ok(_) => return Err(format!("{} is not a folder", place.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // A relative path ends where the working directory begins.
                place = match place.parent() {
                    Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
                    _ => PathBuf::from("."),
                };
            }
            Err(error) => return Err(format!("{}: {error}", place.display())),
        }
    }
}

/// Writes so many bytes there, and takes them away again.
fn write(folder: &Path, bytes: usize) -> Result<(), String> {
    let trial = folder.join(format!(".waypost-check-{}", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).open(&trial);
    let mut made = made.map_err(|error| format!("{} cannot be written: {error}", folder.display()))?;
    let written = made.write_all(&vec![b'\n'; bytes]).and_then(|()| made.sync_data());
    fs::remove_file(&trial).map_err(|error| format!("{} cannot be removed: {error}", trial.display()))?;
    written.map_err(|error| format!("{} has no room for {bytes} bytes: {error}", folder.display()))
}

//! The file that keeps the lines of earlier sessions.
//!
//! It is in the user's directory for data, for nobody else to read: lines hold keys and values.
//! `LLMDB_HISTORY` names another file; `off`, or nothing, keeps none.

use reedline::FileBackedHistory;
use std::ffi::OsString;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Lines that are kept.
const LINES_MAX: usize = 10_000;
const VARIABLE: &str = "LLMDB_HISTORY";

/// The lines of earlier sessions; in memory alone where no file can be had, and why.
pub fn open() -> (FileBackedHistory, Option<String>) {
    let Some(path) = path(|name| std::env::var_os(name)) else { return (in_memory(), None) };
    let opened = make_private(&path).and_then(|()| {
        let history = FileBackedHistory::with_file(LINES_MAX, path.clone());
        history.map_err(|error| io::Error::other(error.to_string()))
    });
    match opened {
        Ok(history) => (history, None),
        Err(error) => {
            (in_memory(), Some(format!("no history is kept: {}: {error}", path.display())))
        }
    }
}

fn in_memory() -> FileBackedHistory {
    FileBackedHistory::new(LINES_MAX).expect("a history may have this many lines")
}

/// Where it is, for an environment.
fn path(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(path) = variable(VARIABLE) {
        return (!path.is_empty() && path != "off").then(|| path.into());
    }
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let data = set("XDG_DATA_HOME").filter(|path| path.is_absolute());
    let data = data.or_else(|| set("APPDATA"));
    let data = data.or_else(|| Some(set("HOME")?.join(".local").join("share")))?;
    Some(data.join("llmdb").join("history"))
}

/// Makes the file, and the directory around it, where they are missing, for the user alone.
fn make_private(path: &Path) -> io::Result<()> {
    let mut dir = DirBuilder::new();
    let mut file = OpenOptions::new();
    file.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        dir.mode(0o700);
        file.mode(0o600);
    }
    if let Some(parent) = path.parent() {
        dir.recursive(true).create(parent)?;
    }
    file.open(path).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(set: &[(&str, &str)]) -> Option<PathBuf> {
        path(|name| set.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into()))
    }

    #[test]
    fn it_is_where_data_of_the_user_is() {
        let home = ("HOME", "/home/ada");
        assert_eq!(at(&[home]), Some("/home/ada/.local/share/llmdb/history".into()));
        assert_eq!(at(&[home, ("XDG_DATA_HOME", "/data")]), Some("/data/llmdb/history".into()));
        assert_eq!(at(&[home, ("XDG_DATA_HOME", "data")]), at(&[home]));
        assert_eq!(at(&[home, (VARIABLE, "/x/y")]), Some("/x/y".into()));
        assert_eq!(at(&[home, (VARIABLE, "off")]), None);
        assert_eq!(at(&[home, (VARIABLE, "")]), None);
        assert_eq!(at(&[]), None);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("llmdb").join("history");
        make_private(&path).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        make_private(&path).unwrap();
    }
}

//! The file that keeps the lines of earlier sessions.
//!
//! It is in the user's directory for data, for nobody else to read: lines hold keys and values.
//! `LLMDB_HISTORY` names another file; `off`, or nothing, keeps none, and so does `--no-history`.
//!
//! Lines with a key that is erased are taken out of it: of all databases, because lines do not say
//! which they were typed at, and rather one too many, because a key may be spelled in many ways.

use super::token::{Kind, tokens};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reedline::{FileBackedHistory, History, HistoryItem, SearchDirection, SearchQuery};
use serde_json::Value as Json;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Lines that are kept.
const LINES_MAX: usize = 10_000;
const VARIABLE: &str = "LLMDB_HISTORY";

/// How an end of a line within an entry is written in the file, by `reedline`.
const NEWLINE: &str = "<\\n>";

/// The lines of a session, and of earlier ones.
#[derive(Debug)]
pub struct Past {
    /// What walks through them.
    pub history: FileBackedHistory,
    /// Whether a file keeps them.
    pub is_kept: bool,
    /// Why none does, although it should.
    pub problem: Option<String>,
}

/// The lines of earlier sessions; in memory alone where none are wanted, or no file can be had.
pub fn open(wanted: bool) -> Past {
    let none = |problem| Past { history: in_memory(), is_kept: false, problem };
    let Some(path) = file().filter(|_| wanted) else { return none(None) };
    let opened = make_private(&path).and_then(|()| {
        let history = FileBackedHistory::with_file(LINES_MAX, path.clone());
        history.map_err(|error| io::Error::other(error.to_string()))
    });
    match opened {
        Ok(history) => Past { history, is_kept: true, problem: None },
        Err(error) => none(Some(format!("no history is kept: {}: {error}", path.display()))),
    }
}

/// The file, if there is to be one.
pub fn file() -> Option<PathBuf> {
    path(|name| std::env::var_os(name))
}

/// Takes all lines with one of `keys` out of the file, and overwrites them. Answers how many.
///
/// # Errors
/// Those of the file system; the lines may still be there.
pub fn forget(path: &Path, keys: &[Vec<u8>]) -> io::Result<usize> {
    if !path.metadata().is_ok_and(|meta| meta.is_file()) {
        return Ok(0);
    }
    let mut file = File::options().read(true).write(true).open(path)?;
    // The same lock as that of shells which write theirs.
    file.lock()?;
    let mut all = Vec::new();
    file.read_to_end(&mut all)?;
    let mut kept = Vec::with_capacity(all.len());
    let mut count = 0;
    for line in all.split_inclusive(|&byte| byte == b'\n') {
        let text = String::from_utf8_lossy(line).replace(NEWLINE, "\n");
        if mentions(line, text.trim_end_matches('\n'), keys) {
            count += 1;
        } else {
            kept.extend_from_slice(line);
        }
    }
    if count == 0 {
        return Ok(0);
    }
    // In place, and zeros behind it before it is cut: blocks that are given back hold nothing.
    let len = kept.len() as u64;
    kept.resize(all.len(), 0);
    file.rewind()?;
    file.write_all(&kept)?;
    file.sync_data()?;
    file.set_len(len)?;
    file.sync_all()?;
    Ok(count)
}

/// Takes all lines with one of `keys` out of a history that no file keeps.
///
/// # Errors
/// None that a history in memory has.
pub fn forget_in_memory(history: &mut dyn History, keys: &[Vec<u8>]) -> reedline::Result<()> {
    let all = history.search(SearchQuery::everything(SearchDirection::Forward, None))?;
    history.clear()?;
    for HistoryItem { command_line, .. } in all {
        if !mentions(command_line.as_bytes(), &command_line, keys) {
            history.save(HistoryItem::from_command_line(command_line))?;
        }
    }
    Ok(())
}

/// Whether a line has one of `keys` in it, however it is written there.
pub fn mentions(raw: &[u8], line: &str, keys: &[Vec<u8>]) -> bool {
    let mut texts = vec![raw.to_vec(), line.as_bytes().to_vec()];
    for token in tokens(line).unwrap_or_default() {
        match token.kind {
            Kind::Bare => {}
            Kind::Quoted => texts.push(token.text.into_bytes()),
            Kind::Json => {
                if let Ok(json) = serde_json::from_str(&token.text) {
                    strings(&json, &mut texts);
                }
            }
        }
    }
    keys.iter().any(|key| {
        let base64 = STANDARD.encode(key).into_bytes();
        texts.iter().any(|text| has(text, key) || has(text, &base64))
    })
}

fn has(text: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && text.windows(part.len()).any(|window| window == part)
}

/// All strings of a document, as they are meant.
fn strings(json: &Json, out: &mut Vec<Vec<u8>>) {
    match json {
        Json::String(text) => out.push(text.as_bytes().to_vec()),
        Json::Array(items) => items.iter().for_each(|item| strings(item, out)),
        Json::Object(members) => {
            for (name, member) in members {
                out.push(name.as_bytes().to_vec());
                strings(member, out);
            }
        }
        _ => {}
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
    let file = file.open(path)?;
    // One that was made otherwise, by a copy or by hand, is for the user alone from now on.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let meta = file.metadata()?;
        if meta.is_file() && meta.permissions().mode() & 0o077 != 0 {
            file.set_permissions(PermissionsExt::from_mode(0o600))?;
        }
    }
    drop(file);
    Ok(())
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
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        make_private(&path).unwrap();
        assert_eq!(mode(&path), 0o600, "one that others could read");
    }

    #[test]
    fn a_key_is_found_however_it_is_written() {
        let line = |line: &str| mentions(line.as_bytes(), line, &[b"it's:7".to_vec()]);
        for with in [
            "get it's:7",
            "get 'it''s:7'",
            "get \"it\\u0027s:7\"",
            "{\"op\":\"get\",\"key\":\"it\\u0027s:\\u0037\"}",
            "{\"op\":\"get\",\"key_b64\":\"aXQnczo3\"}",
            "get b64:aXQnczo3",
            "put other 'see it''s:7'",
            "put other {\"see\": [{\"it\\u0027s:7\": 1}]}",
            "scan it's:77 'open",
        ] {
            assert!(line(with), "{with}");
        }
        for without in ["get it's:8", "get 'it''s'", "scan", ""] {
            assert!(!line(without), "{without}");
        }
        assert!(!mentions(b"x", "x", &[Vec::new()]));
    }

    #[test]
    fn lines_with_a_key_are_overwritten_and_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        let keys = [b"user:7".to_vec()];
        assert_eq!(forget(&path, &keys).unwrap(), 0, "there is none");
        std::fs::write(&path, "get a\nput x 'a<\\n>user:7'\nscan user:\nerase user:7\nlast")
            .unwrap();
        assert_eq!(forget(&path, &keys).unwrap(), 2);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "get a\nscan user:\nlast");
        assert_eq!(forget(&path, &keys).unwrap(), 0);
        assert_eq!(forget(Path::new("/dev/null"), &keys).unwrap(), 0, "no file of lines");
    }

    #[test]
    fn what_is_only_in_memory_is_forgotten_too() {
        let mut history = in_memory();
        for line in ["get a", "get user:7", "get b"] {
            history.save(HistoryItem::from_command_line(line)).unwrap();
        }
        forget_in_memory(&mut history, &[b"user:7".to_vec()]).unwrap();
        let all = history.search(SearchQuery::everything(SearchDirection::Forward, None)).unwrap();
        let lines: Vec<_> = all.into_iter().map(|item| item.command_line).collect();
        assert_eq!(lines, ["get a", "get b"]);
    }
}

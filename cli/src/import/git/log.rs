//! The history of a repository as `git log` tells it, commit by commit.

use crate::error::{Error, Result};
use std::fmt;
use std::io::{BufRead, Read};
use std::path::PathBuf;

/// What `git log` is asked for besides the commits: the oldest first, each with its fields and the
/// files it touched, all ended by NUL, so that no name, author or subject can be mistaken for
/// another.
///
/// ```text
/// commit := hash NUL parents NUL author time NUL commit time NUL author NUL subject NUL change*
/// change := [newline | NUL] ":"{parents} modes.. blobs.. status NUL path NUL [path NUL]
/// ```
///
/// A merge lists the files that differ from all of its parents: what merging itself changed.
pub const ARGUMENTS: &[&str] = &[
    "log",
    "-z",
    "--reverse",
    "--format=%H%x00%P%x00%at%x00%ct%x00%an%x00%s",
    "--raw",
    "--no-abbrev",
    "-c",
    "-M",
    "-r",
    "--root",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-show-signature",
    "--no-notes",
    "--no-mailmap",
    "--encoding=UTF-8",
];

/// What is kept of a field: no path is longer, and of a subject it is plenty.
const FIELD_BYTES_MAX: u64 = 64 << 10;

/// A commit and the files it touched.
#[derive(Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its hash, in hexadecimal.
    pub hash: String,
    /// How many parents it has.
    pub parents: usize,
    /// When it was written, in microseconds since 1970; when it was committed, where the first
    /// makes no sense.
    pub author_us: i64,
    /// Who wrote it.
    pub author: String,
    /// The first line of its message.
    pub subject: String,
    /// The files it touched, in the order of the log.
    pub files: Vec<FileChange>,
}

/// A file that a commit touched.
#[derive(Clone, PartialEq, Eq)]
pub struct FileChange {
    /// What became of it.
    pub kind: FileChangeKind,
    /// Its path from the root of the repository, whatever bytes that has.
    pub path: Vec<u8>,
    /// Its mode afterwards, in octal.
    pub mode: String,
    /// Its contents afterwards, by hash.
    pub blob: String,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileChangeKind {
    /// It is new.
    Added,
    /// Its contents or mode changed, or it became something else.
    Modified,
    /// It came from another path, which is gone.
    Renamed {
        /// The other path.
        from: Vec<u8>,
    },
    /// It was merged into something that no parent has.
    Merged,
    /// It is gone.
    Deleted,
}

/// Reads commits from the output of `git log` with [`ARGUMENTS`].
pub struct Log<R> {
    input: R,
    /// The first field of the next commit, met while looking for more files of the last.
    next_hash: Option<String>,
}

impl<R: BufRead> Log<R> {
    /// A log from its beginning.
    pub fn new(input: R) -> Self {
        Self { input, next_hash: None }
    }

    /// The next commit, or `None` behind the last.
    ///
    /// # Errors
    /// [`Error::GitLog`] where the output is not of the form asked for, [`Error::Read`]
    pub fn next_commit(&mut self) -> Result<Option<Commit>> {
        let hash = match self.next_hash.take() {
            Some(hash) => hash,
            None => match self.field()? {
                Some(field) => hash_of(&field)?,
                None => return Ok(None),
            },
        };
        let parents = self.text()?.split_whitespace().count();
        let (author_time, commit_time) = (self.text()?, self.text()?);
        let (author, subject) = (self.text()?, self.text()?);
        let mut commit = Commit {
            hash,
            parents,
            author_us: micros(&author_time).or_else(|| micros(&commit_time)).unwrap_or(0),
            author,
            subject,
            files: Vec::new(),
        };
        self.files(&mut commit)?;
        Ok(Some(commit))
    }

    /// The files of a commit, up to the hash of the next one.
    fn files(&mut self, commit: &mut Commit) -> Result<()> {
        while let Some(field) = self.field()? {
            let field = field.strip_prefix(b"\n").unwrap_or(&field);
            match field.first() {
                None => {}
                Some(b':') => {
                    let change = self.file_change(field)?;
                    commit.files.push(change);
                }
                Some(_) => {
                    self.next_hash = Some(hash_of(field)?);
                    break;
                }
            }
        }
        Ok(())
    }

    fn file_change(&mut self, head: &[u8]) -> Result<FileChange> {
        let bad = || Error::GitLog { what: "a line of a changed file" };
        let head = std::str::from_utf8(head).map_err(|_| bad())?;
        let parents = head.bytes().take_while(|&byte| byte == b':').count();
        let words: Vec<&str> = head[parents..].split(' ').collect();
        // The modes of the parents and of the commit, the same of the blobs, the status.
        let &status = words.last().filter(|_| words.len() == 2 * parents + 3).ok_or_else(bad)?;
        let (mode, blob) = (words[parents].to_owned(), words[2 * parents + 1].to_owned());
        let path = self.path()?;
        let (kind, path) = match status.as_bytes() {
            [b'R', ..] if parents == 1 => (FileChangeKind::Renamed { from: path }, self.path()?),
            [b'C', ..] if parents == 1 => (FileChangeKind::Added, self.path()?),
            _ if mode == "000000" => (FileChangeKind::Deleted, path),
            _ if parents > 1 => (FileChangeKind::Merged, path),
            [b'A'] => (FileChangeKind::Added, path),
            _ => (FileChangeKind::Modified, path),
        };
        Ok(FileChange { kind, path, mode, blob })
    }

    fn path(&mut self) -> Result<Vec<u8>> {
        self.field()?.ok_or(Error::GitLog { what: "the path of a changed file" })
    }

    fn text(&mut self) -> Result<String> {
        let field = self.field()?.ok_or(Error::GitLog { what: "the fields of a commit" })?;
        Ok(String::from_utf8_lossy(&field).into_owned())
    }

    /// The next field, without its NUL; `None` at the end. What no NUL ends was cut off.
    fn field(&mut self) -> Result<Option<Vec<u8>>> {
        let mut field = Vec::new();
        let read = self.read_field(&mut field);
        let ended = read.map_err(|cause| Error::Read { path: PathBuf::from("git log"), cause })?;
        match (ended, field.is_empty()) {
            (true, _) => Ok(Some(field)),
            (false, true) => Ok(None),
            (false, false) => Err(Error::GitLog { what: "the end of a field" }),
        }
    }

    /// Whether a NUL ended it.
    fn read_field(&mut self, field: &mut Vec<u8>) -> std::io::Result<bool> {
        self.input.by_ref().take(FIELD_BYTES_MAX).read_until(0, field)?;
        if field.last() == Some(&0) {
            field.pop();
            return Ok(true);
        }
        if (field.len() as u64) < FIELD_BYTES_MAX {
            return Ok(false);
        }
        Ok(self.input.skip_until(0)? > 0)
    }
}

fn hash_of(field: &[u8]) -> Result<String> {
    let is_hash = matches!(field.len(), 40 | 64) && field.iter().all(u8::is_ascii_hexdigit);
    if !is_hash {
        return Err(Error::GitLog { what: "the hash of a commit" });
    }
    Ok(String::from_utf8_lossy(field).into_owned())
}

/// Microseconds from seconds since 1970, where they make sense.
fn micros(seconds: &str) -> Option<i64> {
    seconds.parse::<i64>().ok()?.checked_mul(1_000_000).filter(|&us| us < i64::MAX)
}

impl FileChangeKind {
    /// What facts call it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Modified => "modified",
            Self::Renamed { .. } => "renamed",
            Self::Merged => "merged",
            Self::Deleted => "deleted",
        }
    }
}

impl<R> fmt::Debug for Log<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Commit({}, {} files)", self.hash, self.files.len())
    }
}

impl fmt::Debug for FileChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.kind, String::from_utf8_lossy(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const X: &str = "1111111111111111111111111111111111111111";

    fn commits(text: &str) -> Result<Vec<Commit>> {
        let mut log = Log::new(text.as_bytes());
        let mut all = Vec::new();
        while let Some(commit) = log.next_commit()? {
            all.push(commit);
        }
        Ok(all)
    }

    fn header(hash: &str, parents: &str, author_time: &str, subject: &str) -> String {
        format!("{hash}\0{parents}\0{author_time}\x007\0Ada\0{subject}\0")
    }

    #[test]
    fn odd_names_and_subjects_are_no_syntax() {
        let text = header(A, "", "5", ":100644 is a subject")
            + &format!("\n:000000 100644 {X} {X} A\0new\nline\0:000000 100644 {X} {X} A\0:\0")
            + &format!(":000000 100644 {X} {X} A\0{B}\0")
            + &header(B, A, "6", "");
        let all = commits(&text).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].subject, ":100644 is a subject");
        let paths: Vec<&[u8]> = all[0].files.iter().map(|file| file.path.as_slice()).collect();
        assert_eq!(paths, [&b"new\nline"[..], b":", B.as_bytes()]);
        assert_eq!((all[1].subject.as_str(), all[1].files.len()), ("", 0));
    }

    #[test]
    fn each_change_is_what_it_is_called() {
        let text = header(A, B, "5", "s")
            + &format!("\n:100644 100755 {X} {B} M\0m\0:100644 000000 {X} {X} D\0d\0")
            + &format!(":100644 100644 {X} {X} R086\0from\0to\0:100644 120000 {X} {X} T\0t\0")
            + &header(B, "p q", "6", "merge")
            + &format!("\0::100644 100644 100644 {X} {X} {B} MM\0both\0")
            + &format!("::100644 100644 000000 {X} {X} {X} DD\0gone\0");
        let all = commits(&text).unwrap();
        let kinds: Vec<&FileChangeKind> = all[0].files.iter().map(|file| &file.kind).collect();
        let from = b"from".to_vec();
        use FileChangeKind::{Deleted, Merged, Modified, Renamed};
        assert_eq!(kinds, [&Modified, &Deleted, &Renamed { from }, &Modified]);
        assert_eq!((all[0].files[0].mode.as_str(), all[0].files[0].blob.as_str()), ("100755", B));
        assert_eq!(all[0].files[2].path, b"to");
        let merge = &all[1];
        assert_eq!((merge.parents, &merge.files[0].kind), (2, &Merged));
        assert_eq!((merge.files[0].blob.as_str(), &merge.files[1].kind), (B, &Deleted));
    }

    #[test]
    fn times_that_make_no_sense_give_way_to_the_commit_time() {
        for (text, us) in
            [("5", 5_000_000), ("-5", -5_000_000), ("", 7_000_000), ("9999999999999999", 7_000_000)]
        {
            assert_eq!(commits(&header(A, "", text, "s")).unwrap()[0].author_us, us, "{text}");
        }
    }

    #[test]
    fn of_a_field_without_measure_the_beginning_is_kept() {
        let subject = "s".repeat(FIELD_BYTES_MAX as usize + 5);
        let all = commits(&(header(A, "", "5", &subject) + &header(B, A, "6", "t"))).unwrap();
        assert_eq!(all[0].subject.len() as u64, FIELD_BYTES_MAX);
        assert_eq!(all[1].subject, "t");
    }

    #[test]
    fn output_that_is_cut_or_foreign_is_refused() {
        let whole = header(A, "", "5", "s") + &format!("\n:000000 100644 {X} {X} A\0path\0");
        commits(&whole).unwrap();
        // A cut behind the header cannot be told from a commit without files: git's exit status
        // tells.
        let quiet = [0, header(A, "", "5", "s").len()];
        for cut in (0..whole.len()).filter(|cut| !quiet.contains(cut)) {
            assert!(commits(&whole[..cut]).is_err(), "cut at {cut}");
        }
        assert!(commits("fatal: not a git repository\0").is_err());
    }
}

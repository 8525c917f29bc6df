//! Opening what is there, what is not, and what somebody else has.

use crate::support::{PATH, assert_clean, fresh, open, options};
use llmdb::vfs::{
    EntryKind, Error as VfsError, File, Lock, MemVfs, OpenMode, Result as VfsResult, Vfs,
};
use llmdb::{Clock, Db, Error, ErrorClass, Options, TreeOptions};
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, IoSlice};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

fn on_disk(dir: &TempDir) -> PathBuf {
    dir.path().join("agent.llmdb")
}

/// A database at rest, with something in it, in a file.
fn at_rest() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = on_disk(&dir);
    let db = Options::new().clock(Clock::Logical).open(&path).unwrap();
    for i in 0..100u32 {
        db.put(format!("k{i}"), vec![i as u8; 100]).unwrap();
    }
    db.close().unwrap();
    (dir, path)
}

fn code(path: &Path) -> (&'static str, ErrorClass) {
    let error = Db::open(path).unwrap_err();
    (error.code(), error.class())
}

#[test]
fn a_database_at_rest_is_one_file() {
    let (dir, path) = at_rest();
    let names: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(names, std::slice::from_ref(&path));
    let db = Options::new().clock(Clock::Logical).create(false).open(&path).unwrap();
    assert_eq!(db.get("k99").unwrap().unwrap().value, (&[99u8; 100][..]).into());
    assert_clean(&db);
}

fn log_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", path.display()))
}

/// Copies the log of one database beside another.
fn copy_log(from: &Path, to: &Path) {
    let (from, to) = (log_of(from), log_of(to));
    let _ = fs::remove_dir_all(&to);
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn what_was_not_closed_is_recovered() {
    let (dir, path) = at_rest();
    let copy = dir.path().join("copy.llmdb");
    let db = Options::new().clock(Clock::Logical).open(&path).unwrap();
    db.put("late", b"in the log alone").unwrap();
    // What a power failure would leave, had everything reached the disk.
    fs::copy(&path, &copy).unwrap();
    copy_log(&path, &copy);
    let recovered = Options::new().clock(Clock::Logical).open(&copy).unwrap();
    assert_eq!(recovered.digest().unwrap(), db.digest().unwrap());
    recovered.close().unwrap();
}

#[test]
fn a_file_is_not_opened_without_the_log_that_it_needs() {
    let (dir, path) = at_rest();
    let old = dir.path().join("old.llmdb");
    fs::copy(&path, &old).unwrap();
    let db = Options::new().clock(Clock::Logical).open(&path).unwrap();
    db.put("late", b"in the log alone").unwrap();
    let damaged = ("corrupt", ErrorClass::Corrupt);
    let copy = dir.path().join("copy.llmdb");
    fs::copy(&path, &copy).unwrap();
    assert_eq!(code(&copy), damaged, "the log is missing");
    let (_other_dir, other) = at_rest();
    let other_db = Options::new().clock(Clock::Logical).open(&other).unwrap();
    other_db.put("late", b"elsewhere").unwrap();
    copy_log(&other, &copy);
    assert_eq!(code(&copy), damaged, "the log is another database's");
    copy_log(&path, &old);
    assert_eq!(code(&old), damaged, "the file is a backup, its log has gone on");
    copy_log(&path, &copy);
    let recovered = Options::new().clock(Clock::Logical).open(&copy).unwrap();
    assert_eq!(recovered.digest().unwrap(), db.digest().unwrap());
}

#[test]
fn a_missing_file_is_created_unless_told_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let path = on_disk(&dir);
    let missing = Options::new().create(false).open(&path).unwrap_err();
    assert_eq!((missing.code(), missing.class()), ("not_found", ErrorClass::NotFound));
    assert!(!path.exists());
    Db::open(&path).unwrap().put("k", b"v").unwrap();
    assert!(path.exists());
    assert_eq!(code(&dir.path().join("no/such/dir.llmdb")).0, "not_found");
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = on_disk(&dir);
    let refused = ("not_a_database", ErrorClass::Corrupt);
    for bytes in [&b""[..], b"x", b"LLMDB", &[0; 200_000], "# Notes\n".repeat(9000).as_bytes()] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(code(&path), refused, "{} bytes", bytes.len());
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    assert_eq!(code(dir.path()), refused, "a directory");
    let left = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 1, "no lock and no log stay behind");
}

#[test]
fn a_newer_format_is_named() {
    let (_dir, path) = at_rest();
    let mut bytes = fs::read(&path).unwrap();
    for slot in [0, 65536, 131072] {
        bytes[slot + 16] = 3;
    }
    fs::write(&path, &bytes).unwrap();
    let error = Db::open(&path).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Version);
    let Error::UnsupportedVersion { found, supported, .. } = error else { panic!("{error}") };
    assert_eq!((found, supported), (3, 2));
}

#[test]
fn a_file_that_was_cut_is_refused_at_any_length() {
    let (_dir, path) = at_rest();
    let bytes = fs::read(&path).unwrap();
    let mut codes = Vec::new();
    for len in (0..bytes.len()).step_by(3001).chain([bytes.len() - 1]) {
        fs::write(&path, &bytes[..len]).unwrap();
        let (code, class) = code(&path);
        assert_eq!(class, ErrorClass::Corrupt, "{len} bytes: {code}");
        codes.push(code);
    }
    codes.dedup();
    assert_eq!(codes, ["not_a_database", "truncated"]);
    fs::write(&path, &bytes).unwrap();
    assert_clean(&Options::new().clock(Clock::Logical).open(&path).unwrap());
}

#[test]
fn a_second_handle_is_told_who_has_the_first() {
    let (_dir, path) = at_rest();
    let first = Db::open(&path).unwrap();
    let error = Db::open(&path).unwrap_err();
    assert!(error.is_retryable());
    let Error::Busy { path: named, pid } = error else { panic!("{error}") };
    assert_eq!((named, pid), (path.clone(), Some(std::process::id())));
    let second = first.clone();
    first.close().unwrap();
    assert_eq!(code(&path), ("busy", ErrorClass::Busy), "a clone has it open");
    second.put("k", b"the handle that is left works").unwrap();
    drop(second);
    Db::open(&path).unwrap();
}

const HELD: &str = "LLMDB_TEST_HELD";

/// Not a test of its own: the other process of the test below.
#[test]
#[ignore = "runs in a process of its own"]
fn holds_a_database_until_its_input_ends() {
    let Ok(path) = std::env::var(HELD) else { return };
    let _db = Db::open(path).unwrap();
    println!("\nopen");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn another_process_is_named_too() {
    let (_dir, path) = at_rest();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "opening::holds_a_database_until_its_input_ends"])
        .args(["--ignored", "--nocapture"])
        .env(HELD, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "open"));
    let error = Db::open(&path).unwrap_err();
    let Error::Busy { pid, .. } = error else { panic!("{error}") };
    assert_eq!(pid, Some(child.id()));
    // However it ends, the lock ends with it.
    child.kill().unwrap();
    child.wait().unwrap();
    assert_clean(&Db::open(&path).unwrap());
}

#[test]
fn settings_out_of_range_are_refused() {
    for page_size in [0, 512, 4097, 131072] {
        let error = options(&MemVfs::new()).page_size(page_size).open(PATH).unwrap_err();
        assert_eq!((error.code(), error.class()), ("bad_option", ErrorClass::Validation));
    }
}

/// A file system on which existing files may not be written.
#[derive(Debug)]
struct Forbidding(MemVfs, fn(PathBuf) -> VfsError);

impl Vfs for Forbidding {
    fn open(&self, path: &Path, how: OpenMode) -> VfsResult<Arc<dyn File>> {
        if how.is_writable() && self.0.kind(path)?.is_some() {
            return Err(self.1(path.to_path_buf()));
        }
        self.0.open(path, how)
    }
    fn kind(&self, path: &Path) -> VfsResult<Option<EntryKind>> {
        self.0.kind(path)
    }
    fn create_dir(&self, path: &Path) -> VfsResult<()> {
        self.0.create_dir(path)
    }
    fn read_dir(&self, path: &Path) -> VfsResult<Vec<OsString>> {
        self.0.read_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> VfsResult<()> {
        self.0.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> VfsResult<()> {
        self.0.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> VfsResult<()> {
        self.0.remove_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> VfsResult<()> {
        self.0.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> VfsResult<Box<dyn Lock>> {
        self.0.lock(path)
    }
}

#[test]
fn a_read_only_file_is_called_that() {
    let disk = MemVfs::new();
    open(&disk).close().unwrap();
    let refusals: [fn(PathBuf) -> VfsError; 2] = [
        |path| VfsError::PermissionDenied { path }, // its permissions
        |path| VfsError::ReadOnly { path },         // those of its file system
    ];
    for refusal in refusals {
        let disk = Arc::new(Forbidding(disk.clone(), refusal));
        let error = Options::new().vfs(disk).open(PATH).unwrap_err();
        assert_eq!((error.code(), error.class()), ("read_only", ErrorClass::ReadOnly));
    }
    open(&disk).close().unwrap();
}

#[test]
fn a_page_that_was_changed_is_noticed_or_not_in_use() {
    let disk = MemVfs::new();
    // Compressed, it would take few pages.
    let options = |disk: &MemVfs| options(disk).compression(TreeOptions::default());
    let db = options(&disk).open(PATH).unwrap();
    for i in 0..60u32 {
        db.put(format!("k{i:02}"), vec![i as u8; 200]).unwrap();
    }
    db.put("long", vec![7; 100_000]).unwrap();
    let digest = db.digest().unwrap();
    db.close().unwrap();
    let file = disk.open(Path::new(PATH), OpenMode::ReadWrite).unwrap();
    let (mut noticed, mut named) = (0, 0);
    for page in 0..file.len().unwrap() / 4096 {
        let at = page * 4096 + 4096 / 2 + page % 64;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[IoSlice::new(&[byte[0] ^ 4])], at).unwrap();
        match options(&disk).open(PATH).and_then(|db| Ok((db.verify()?, db.digest()))) {
            Ok((report, found)) => {
                let place = format!("page {page}:");
                named += usize::from(report.problems.iter().any(|p| p.starts_with(&place)));
                noticed += usize::from(!report.is_clean());
                match found {
                    Ok(found) => assert_eq!(found, digest, "page {page}"),
                    Err(error) => {
                        assert_eq!(error.code(), "corrupt", "page {page}: {error}");
                        assert!(!report.is_clean(), "page {page}");
                    }
                }
            }
            Err(error) => {
                assert_eq!(error.class(), ErrorClass::Corrupt, "page {page}: {error}");
                noticed += 1;
            }
        }
        file.write_all_at(&[IoSlice::new(&byte)], at).unwrap();
    }
    assert!(noticed > 20 && named > 4, "{noticed} pages in use, {named} of them named");
    drop(file);
    let db = options(&disk).open(PATH).unwrap();
    assert_eq!(db.digest().unwrap(), digest);
    assert_clean(&db);
}

#[test]
fn a_transaction_that_met_damage_cannot_commit() {
    let disk = MemVfs::new();
    let db = open(&disk);
    db.put("long", vec![7; 100_000]).unwrap();
    db.close().unwrap();
    let file = disk.open(Path::new(PATH), OpenMode::ReadWrite).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let at = bytes.windows(64).position(|window| window == [7; 64]).unwrap() as u64;
    file.write_all_at(&[IoSlice::new(&[8])], at + 32).unwrap();
    let db = open(&disk);
    let mut tx = db.begin().unwrap();
    tx.put("other", b"v").unwrap();
    let error = tx.get("long").unwrap_err();
    assert_eq!(error.code(), "corrupt");
    assert_eq!(tx.commit().unwrap_err().code(), "broken");
    assert!(db.get("other").unwrap().is_none());
    let scanning = db.begin().unwrap();
    let failed = scanning.scan(crate::support::P, "").unwrap().find(|row| row.is_err());
    assert_eq!(failed.unwrap().unwrap_err().code(), "corrupt");
    assert_eq!(scanning.commit().unwrap_err().code(), "broken");
    db.put("other", b"writes that read nothing damaged go on").unwrap();
}

#[test]
fn handles_are_send_and_sync() {
    fn check<T: Send + Sync>(_: &T) {}
    check(&fresh());
    fn send<T: Send>(_: T) {}
    let db = fresh();
    send(db.read());
    send(db.begin().unwrap());
}

//! Directories and names.

use llmdb_vfs::{EntryKind, Error};

use crate::{contents, create, names, on_both, write};

#[test]
fn names_are_listed_sorted() {
    on_both(|vfs, dir| {
        assert_eq!(names(vfs, dir), [""; 0]);
        for name in ["b", "c", "a"] {
            create(vfs, dir.join(name));
        }
        vfs.create_dir(&dir.join("aa")).unwrap();
        assert_eq!(names(vfs, dir), ["a", "aa", "b", "c"]);
        assert!(matches!(vfs.read_dir(&dir.join("no")), Err(Error::NotFound { .. })));
        assert!(matches!(vfs.read_dir(&dir.join("a")), Err(Error::NotADirectory { .. })));
    });
}

#[test]
fn kinds_are_told_apart() {
    on_both(|vfs, dir| {
        create(vfs, dir.join("f"));
        assert_eq!(vfs.kind(&dir.join("f")).unwrap(), Some(EntryKind::File));
        assert_eq!(vfs.kind(dir).unwrap(), Some(EntryKind::Directory));
        assert_eq!(vfs.kind(&dir.join("no")).unwrap(), None);
        assert_eq!(vfs.kind(&dir.join("no/no")).unwrap(), None);
    });
}

#[test]
fn directories_are_made_one_level_at_a_time_and_removed_empty() {
    on_both(|vfs, dir| {
        let at = dir.join("d");
        assert!(matches!(vfs.create_dir(&at.join("e")), Err(Error::NotFound { .. })));
        vfs.create_dir(&at).unwrap();
        assert!(matches!(vfs.create_dir(&at), Err(Error::AlreadyExists { .. })));
        create(vfs, at.join("f"));
        assert!(matches!(vfs.remove_dir(&at), Err(Error::DirectoryNotEmpty { .. })));
        assert!(matches!(vfs.remove_dir(&at.join("f")), Err(Error::NotADirectory { .. })));
        vfs.remove_file(&at.join("f")).unwrap();
        vfs.sync_dir(&at).unwrap();
        vfs.remove_dir(&at).unwrap();
        vfs.sync_dir(dir).unwrap();
        assert!(matches!(vfs.remove_dir(&at), Err(Error::NotFound { .. })));
        assert!(matches!(vfs.sync_dir(&at), Err(Error::NotFound { .. })));
    });
}

#[test]
fn rename_replaces_a_file() {
    on_both(|vfs, dir| {
        let (a, b) = (dir.join("a"), dir.join("b"));
        let file = create(vfs, &a);
        write(&file, 0, b"new");
        write(&create(vfs, &b), 0, b"old");
        vfs.rename(&a, &b).unwrap();
        assert_eq!(names(vfs, dir), ["b"]);
        let there = vfs.open(&b, llmdb_vfs::OpenMode::Read).unwrap();
        assert_eq!(contents(&there), b"new");
        write(&file, 0, b"NEW");
        assert_eq!(contents(&there), b"NEW", "an open file goes with its name");
        assert!(matches!(vfs.rename(&a, &b), Err(Error::NotFound { path }) if path == a));
        vfs.rename(&b, &b).unwrap();
        assert_eq!(names(vfs, dir), ["b"]);
    });
}

#[test]
fn rename_moves_a_directory_with_all_below_it() {
    on_both(|vfs, dir| {
        vfs.create_dir(&dir.join("d")).unwrap();
        vfs.create_dir(&dir.join("to")).unwrap();
        create(vfs, dir.join("d/f"));
        vfs.rename(&dir.join("d"), &dir.join("to/e")).unwrap();
        assert_eq!(names(vfs, dir), ["to"]);
        assert_eq!(names(vfs, dir.join("to/e")), ["f"]);
        assert!(vfs.rename(&dir.join("to"), &dir.join("to/e/x")).is_err(), "into itself");
        create(vfs, dir.join("f"));
        let onto = vfs.rename(&dir.join("f"), &dir.join("to"));
        assert!(matches!(onto, Err(Error::IsDirectory { .. })), "{onto:?}");
    });
}

#[test]
fn only_files_are_removed_as_files() {
    on_both(|vfs, dir| {
        vfs.create_dir(&dir.join("d")).unwrap();
        assert!(vfs.remove_file(&dir.join("d")).is_err());
        assert!(matches!(vfs.remove_file(&dir.join("no")), Err(Error::NotFound { .. })));
        assert_eq!(names(vfs, dir), ["d"]);
    });
}

#[cfg(unix)]
#[test]
fn a_pipe_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&at).unwrap();
    let vfs = llmdb_vfs::OsVfs::new();
    use llmdb_vfs::{OpenMode, Vfs};
    assert_eq!(vfs.kind(&at).unwrap(), Some(EntryKind::Other));
    assert!(vfs.open(&at, OpenMode::Read).is_err());
    let null = vfs.open("/dev/null".as_ref(), OpenMode::Read);
    assert!(matches!(null, Err(Error::NotAFile { .. })), "{null:?}");
}

//! What is being tried, for whoever looks after a process that does not come back.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A case that takes longer never ends.
const HANG_AFTER: Duration = Duration::from_secs(60);

/// What one thread is at.
#[derive(Debug)]
pub(super) struct Watch {
    at: Mutex<Option<(Instant, String)>>,
    note: Option<Mutex<File>>,
}

impl Watch {
    /// For thread number `thread`; it writes down what it is at in a file of its own in `dir`.
    pub(super) fn new(dir: Option<&Path>, thread: usize) -> Result<Self, String> {
        let file = dir.map(|dir| File::create(dir.join(thread.to_string()))).transpose();
        let note = file.map_err(|error| error.to_string())?.map(Mutex::new);
        Ok(Watch { at: Mutex::default(), note })
    }

    /// Goes on to another case.
    pub(super) fn begin(&self, case: String) {
        if let Some(note) = &self.note {
            let mut file = lock(note);
            let line = format!("{case:<200}\n");
            // Of a note that cannot be written nothing depends but what is said of a crash.
            let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(line.as_bytes()));
        }
        *lock(&self.at) = Some((Instant::now(), case));
    }

    /// Nothing more is tried.
    pub(super) fn end(&self) {
        *lock(&self.at) = None;
    }

    /// Ends the process if this takes too long.
    pub(super) fn give_up_on_hangs(&self) {
        let at = lock(&self.at);
        if let Some((since, case)) = &*at
            && since.elapsed() > HANG_AFTER
        {
            println!("FAILED {case}\n  it takes more than {HANG_AFTER:?}");
            std::process::exit(1);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the threads of a process that is gone were at, by their files in `dir`.
pub fn last_words(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let texts = paths.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    texts.filter_map(|text| text.lines().next().map(|line| line.trim_end().to_owned())).collect()
}

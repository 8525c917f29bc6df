//! Running `git`.

use super::log::{ARGUMENTS, Commit, Log};
use crate::error::{Error, Result};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::thread::{self, JoinHandle};

/// A repository, as the program `git` sees it.
#[derive(Debug)]
pub struct Git {
    repository: PathBuf,
}

/// A running `git log`; it is killed if it is not finished.
#[derive(Debug)]
pub struct RunningLog {
    child: Child,
    log: Option<Log<BufReader<ChildStdout>>>,
    stderr: Option<JoinHandle<String>>,
}

/// What is kept of complaints.
const STDERR_BYTES_MAX: u64 = 16 << 10;

impl Git {
    /// The repository at or around a directory.
    ///
    /// # Errors
    /// [`Error::GitMissing`]; [`Error::GitFailed`] where there is none.
    pub fn of(repository: &Path) -> Result<Self> {
        let git = Self { repository: repository.to_owned() };
        git.ask(&["rev-parse", "--git-dir"])?;
        Ok(git)
    }

    /// The hash of a commit by any of its names, if there is such a commit.
    ///
    /// # Errors
    /// [`Error::GitMissing`]
    pub fn commit(&self, name: &str) -> Result<Option<String>> {
        let name = format!("{name}^{{commit}}");
        let output = self.run(&["rev-parse", "--verify", "--quiet", "--end-of-options", &name])?;
        let hash = String::from_utf8_lossy(&output.stdout);
        // The marker is repeated by some versions.
        let hash = hash.lines().last().unwrap_or_default().trim();
        Ok((output.status.success() && !hash.is_empty()).then(|| hash.to_owned()))
    }

    /// How many commits a range has.
    ///
    /// # Errors
    /// [`Error::GitFailed`], [`Error::GitLog`]
    pub fn count(&self, range: &[String]) -> Result<u64> {
        let mut arguments = vec!["rev-list", "--count"];
        arguments.extend(range.iter().map(String::as_str));
        let count = self.ask(&arguments)?;
        count.trim().parse().map_err(|_| Error::GitLog { what: "the number of commits" })
    }

    /// The commits of a range, the oldest first.
    ///
    /// # Errors
    /// [`Error::GitMissing`]
    pub fn log(&self, range: &[String]) -> Result<RunningLog> {
        let mut command = self.command();
        command.args(ARGUMENTS).args(range).arg("--");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|cause| Error::GitMissing { cause })?;
        let stdout = child.stdout.take().expect("standard output is a pipe");
        let mut pipe = child.stderr.take().expect("standard error is a pipe");
        // Read aside: a full pipe would stop git, and with it the log.
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            // What cannot be read of a complaint is left out of it.
            drop(pipe.by_ref().take(STDERR_BYTES_MAX).read_to_end(&mut text));
            drop(std::io::copy(&mut pipe, &mut std::io::sink()));
            String::from_utf8_lossy(&text).trim().to_owned()
        });
        let log = Some(Log::new(BufReader::new(stdout)));
        Ok(RunningLog { child, log, stderr: Some(stderr) })
    }

    /// The output of a command that must succeed.
    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        check(output.status, stderr)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.command().args(arguments).output().map_err(|cause| Error::GitMissing { cause })
    }

    /// `git` in this repository and no other, whatever calls us: hooks name theirs in variables.
    fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.arg("--no-pager").arg("-C").arg(&self.repository).stdin(Stdio::null());
        for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
            command.env_remove(variable);
        }
        // Asking changes nothing, and fetches nothing.
        command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_NO_LAZY_FETCH", "1").env("LC_ALL", "C");
        command
    }
}

impl RunningLog {
    /// The next commit, or `None` behind the last, and git came to its end as it should.
    ///
    /// # Errors
    /// [`Error::GitFailed`], [`Error::GitLog`], [`Error::Read`]
    pub fn next_commit(&mut self) -> Result<Option<Commit>> {
        let Some(log) = &mut self.log else { return Ok(None) };
        match log.next_commit() {
            Ok(Some(commit)) => Ok(Some(commit)),
            Ok(None) => self.finish().map(|_| None),
            // What git says itself explains more than where its log breaks off.
            Err(error) => match self.finish() {
                Err(failed @ Error::GitFailed { .. }) if failed.has_stderr() => Err(failed),
                _ => Err(error),
            },
        }
    }

    /// Closes the pipe, and waits for git.
    fn finish(&mut self) -> Result<()> {
        self.log = None;
        let path = || PathBuf::from("git log");
        let status = self.child.wait().map_err(|cause| Error::Read { path: path(), cause })?;
        let stderr = self.stderr.take().map(|thread| thread.join().unwrap_or_default());
        check(status, stderr.unwrap_or_default())
    }
}

impl Drop for RunningLog {
    fn drop(&mut self) {
        // One that has ended is not there to be killed, nor a zombie then.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn check(status: ExitStatus, stderr: String) -> Result<()> {
    if status.success() { Ok(()) } else { Err(Error::GitFailed { status, stderr }) }
}

//! Running `llmdb`, and talking to `llmdb exec`.

use serde_json::{Value as Json, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio};
use tempfile::TempDir;

/// The command, with nothing of the caller's terminal.
pub fn llmdb() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llmdb"));
    command.env("NO_COLOR", "1").env("LLMDB_HISTORY", "off").stdin(Stdio::null());
    command
}

/// A directory for a test, and the path of a database in it.
pub fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let db = dir.path().join("test.llmdb");
    (dir, db)
}

/// Runs a command to its end.
pub fn run(arguments: &[&str]) -> Output {
    llmdb().args(arguments).output().unwrap()
}

/// The standard output of a command that must succeed.
pub fn out(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A running `llmdb exec --clock logical`.
pub struct Exec {
    pub child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Exec {
    pub fn start(db: &Path) -> Self {
        Self::start_with(db, &[])
    }

    /// As [`Exec::start`], with more arguments.
    pub fn start_with(db: &Path, args: &[&str]) -> Self {
        let mut command = llmdb();
        command.arg("exec").arg(db).args(["--clock", "logical"]).args(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdin, stdout }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).and_then(|()| stdin.flush()).unwrap();
    }

    /// The next answer.
    pub fn answer(&mut self) -> Json {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// The answer to one line.
    pub fn line(&mut self, line: &str) -> Json {
        self.send(format!("{line}\n").as_bytes());
        self.answer()
    }

    /// The answer to a request.
    pub fn ask(&mut self, request: Json) -> Json {
        self.line(&request.to_string())
    }

    /// The answer to a request that must succeed.
    pub fn ok(&mut self, request: Json) -> Json {
        let answer = self.ask(request.clone());
        assert_eq!(answer["ok"], true, "{request}: {answer}");
        answer
    }

    /// The code of the answer to a request that must fail.
    pub fn code(&mut self, request: Json) -> String {
        let answer = self.ask(request.clone());
        code(&request, &answer)
    }

    /// A write, which must get transaction `tx`.
    pub fn write(&mut self, tx: i64, request: Json) {
        assert_eq!(self.ok(request.clone()), json!({"ok": true, "tx": tx}), "{request}");
    }

    /// Ends the input, and waits.
    pub fn end(mut self) -> ExitStatus {
        drop(self.stdin.take());
        self.child.wait().unwrap()
    }

    /// Takes the streams apart.
    pub fn into_parts(mut self) -> (Child, ChildStdin, BufReader<ChildStdout>) {
        (self.child, self.stdin.take().unwrap(), self.stdout)
    }
}

pub fn code(request: &dyn std::fmt::Display, answer: &Json) -> String {
    assert_eq!(answer["ok"], false, "{request}: {answer}");
    assert!(answer["message"].is_string(), "{request}: {answer}");
    answer["code"].as_str().unwrap().to_owned()
}

/// The text of a path.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

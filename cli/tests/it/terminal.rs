//! `llmdb shell` on a terminal: a pseudo terminal that this test is at the other end of.
//!
//! What is waited for is text on the screen, or the end of the process; nothing rests on how long
//! either takes.

use crate::shell::{out, place, text};
use pty_process::Size;
use pty_process::blocking::{Command, Pty};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// How long anything may take, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal with a shell on it.
struct Terminal {
    /// The other end; `None` once it is closed.
    pty: Option<Pty>,
    child: Child,
    written: Vec<u8>,
    /// How many of the queries in what was written are answered.
    answered: usize,
    /// How much of the text on it was waited for.
    seen: usize,
    columns: u16,
}

impl Terminal {
    /// A shell on a database, with its history in `history` if that is given.
    fn shell(db: &Path, columns: u16, arguments: &[&str], history: Option<&Path>) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_llmdb")).arg("shell").arg(db);
        let command = command.args(arguments).args(["--clock", "logical"]);
        Self::run(command, columns, history)
    }

    fn run(command: Command, columns: u16, history: Option<&Path>) -> Self {
        let (pty, pts) = pty_process::blocking::open().unwrap();
        pty.resize(Size::new(24, columns)).unwrap();
        let history = history.map_or_else(|| "off".into(), |path| path.as_os_str().to_owned());
        let command = command.env("TERM", "xterm-256color").env("LLMDB_HISTORY", history);
        let command = command.env("LANG", "C.UTF-8").env_remove("LC_ALL").env_remove("NO_COLOR");
        let child = command.spawn(pts).unwrap();
        Self { pty: Some(pty), child, written: Vec::new(), answered: 0, seen: 0, columns }
    }

    /// Takes what the shell writes, and answers what it asks of the terminal; `false` at the end.
    fn take(&mut self) -> bool {
        let Some(pty) = &mut self.pty else { return false };
        let mut fds = [PollFd::new(&*pty, PollFlags::IN)];
        let wait = Timespec { tv_sec: 1, tv_nsec: 0 };
        if poll(&mut fds, Some(&wait)).unwrap() == 0 {
            return true;
        }
        let mut piece = [0; 4096];
        // Where nobody has the other end open any more, reading fails.
        let Ok(read @ 1..) = pty.read(&mut piece) else { return false };
        self.written.extend_from_slice(&piece[..read]);
        let query = b"\x1b[6n";
        let asked = self.written.windows(query.len()).filter(|bytes| bytes == query).count();
        for _ in self.answered..asked {
            pty.write_all(b"\x1b[1;1R").unwrap();
        }
        self.answered = asked;
        true
    }

    /// What is on the screen, and was, without what moves the cursor and colours it.
    fn text(&self) -> String {
        let all = String::from_utf8_lossy(&self.written).into_owned();
        let mut text = String::new();
        let mut chars = all.chars();
        while let Some(c) = chars.next() {
            match c {
                '\x1b' => match chars.next() {
                    Some('[') => drop(chars.find(|c| ('@'..='~').contains(c))),
                    Some(']') => drop(chars.find(|c| *c == '\x07')),
                    _ => {}
                },
                '\r' => {}
                c => text.push(c),
            }
        }
        text
    }

    /// Waits until `text` is on the screen, behind what was waited for before.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let began = Instant::now();
        loop {
            let all = self.text();
            if let Some(at) = all.get(self.seen..).and_then(|new| new.find(text)) {
                self.seen += at + text.len();
                return;
            }
            let goes_on = self.take();
            assert!(goes_on && began.elapsed() < PATIENCE, "no {text:?} in\n{}", self.text());
        }
    }

    /// Types keys.
    fn press(&mut self, keys: &str) {
        self.pty.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Types a command at the prompt; waits for its answer, and for the next prompt.
    #[track_caller]
    fn ask(&mut self, line: &str, answer: &str) {
        self.press(line);
        self.press("\r");
        self.wait_for(answer);
        self.wait_for("test> ");
    }

    /// Closes the window.
    fn close(&mut self) {
        self.pty = None;
    }

    /// How the process ended; it must end by itself.
    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            // A process that cannot write what it says does not end.
            if !self.take() {
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(began.elapsed() < PATIENCE, "the shell did not end:\n{}", self.text());
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended: nothing is to be done then.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Another process may have the database, and finds it whole.
#[track_caller]
fn assert_free(db: &Path) {
    assert!(out(&["verify", text(db)]).starts_with("clean"));
}

fn has_log(db: &Path) -> bool {
    db.with_file_name("test.llmdb-wal").exists()
}

#[test]
fn a_session_begins_answers_and_ends() {
    let (_dir, db) = place();
    let mut terminal = Terminal::shell(&db, 80, &[], None);
    terminal.wait_for("(new)");
    terminal.wait_for("Ctrl-D leaves");
    terminal.wait_for("test> ");
    terminal.ask("put user:1 {\"plan\": \"free\"}", "tx 1970-01-01");
    terminal.ask("get user:1", "\"plan\": \"free\"");
    terminal.ask("gte user:1", "error: there is no command `gte`");
    terminal.ask("get", "error: `get` needs a KEY");
    terminal.press("begin\r");
    terminal.wait_for("ok");
    terminal.wait_for("test*> ");
    terminal.press("put user:2 2");
    terminal.wait_for("put user:2 2");
    // What was typed is dropped, and the transaction stays open.
    terminal.press("\x03");
    terminal.wait_for("test*> ");
    terminal.press("rollback\r");
    terminal.wait_for("ok");
    terminal.wait_for("test> ");
    terminal.ask("scan", "1 row");
    terminal.press("\x04");
    let status = terminal.ended();
    assert_eq!(status.code(), Some(0), "{}", terminal.text());
    assert!(!has_log(&db));
    assert_free(&db);
}

#[test]
fn what_is_not_committed_is_named_when_it_is_left() {
    let (_dir, db) = place();
    let mut terminal = Terminal::shell(&db, 80, &[], None);
    terminal.wait_for("test> ");
    terminal.press("begin\r");
    terminal.wait_for("test*> ");
    terminal.press("put k 1\r");
    terminal.wait_for("ok");
    terminal.wait_for("test*> ");
    terminal.press("\x04");
    terminal.wait_for("what was not committed is rolled back");
    assert_eq!(terminal.ended().code(), Some(0));
    assert_eq!(crate::shell::run(&["get", text(&db), "k"]).status.code(), Some(1));
}

#[test]
fn keys_are_completed_and_lines_go_on_where_they_are_open() {
    let (_dir, db) = place();
    out(&["put", text(&db), "customer:4711", "\"found\"", "--clock", "logical"]);
    let mut terminal = Terminal::shell(&db, 80, &[], None);
    terminal.wait_for("test> ");
    terminal.press("get cust\t");
    terminal.wait_for("customer:4711");
    terminal.press("\r");
    terminal.wait_for("\"found\"");
    terminal.wait_for("test> ");
    terminal.press("put k {\"a\":\r");
    terminal.wait_for("... ");
    terminal.press("1}\r");
    terminal.wait_for("tx 1970");
    terminal.wait_for("test> ");
    terminal.ask("get k", "\"a\": 1");
}

#[test]
fn the_end_of_the_terminal_ends_the_shell() {
    // At an empty prompt, with half a line typed, and in a list of what may complete it.
    for typed in ["", "put k 'half", "g\t"] {
        let (_dir, db) = place();
        let mut terminal = Terminal::shell(&db, 80, &[], None);
        terminal.wait_for("test> ");
        terminal.ask("put k kept", "tx 1970");
        terminal.press("begin\r");
        terminal.wait_for("test*> ");
        terminal.press(typed);
        // The shell has read it where it shows it.
        terminal.wait_for(typed.trim_end());
        terminal.close();
        let status = terminal.ended();
        assert!(
            status.code() == Some(129) || status.signal() == Some(1),
            "{typed:?}: {status:?}\n{}",
            terminal.text()
        );
        assert!(out(&["get", text(&db), "k"]).contains("kept"), "{typed:?}");
        assert_free(&db);
    }
}

#[test]
fn the_end_of_a_terminal_that_sends_no_signal_ends_the_shell() {
    // A session of its own gets none: it finds out by reading.
    let setsid = PathBuf::from("/usr/bin/setsid");
    if !setsid.exists() {
        return;
    }
    let (_dir, db) = place();
    let command = Command::new(setsid).arg("--wait").arg(env!("CARGO_BIN_EXE_llmdb"));
    let mut terminal = Terminal::run(command.arg("shell").arg(&db), 80, None);
    terminal.wait_for("test> ");
    terminal.ask("put k kept", "tx ");
    terminal.close();
    // The one who waits for it may be ended first: the lock says when the shell is gone.
    terminal.ended();
    let began = Instant::now();
    while crate::shell::run(&["get", text(&db), "k"]).status.code() != Some(0) {
        if began.elapsed() > PATIENCE {
            // Nobody else would end it.
            let pid = std::fs::read_to_string(db.with_file_name("test.llmdb-lock")).unwrap();
            drop(std::process::Command::new("kill").args(["-s", "KILL", pid.trim()]).status());
            panic!("the database stays locked by process {pid}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_free(&db);
}

#[test]
fn an_erased_key_is_forgotten_by_the_session_too() {
    for (arguments, is_kept) in [(&[][..], true), (&["--no-history"][..], false)] {
        let (dir, db) = place();
        let history = dir.path().join("of lines");
        std::fs::write(&history, "get earlier\nput user:7 QxjEARLIERvwz\n").unwrap();
        let mut terminal = Terminal::shell(&db, 80, arguments, Some(&history));
        terminal.wait_for("test> ");
        terminal.ask("put other 1", "tx ");
        terminal.ask("put user:7 QxjMARKERvwz", "tx ");
        terminal.ask("erase user:7", "complete");
        // Up: the line before is the one that does not have the key.
        terminal.press("\x1b[A");
        terminal.wait_for("put other 1");
        terminal.press("\x03");
        terminal.wait_for("test> ");
        terminal.ask(".history", "put other 1");
        let since = terminal.text().rfind(".history").unwrap();
        assert!(!terminal.text()[since..].contains("user:7"), "{}", terminal.text());
        terminal.press("\x04");
        assert_eq!(terminal.ended().code(), Some(0), "{}", terminal.text());
        let lines = std::fs::read_to_string(&history).unwrap();
        let expected =
            if is_kept { "get earlier\nput other 1\n.history\n" } else { "get earlier\n" };
        assert_eq!(lines, expected, "{arguments:?}");
        use std::os::unix::fs::PermissionsExt;
        let mode = history.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode == 0o600, is_kept, "{mode:o}: it is private once a shell uses it");
    }
}

#[test]
fn a_narrow_terminal_is_not_written_beyond() {
    for columns in [40, 50, 80] {
        let (_dir, db) = place();
        let mut terminal = Terminal::shell(&db, columns, &["--no-history"], None);
        terminal.wait_for("test> ");
        let value = "{\"story\": \"a longer one than this terminal is wide, told in many words\"}";
        for (line, answer) in [
            (format!("put user:1 {value} note 'heard from somebody who knew it'"), "tx "),
            ("get user:1".to_owned(), "known"),
            ("scan".to_owned(), "1 row"),
            ("history user:1".to_owned(), "1 row"),
            ("changes".to_owned(), "1 row"),
            (".timeline user:1".to_owned(), "inf"),
            (".beliefs user:1".to_owned(), "1970"),
            (".help".to_owned(), "More:"),
            (".show".to_owned(), "width"),
            ("stats".to_owned(), "states"),
            ("erasures".to_owned(), "nothing"),
        ] {
            terminal.ask(&line, answer);
        }
        terminal.press("\x04");
        terminal.ended();
        // What the editor paints wraps by itself; answers and errors must not. A value is as long
        // as it is.
        let wide: Vec<String> = terminal
            .text()
            .lines()
            .filter(|line| !line.contains("test> ") && !line.contains("\"story\""))
            .filter(|line| line.chars().count() > usize::from(terminal.columns))
            .map(str::to_owned)
            .collect();
        assert!(wide.is_empty(), "{columns}: {wide:#?}");
    }
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let coloured = |name: &str, value: &str| {
        let (_dir, db) = place();
        let command = Command::new(env!("CARGO_BIN_EXE_llmdb")).arg("shell").arg(&db);
        // What is set last counts.
        let (pty, pts) = pty_process::blocking::open().unwrap();
        pty.resize(Size::new(24, 80)).unwrap();
        let command = command.env("LLMDB_HISTORY", "off").env_remove("NO_COLOR");
        let child = command.env("TERM", "xterm").env(name, value).spawn(pts).unwrap();
        let (written, answered, seen) = (Vec::new(), 0, 0);
        let mut terminal = Terminal { pty: Some(pty), child, written, answered, seen, columns: 80 };
        terminal.wait_for("test> ");
        terminal.ask("gte", "error: there is no command");
        terminal.ask("put k 'v'", "tx ");
        terminal.ask("scan", "1 row");
        terminal.press("\x04");
        terminal.ended();
        let all = String::from_utf8_lossy(&terminal.written).into_owned();
        // Whatever begins a colour: `ESC [ 3 1 m` and its like, but not the end of one.
        all.match_indices("\x1b[").any(|(at, _)| {
            let rest = &all[at + 2..];
            let end = rest.find(|c: char| ('@'..='~').contains(&c)).unwrap_or(0);
            rest[end..].starts_with('m') && !["", "0", "39", "49"].contains(&&rest[..end])
        })
    };
    assert!(coloured("COLORTERM", "truecolor"));
    assert!(coloured("NO_COLOR", ""), "empty is not set");
    assert!(!coloured("NO_COLOR", "1"));
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_is_read_like_a_pipe() {
    let (_dir, db) = place();
    let command = Command::new(env!("CARGO_BIN_EXE_llmdb")).arg("shell").arg(&db);
    let (pty, pts) = pty_process::blocking::open().unwrap();
    let child = command.env("TERM", "dumb").env("LLMDB_HISTORY", "off").spawn(pts).unwrap();
    let (written, answered, seen) = (Vec::new(), 0, 0);
    let mut terminal = Terminal { pty: Some(pty), child, written, answered, seen, columns: 80 };
    terminal.press("put k 1\n");
    terminal.wait_for("tx ");
    terminal.press("gte\n");
    terminal.wait_for("error: there is no command");
    terminal.press("\x04");
    assert_eq!(terminal.ended().code(), Some(10));
    assert!(!String::from_utf8_lossy(&terminal.written).contains('\x1b'));
}

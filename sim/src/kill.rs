//! A real process on real files, killed at random moments.
//!
//! ```text
//!   round   start `llmdb exec`, send it requests without waiting for answers, SIGKILL
//!   then    at times start it and kill it again, while it opens
//!   then    start it and ask: what is there is what the first k commits wrote, with all that were
//!           acknowledged among them; what k is decides what the next round goes on from
//! ```
//!
//! Every write carries a number, so that the database itself says which commits it has: its feed
//! of changes lists them in order, each transaction wholly.

use crate::random::Random;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

/// Requests of one round; more than there is time for.
const REQUESTS: usize = 600;
/// Keys of each kind: those that are written alone, and those that transactions write.
const KEYS: usize = 150;

/// What is run, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The `llmdb` command.
    pub program: PathBuf,
    /// Where the database is made; nothing may be there.
    pub database: PathBuf,
    /// What `exec` is told of durability: `sync`, unless the harness itself is tried.
    pub durability: &'static str,
    /// How often it is killed while it writes.
    pub rounds: u64,
    /// What is drawn at random; moments are the machine's.
    pub seed: u64,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Processes that were killed while they wrote.
    pub killed: u64,
    /// Processes that were killed while they opened.
    pub killed_opening: u64,
    /// Commits that were sent for.
    pub issued: u64,
    /// Of those, acknowledged.
    pub acknowledged: u64,
    /// Of those and others, found.
    pub found: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { killed, killed_opening, issued, acknowledged, found } = self;
        write!(
            f,
            "{killed} processes killed while they wrote, {killed_opening} while they opened; "
        )?;
        write!(f, "of {issued} commits {acknowledged} acknowledged, {found} found")
    }
}

/// What one commit writes: keys, and the numbers of their values; none where they are deleted.
type Commit = Vec<(String, Option<u64>)>;

/// What a request asks for.
enum Request {
    /// A commit: its answer acknowledges it.
    Commit(Commit),
    /// A part of one, or upkeep.
    Other,
}

/// One database, from kill to kill.
struct Life<'p> {
    plan: &'p Plan,
    random: Random,
    report: Report,
    /// The number of the last write.
    last: u64,
    /// The newest transaction that was found.
    tx: i64,
    state: BTreeMap<String, u64>,
}

/// Runs all rounds.
///
/// # Errors
/// What was wrong first, or could not be run.
pub fn kill(plan: &Plan) -> Result<Report, String> {
    let random = Random(plan.seed);
    let (report, state) = (Report::default(), BTreeMap::new());
    let mut life = Life { plan, random, report, last: 0, tx: 0, state };
    for round in 0..plan.rounds {
        let seed = plan.seed;
        life.round().map_err(|why| format!("round {round} of seed {seed}: {why}"))?;
    }
    Ok(life.report)
}

impl Life<'_> {
    fn round(&mut self) -> Result<(), String> {
        let (text, requests) = self.requests();
        let acknowledged = self.write_and_kill(text, &requests)?;
        let commits: Vec<Commit> = requests
            .into_iter()
            .filter_map(|request| match request {
                Request::Commit(commit) => Some(commit),
                Request::Other => None,
            })
            .collect();
        self.report.issued += commits.len() as u64;
        self.report.acknowledged += acknowledged as u64;
        while self.random.below(3) == 0 {
            let (child, _stdin, _stdout) = self.start()?;
            end(child, Duration::from_micros(self.random.below(25_000) as u64))?;
            self.report.killed_opening += 1;
        }
        self.compare(&commits, acknowledged)
    }

    fn start(&self) -> Result<(Child, ChildStdin, ChildStdout), String> {
        let Plan { program, database, durability, .. } = self.plan;
        let mut command = Command::new(program);
        command.arg("exec").arg(database);
        command.args(["--clock", "logical", "--durability", durability]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(|error| format!("{program:?}: {error}"))?;
        let stdin = child.stdin.take().ok_or("it has no input")?;
        let stdout = child.stdout.take().ok_or("it has no output")?;
        Ok((child, stdin, stdout))
    }

    /// Answers how many commits were acknowledged.
    fn write_and_kill(&mut self, text: String, requests: &[Request]) -> Result<usize, String> {
        let (child, mut stdin, stdout) = self.start()?;
        let writing = thread::spawn(move || {
            // It breaks off where the process ends.
            let _ = stdin.write_all(text.as_bytes());
            stdin
        });
        let reading = thread::spawn(move || {
            let mut answers = BufReader::new(stdout).split(b'\n');
            let mut all = Vec::new();
            while let Some(Ok(answer)) = answers.next() {
                all.push(answer);
            }
            all
        });
        // Often early: opening, and the first commits after it, are the shortest moments.
        let longest = [5, 30, 100, 400][self.random.below(4)];
        let ended = end(child, Duration::from_micros(self.random.below(longest * 1000) as u64));
        let joined = (writing.join(), reading.join());
        ended?;
        self.report.killed += 1;
        let answers = joined.1.map_err(|_| "the reader of answers panicked")?;
        let mut acknowledged = 0;
        for (i, answer) in answers.iter().enumerate() {
            // What was cut by the kill is no answer.
            let Ok(answer) = serde_json::from_slice::<Value>(answer) else { continue };
            if answer["ok"] != true {
                return Err(format!("request {i} was refused: {answer}"));
            }
            acknowledged += usize::from(matches!(requests[i], Request::Commit(_)));
        }
        Ok(acknowledged)
    }

    /// Requests as text, a line each, and what each asks for.
    fn requests(&mut self) -> (String, Vec<Request>) {
        let (mut text, mut requests) = (String::new(), Vec::new());
        let mut open: Option<Commit> = None;
        while requests.len() < REQUESTS {
            let (line, request) = match self.random.below(40) {
                0 => (json!({"op": "checkpoint"}), Request::Other),
                1 if self.random.below(4) == 0 => (json!({"op": "compact"}), Request::Other),
                2..10 if open.is_none() => {
                    open = Some(Vec::new());
                    (json!({"op": "begin", "txn": "t"}), Request::Other)
                }
                10..14 if open.is_some() => {
                    let commit = open.take().unwrap_or_default();
                    let line = json!({"op": "commit", "txn": "t"});
                    // One that wrote nothing is none.
                    let wrote = !commit.is_empty();
                    (line, if wrote { Request::Commit(commit) } else { Request::Other })
                }
                14..18 => {
                    let key = format!("alone {}", self.random.below(KEYS));
                    (json!({"op": "delete", "key": key}), Request::Commit(vec![(key, None)]))
                }
                n => match open.as_mut().filter(|_| n % 2 == 0) {
                    Some(commit) => {
                        // Each of one transaction another, so that each leaves a trace.
                        let key = format!("together {}", commit.len());
                        let (number, value) = self.value();
                        let line = json!({"op": "put", "txn": "t", "key": key, "value": value});
                        open.get_or_insert_default().push((key, Some(number)));
                        (line, Request::Other)
                    }
                    None => {
                        let key = format!("alone {}", self.random.below(KEYS));
                        let (number, value) = self.value();
                        let line = json!({"op": "put", "key": key, "value": value});
                        (line, Request::Commit(vec![(key, Some(number))]))
                    }
                },
            };
            text += &line.to_string();
            text.push('\n');
            requests.push(request);
        }
        (text, requests)
    }

    /// A value of its own, and its number.
    fn value(&mut self) -> (u64, Value) {
        self.last += 1;
        let len = match self.random.below(100) {
            0 => 200_000,
            1..4 => 40_000,
            4..20 => 3_000,
            _ => self.random.below(200),
        };
        (self.last, json!({"n": self.last, "pad": "x".repeat(len)}))
    }

    /// Opens the database and compares what is there.
    fn compare(&mut self, commits: &[Commit], acknowledged: usize) -> Result<(), String> {
        let (child, stdin, stdout) = self.start()?;
        let mut asking = Asking { stdin, answers: BufReader::new(stdout) };
        asking.ask(&json!({"op": "verify"}))?;
        let answer = asking.ask(&json!({"op": "changes", "tx_from": self.tx + 1}))?;
        let changes = answer["changes"].as_array().ok_or("no changes")?;
        let mut found: VecDeque<(i64, Commit)> = VecDeque::new();
        for change in changes {
            let tx = change["tx"].as_i64().ok_or("a change without a transaction")?;
            let key = change["key"].as_str().ok_or("a change without a key")?.to_owned();
            let write = (key, change["value"]["n"].as_u64());
            match found.back_mut() {
                Some((last, commit)) if *last == tx => commit.push(write),
                _ => found.push_back((tx, vec![write])),
            }
        }
        let wrong = found.iter().zip(commits).position(|((_, found), wanted)| found != wanted);
        if let Some(at) = wrong {
            return Err(format!("commit {at} is {:?} and not {:?}", found[at].1, commits[at]));
        }
        if found.len() > commits.len() || found.len() < acknowledged {
            let (found, issued) = (found.len(), commits.len());
            return Err(format!(
                "{found} commits found: {acknowledged} acknowledged, {issued} issued"
            ));
        }
        self.report.found += found.len() as u64;
        for (tx, commit) in found {
            self.tx = tx;
            for (key, number) in commit {
                match number {
                    Some(number) => drop(self.state.insert(key, number)),
                    None => drop(self.state.remove(&key)),
                }
            }
        }
        let answer = asking.ask(&json!({"op": "scan", "prefix": ""}))?;
        let rows = answer["rows"].as_array().ok_or("no rows")?;
        let rows: BTreeMap<&str, Option<u64>> = rows
            .iter()
            .filter_map(|row| Some((row["key"].as_str()?, row["value"]["n"].as_u64())))
            .collect();
        let wanted: BTreeMap<&str, Option<u64>> =
            self.state.iter().map(|(key, number)| (key.as_str(), Some(*number))).collect();
        if rows != wanted {
            return Err(format!("the keys have {rows:?} and not {wanted:?}"));
        }
        self.leave(child, asking)
    }

    /// Ends a process in order, or not.
    fn leave(&mut self, mut child: Child, asking: Asking) -> Result<(), String> {
        if self.random.below(2) == 0 {
            return end(child, Duration::ZERO);
        }
        drop(asking);
        let status = child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("it ended with {status}")) }
    }
}

/// Kills a process after a while, during which it must not end by itself.
fn end(mut child: Child, after: Duration) -> Result<(), String> {
    thread::sleep(after);
    let ended = child.try_wait().map_err(|error| error.to_string())?;
    if let Some(status) = ended {
        return Err(format!("it ended by itself: {status}"));
    }
    child.kill().and_then(|()| child.wait()).map(drop).map_err(|error| error.to_string())
}

/// A process that is asked one thing after another.
struct Asking {
    stdin: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Asking {
    fn ask(&mut self, request: &Value) -> Result<Value, String> {
        writeln!(self.stdin, "{request}").map_err(|error| format!("{request}: {error}"))?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(|error| format!("{request}: {error}"))?;
        let answer: Value =
            serde_json::from_str(&answer).map_err(|_| format!("{request}: {answer:?}"))?;
        if answer["ok"] == true { Ok(answer) } else { Err(format!("{request}: {answer}")) }
    }
}

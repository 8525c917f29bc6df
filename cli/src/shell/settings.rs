//! How the shell is set, and where its answers go.

use crate::error::{Error, Result};
use crate::exec::request::{Partition, Point};
use crate::exec::tx::Tx;
use crate::render::Mode;
use crate::show::{tx_time, valid_time};
use crate::table::{Screen, printable};
use crate::{draw, width};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

/// Rows that a terminal is shown at once, unless told otherwise.
const LIMIT_TERMINAL: usize = 1000;
/// Columns of drawings and of help where there is no terminal.
const WIDTH_FILE: usize = 80;
/// Columns that the prompt takes at most.
const PROMPT_MAX: usize = 36;

/// How the shell is set.
#[derive(Debug)]
pub struct Settings {
    /// How answers are written.
    pub mode: Mode,
    /// Where reads stand.
    pub at: Point,
    /// Whose keys are meant.
    pub partition: Partition,
    /// Rows of a scan or feed at most.
    pub limit: Option<usize>,
    /// Columns to write for; `None`: those there are.
    pub width: Option<u16>,
    /// Whether it is said how long commands took.
    pub timer: bool,
    /// Whether the first failure ends a script.
    pub bail: bool,
    /// Where answers go; `None`: standard output.
    pub output: Option<(PathBuf, File)>,
    is_terminal: bool,
}

impl Settings {
    /// As at the start.
    pub fn new(mode: Mode, bail: bool) -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self {
            mode,
            at: Point::default(),
            partition: Partition::default(),
            limit: is_terminal.then_some(LIMIT_TERMINAL),
            width: None,
            timer: false,
            bail,
            output: None,
            is_terminal,
        }
    }

    /// What tables are drawn on: a terminal as wide as it is, or as was set; else a file.
    pub fn screen(&self) -> Screen {
        match (&self.output, self.width) {
            (_, Some(width)) => Screen { width: Some(width) },
            (Some(_), None) => Screen { width: None },
            (None, None) => Screen::stdout(),
        }
    }

    /// What drawings are made with.
    pub fn pen(&self) -> draw::Pen {
        let width = self.screen().width.map_or(WIDTH_FILE, usize::from);
        let signs = if is_utf8() { &draw::LINES } else { &draw::ASCII };
        draw::Pen { width, signs }
    }

    /// Columns of errors.
    pub fn error_width(&self) -> usize {
        self.width.or(Screen::stderr().width).map_or(WIDTH_FILE, usize::from)
    }

    /// Columns at which errors wrap; files take lines as they are.
    pub fn error_columns(&self) -> Option<usize> {
        self.width.or(Screen::stderr().width).map(usize::from)
    }

    /// Writes an answer.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn print(&mut self, text: &str) -> Result<()> {
        match &mut self.output {
            Some((path, file)) => {
                let path = path.clone();
                file.write_all(text.as_bytes()).map_err(|cause| Error::Write { path, cause })
            }
            None => crate::commands::print(text.as_bytes()),
        }
    }

    /// Says something to whoever sits at the terminal, and nothing to a file or a pipe.
    ///
    /// # Errors
    /// [`Error::Write`]
    pub fn say(&mut self, text: &str) -> Result<()> {
        if !self.is_terminal || self.output.is_some() || self.mode != Mode::Table {
            return Ok(());
        }
        let dim = crate::table::is_coloured();
        let line = text.trim_end();
        let line = if dim { format!("\x1b[2m{line}\x1b[0m\n") } else { format!("{line}\n") };
        self.print(&line)
    }

    /// What stands before the cursor: the file, and what differs from how a shell begins.
    pub fn prompt(&self, name: &str, is_open: bool) -> String {
        let mut prompt = name.to_owned();
        if self.partition != Partition::default() {
            prompt.push(':');
            prompt.push_str(&self.partition_text());
        }
        if is_open {
            prompt.push('*');
        }
        if self.at != Point::default() {
            prompt.push('@');
            prompt.push_str(&self.at_text());
        }
        width::cut(&printable(&prompt), PROMPT_MAX, '…')
    }

    /// The partition, as it is typed.
    pub fn partition_text(&self) -> String {
        match &self.partition {
            Partition::Id(id) => id.0.to_string(),
            Partition::Name(name) => name.clone(),
        }
    }

    /// Where reads stand, as it is typed for `diff`.
    pub fn at_text(&self) -> String {
        let short = |text: String| match text.strip_suffix("T00:00:00Z") {
            Some(date) => date.to_owned(),
            None => text,
        };
        let valid = self.at.valid.map(|at| short(valid_time(at)));
        let tx = self.at.tx.as_ref().map(|tx| match tx {
            Tx::At(at) => short(tx_time(*at)),
            Tx::Checkpoint(name) => format!("@{name}"),
        });
        match (valid, tx) {
            (None, None) => "now".to_owned(),
            (Some(valid), None) => valid,
            (valid, Some(tx)) => format!("{}/{tx}", valid.unwrap_or_default()),
        }
    }
}

/// Whether the terminal takes more than ASCII, as far as its locale says. Nothing said is taken
/// for a yes.
pub fn is_utf8() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty());
    match set {
        None => true,
        Some(locale) => {
            let locale = locale.to_string_lossy().to_lowercase().replace('-', "");
            locale.contains("utf8") || !["c", "posix"].contains(&locale.as_str())
        }
    }
}

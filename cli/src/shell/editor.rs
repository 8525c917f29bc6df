//! Lines from a terminal: history, completion, hints, colours, several lines.

use super::commands;
use super::complete::{Complete, Typed};
use super::past::{self, Past};
use super::token::{Kind, tokens};
use super::{Flow, Shell};
use crate::args;
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::table::{Screen, is_coloured_error, printable};
use crate::width;
use llmdb::Db;
use reedline::{
    Color, ColumnarMenu, DefaultHinter, Emacs, Highlighter, Hinter, History, KeyCode, KeyModifiers,
    MenuBuilder, Prompt, PromptEditMode, PromptHistorySearch, Reedline, ReedlineEvent,
    ReedlineMenu, Signal, StyledText, ValidationResult, Validator, default_emacs_keybindings,
};
use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};

const MENU: &str = "completion";
/// Columns of a hint at most: it must not wrap.
const HINT_MAX: usize = 44;

/// Whether the terminal can move its cursor.
pub fn is_possible() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term != "dumb") || cfg!(windows)
}

/// Runs the shell on a terminal; `wake` is set by each signal.
///
/// # Errors
/// Those of the terminal; [`Error::Interrupted`] if a signal ended it.
pub fn run(
    db: &Db,
    args: &args::Shell,
    is_new: bool,
    stop: &Stop,
    wake: Arc<AtomicBool>,
) -> Result<ExitCode> {
    let mut shell = Shell::new(db, args, stop);
    let Past { history, is_kept, problem } = past::open(!args.no_history);
    let name = stem(&args.open.db);
    greet(&args.open.db, is_new, problem);
    let complete = Complete { db: db.clone(), partition: Arc::default() };
    let partition = complete.partition.clone();
    let mut editor = editor(complete, Box::new(history), wake);
    loop {
        stop.forget_interrupt();
        stop.check()?;
        // What is typed ahead of an error must not be completed against another partition.
        *partition.lock().unwrap_or_else(PoisonError::into_inner) =
            shell.settings.partition.clone();
        let prompt = shell.settings.prompt(&name, shell.session.is_open());
        let read = editor.read_line(&LinePrompt(prompt));
        let line = match read {
            Ok(Signal::Success(line)) => line,
            Ok(Signal::CtrlD) => break,
            Ok(_) => continue,
            Err(error) => {
                let cause = io::Error::other(error.to_string());
                return Err(Error::Read { path: PathBuf::from("terminal"), cause });
            }
        };
        if line.trim().is_empty() {
            continue;
        }
        shell.lines.push(line.clone());
        match shell.line(&line) {
            Ok(Flow::Next) => {}
            Ok(Flow::Quit) => break,
            Err(failure) => {
                let text = shell.describe(&line, &failure);
                eprint!("{}", coloured_error(&text));
            }
        }
        forget_erased(&mut shell, &mut editor, is_kept);
    }
    // Whatever `.quit` was a part of.
    forget_erased(&mut shell, &mut editor, is_kept);
    if shell.session.is_open() {
        eprintln!("what was not committed is rolled back");
    }
    // A history that cannot be written is no reason to fail: the work is in the database.
    drop(editor.sync_history());
    Ok(ExitCode::SUCCESS)
}

/// Takes the lines with keys that were erased out of the history, in memory and in its file.
fn forget_erased(shell: &mut Shell<'_>, editor: &mut Reedline, is_kept: bool) {
    if shell.erased.is_empty() {
        return;
    }
    if !is_kept {
        // A history in memory does not fail.
        drop(past::forget_in_memory(editor.history_mut(), &shell.erased));
    }
    // The lines of this session go to the file first; then it is filtered, and read again. Where that
    // fails, filtering it says so.
    drop(editor.sync_history());
    shell.forget_erased();
    drop(editor.sync_history());
}

/// The database, as the prompt calls it.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn greet(path: &Path, is_new: bool, problem: Option<String>) {
    let new = if is_new { " (new)" } else { "" };
    let version = env!("CARGO_PKG_VERSION");
    let columns = Screen::stderr().width.map_or(usize::MAX, usize::from);
    let name = format!("LLMDB {version}: {}{new}", printable(&path.display().to_string()));
    let hint = "`.help` lists commands, Tab completes, Ctrl-D leaves";
    let problem = problem.map(|problem| printable(&problem));
    for text in [Some(name.as_str()), problem.as_deref(), Some(hint)].into_iter().flatten() {
        for line in width::wrap(text, columns) {
            eprintln!("{line}");
        }
    }
}

fn coloured_error(text: &str) -> String {
    match text.strip_prefix("error: ") {
        Some(rest) if is_coloured_error() => format!("\x1b[1;31merror:\x1b[0m {rest}"),
        _ => text.to_owned(),
    }
}

fn editor(complete: Complete, history: Box<dyn History>, wake: Arc<AtomicBool>) -> Reedline {
    let menu = ColumnarMenu::default().with_name(MENU).with_marker("");
    let mut keys = default_emacs_keybindings();
    let tab = vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext];
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, ReedlineEvent::UntilFound(tab));
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
    Reedline::create()
        .with_history(history)
        .with_history_exclusion_prefix(Some(" ".to_owned()))
        .with_completer(Box::new(complete))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_edit_mode(Box::new(Emacs::new(keys)))
        .with_highlighter(Box::new(Colours))
        .with_hinter(Box::new(Hints::default()))
        .with_validator(Box::new(Whole))
        .with_ansi_colors(is_coloured_error())
        .use_bracketed_paste(true)
        .with_break_signal(wake)
}

struct LinePrompt(String);

impl Prompt for LinePrompt {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.0)
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("> ")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed("... ")
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!(" (earlier: {}) ", search.term))
    }
}

/// A line is run when nothing in it is open.
struct Whole;

impl Validator for Whole {
    fn validate(&self, line: &str) -> ValidationResult {
        let begin = line.trim_start();
        if begin.starts_with('#') || begin.starts_with("--") {
            return ValidationResult::Complete;
        }
        match tokens(line) {
            Err(error) if error.is_unfinished() => ValidationResult::Incomplete,
            _ => ValidationResult::Complete,
        }
    }
}

struct Colours;

impl Highlighter for Colours {
    fn highlight(&self, line: &str, _: usize) -> StyledText {
        let words =
            tokens(line).or_else(|error| tokens(&line[..error.span().start.min(line.len())]));
        let words = words.unwrap_or_default();
        let command = words.first().and_then(|word| commands::find(&word.text));
        let mut styled = StyledText::new();
        let mut at = 0;
        for (index, word) in words.iter().enumerate() {
            let is_clause = || command.is_some_and(|command| command.clause(&word.text).is_some());
            let style = match word.kind {
                Kind::Quoted => Color::Green.normal(),
                Kind::Json => Color::Yellow.normal(),
                Kind::Bare if index == 0 && command.is_some() => Color::Cyan.bold(),
                // It may still become one.
                Kind::Bare if index == 0 && word.span.end < line.len() => Color::Red.normal(),
                Kind::Bare if index > 1 && is_clause() => Color::Purple.normal(),
                Kind::Bare => Color::Default.normal(),
            };
            styled.push((Color::Default.normal(), line[at..word.span.start].to_owned()));
            styled.push((style, line[word.span.clone()].to_owned()));
            at = word.span.end;
        }
        styled.push((Color::Default.normal(), line[at..].to_owned()));
        styled
    }
}

/// What was typed before, else what the command takes next.
#[derive(Default)]
struct Hints {
    earlier: DefaultHinter,
}

impl Hinter for Hints {
    fn handle(
        &mut self,
        line: &str,
        pos: usize,
        history: &dyn History,
        use_ansi_coloring: bool,
        cwd: &str,
    ) -> String {
        let earlier = self.earlier.handle(line, pos, history, use_ansi_coloring, cwd);
        if !earlier.is_empty() || pos != line.len() {
            return earlier;
        }
        let usage = usage_hint(line);
        if use_ansi_coloring && !usage.is_empty() {
            Color::DarkGray.paint(usage).to_string()
        } else {
            String::new()
        }
    }

    fn complete_hint(&self) -> String {
        self.earlier.complete_hint()
    }

    fn next_hint_token(&self) -> String {
        self.earlier.next_hint_token()
    }
}

/// What may follow a line that ends with a space.
fn usage_hint(line: &str) -> String {
    let Some(Typed { before, last, .. }) = Typed::new(line) else { return String::new() };
    let Some(command) = before.first().and_then(|name| commands::find(&name.text)) else {
        return String::new();
    };
    if !last.is_empty() || !line.ends_with(' ') {
        return String::new();
    }
    let given = before.len() - 1;
    let places = command.places.iter().skip(given).map(|place| place.name.to_owned());
    let clauses = command.clauses.iter().filter(|_| given <= command.places.len());
    let clauses = clauses.map(|clause| format!("[{} {}]", clause.name, clause.value));
    let usage: Vec<String> = places.chain(clauses).collect();
    width::cut(&usage.join(" "), HINT_MAX, '…')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_leave_the_text_as_it_is() {
        for line in ["", "put k 'v' from 5", "  gte x ", "put k {\"a\":", "名 'x", "a 'b'c", "\\"]
        {
            let styled = Colours.highlight(line, 0);
            let text: String = styled.buffer.iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(text, line);
        }
    }

    #[test]
    fn a_hint_says_what_is_missing() {
        assert_eq!(usage_hint("end "), "KEY [from V] [note NOTE] [in PARTITION]");
        assert_eq!(usage_hint("get k "), "[at V] [tx T] [in PARTITION]");
        assert_eq!(usage_hint("get k"), "");
        assert_eq!(usage_hint("what "), "");
        assert!(width::columns(&usage_hint("put ")) <= HINT_MAX);
    }

    #[test]
    fn an_open_line_waits() {
        let open = |line| matches!(Whole.validate(line), ValidationResult::Incomplete);
        assert!(open("put k {") && open("put k 'a") && open("put k \\"));
        assert!(!open("put k v") && !open("# don't") && !open("put k {]"));
    }
}

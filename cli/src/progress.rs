//! How far a long command is: a bar on standard error, if that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(200);

/// How many of `unit` are done, and of how many once that is known.
pub fn bar(unit: &str) -> ProgressBar {
    let template = format!("{{bar:32}} {{human_pos}}/{{human_len}} {unit}, {{per_sec}}, {{eta}}");
    shown(ProgressBar::no_length(), &template)
}

/// How many bytes are done, and of how many if that is known.
pub fn bytes(of: Option<u64>) -> ProgressBar {
    let known = "{bar:32} {bytes}/{total_bytes}, {bytes_per_sec}, {eta}";
    match of {
        Some(len) => shown(ProgressBar::new(len), known),
        None => shown(ProgressBar::no_length(), "{spinner} {bytes}, {bytes_per_sec}"),
    }
}

/// How many of `unit` are done, of nobody knows how many.
pub fn count(unit: &str) -> ProgressBar {
    shown(ProgressBar::no_length(), &format!("{{spinner}} {{human_pos}} {unit}, {{per_sec}}"))
}

/// That something takes its time.
pub fn waiting(what: &str) -> ProgressBar {
    shown(ProgressBar::new_spinner(), &format!("{{spinner}} {what}, {{elapsed}}"))
}

fn shown(bar: ProgressBar, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.expect("the template is constant but for words"));
    bar.enable_steady_tick(TICK);
    bar
}

//! `llmdb man`: pages of the manual, from the same definition as the command line.

use crate::args::{self, Cli};
use crate::commands::print;
use crate::error::{Error, Result};
use clap::CommandFactory;
use clap_mangen::Man;
#[cfg(test)]
use std::path::Path;
use std::process::ExitCode;

/// Runs `llmdb man`.
///
/// # Errors
/// [`Error::Write`]; [`Error::NoCommand`] for a command that there is not.
pub fn run(args: &args::Man) -> Result<ExitCode> {
    if let Some(dir) = &args.dir {
        for (name, page) in pages() {
            let path = dir.join(name);
            std::fs::write(&path, page).map_err(|cause| Error::Write { path, cause })?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = [&["llmdb".to_owned()], args.command.as_slice()].concat().join("-") + ".1";
    let page = pages().into_iter().find(|(name, _)| *name == wanted);
    let Some((_, page)) = page else {
        return Err(Error::NoCommand { name: args.command.join(" ") });
    };
    print(page.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// All pages, each with the name of its file.
pub fn pages() -> Vec<(String, String)> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    // Commands are called by the names of their pages: llmdb-import-git(1).
    add(&root, "llmdb", &mut pages);
    pages
}

fn add(command: &clap::Command, name: &str, pages: &mut Vec<(String, String)>) {
    let mut text = Vec::new();
    let page = Man::new(command.clone()).source(concat!("llmdb ", env!("CARGO_PKG_VERSION")));
    page.render(&mut text).expect("memory takes all that is written");
    let text = String::from_utf8(text).expect("the help is text");
    pages.push((format!("{name}.1"), text));
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        add(below, &format!("{name}-{}", below.get_name()), pages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_project_is_that_of_the_command_line() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/llmdb.1");
        let (name, page) = pages().swap_remove(0);
        assert_eq!(name, "llmdb.1");
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == page, "docs/llmdb.1 is stale: llmdb man > docs/llmdb.1");
    }

    #[test]
    fn every_command_has_a_page_of_its_own() {
        let pages = pages();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in ["llmdb.1", "llmdb-get.1", "llmdb-import-git.1", "llmdb-retention-set.1"] {
            assert!(names.contains(&name), "{names:?}");
        }
        let of = |wanted: &str| pages.iter().find(|(name, _)| name == wanted).unwrap();
        assert!(of("llmdb-put.1").1.contains("valid\\-from"), "{}", of("llmdb-put.1").1);
        for (name, page) in &pages {
            assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}");
            // The names that it refers to have pages.
            for word in page.split_whitespace().filter(|word| word.ends_with("(1)")) {
                let word = word.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "");
                let page = word.trim_end_matches("(1)").to_owned() + ".1";
                assert!(names.contains(&page.as_str()), "{name} refers to {word}");
            }
        }
    }
}

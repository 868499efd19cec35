//! The prompt: line editing, history that keeps no secrets, and the words that are not commands.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Result;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use super::complete::Guide;
use super::connection::Connection;
use super::{Options, execute, help, is_word, paint, quote, style};

/// Reads and runs commands until the user leaves.
pub(super) fn run(options: &Options) -> Result<bool> {
    let mut connection = Connection::open(options)?;
    let mut editor = editor(paint::may_colour())?;
    let history = history_path();
    if let Some(path) = &history {
        // There is none before the first use; and without it one can still work.
        editor.load_history(path).unwrap_or_default();
    }
    loop {
        let prompt = prompt_text(&connection);
        let columns = editor.dimensions().map_or(80, |(columns, _)| usize::from(columns));
        if let Some(guide) = editor.helper_mut() {
            guide.columns = columns.saturating_sub(prompt.len() + 1);
        }
        let line = match editor.readline(&prompt) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(true),
            Err(error) => return Err(error.into()),
        };
        if line.trim().is_empty() {
            continue;
        }
        if !is_secret(&line) {
            editor.add_history_entry(line.trim())?;
            if let Some(path) = &history {
                // A history that can't be written is no reason to stop.
                editor.append_history(path).unwrap_or_default();
            }
        }
        if !answer(&mut connection, &line)? {
            return Ok(true);
        }
    }
}

fn editor(hints: bool) -> Result<Editor<Guide, FileHistory>> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(1000)?
        .history_ignore_dups(true)?
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Guide { columns: 80, hints }));
    Ok(editor)
}

/// Answers one line; `false` when it was the last.
fn answer(connection: &mut Connection, line: &str) -> Result<bool> {
    let mut out = io::stdout().lock();
    let Some(args) = quote::split(line.as_bytes()) else {
        writeln!(out, "Invalid argument(s)")?;
        return Ok(true);
    };
    if is_word(&args, b"exit") || is_word(&args, b"quit") {
        return Ok(false);
    }
    if is_word(&args, b"help") || is_word(&args, b"?") {
        let words: Vec<_> = args[1..].iter().map(|word| String::from_utf8_lossy(word)).collect();
        out.write_all(help::answer(&words).as_bytes())?;
        return Ok(true);
    }
    if let Err(error) = execute(connection, &args, style(), &mut out) {
        if error.is::<io::Error>() {
            return Err(error);
        }
        writeln!(out, "{}", paint::harmless(&format!("{error:#}")))?;
    }
    Ok(true)
}

fn prompt_text(connection: &Connection) -> String {
    if !connection.is_open() {
        return "not connected> ".to_owned();
    }
    let db = match connection.db() {
        0 => String::new(),
        db => format!("[{db}]"),
    };
    let transaction = if connection.in_transaction() { "(TX)" } else { "" };
    format!("{}{db}{transaction}> ", connection.addr())
}

/// `LARDER_HISTFILE`, where an empty one means none, else a file in the home directory.
fn history_path() -> Option<PathBuf> {
    match std::env::var_os("LARDER_HISTFILE") {
        Some(path) if path.is_empty() => None,
        Some(path) => Some(path.into()),
        None => std::env::home_dir().map(|home| home.join(".larder_history")),
    }
}

/// Whether the line carries a password, also when it is not yet right: such a line is not kept.
fn is_secret(line: &str) -> bool {
    let words: Vec<String> = line
        .to_lowercase()
        .split_whitespace()
        .map(|word| word.trim_matches(['"', '\'']).to_owned())
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["auth", ..] | ["acl", "setuser", ..] => true,
        ["hello" | "migrate", rest @ ..] => rest.iter().any(|w| matches!(*w, "auth" | "auth2")),
        ["config", "set", rest @ ..] => {
            rest.iter().any(|word| matches!(*word, "requirepass" | "masterauth" | "masteruser"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_secrets() {
        for line in [
            "auth pass",
            " AUTH user pass",
            "\"auth\" 'pass",
            "hello 3 auth default pass",
            "HELLO 3 SETNAME x AUTH default pass",
            "config set requirepass x",
            "CONFIG SET maxmemory 1gb RequirePass x",
            "acl setuser bob >pass",
        ] {
            assert!(is_secret(line), "{line}");
        }
        for line in ["get auth", "hello 3", "config get requirepass", "set auth 1", ""] {
            assert!(!is_secret(line), "{line}");
        }
    }
}

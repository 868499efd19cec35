//! What the prompt offers while one types: names to complete, and the syntax as a grey hint.

use std::borrow::Cow;

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use super::help::{OWN_WORDS, find, groups};
use super::quote;
use crate::command::COMMANDS;

/// The helper of the line editor.
pub(super) struct Guide {
    /// Columns that prompt, line and hint may take together. A longer hint is cut: it would wrap.
    pub(super) columns: usize,
    pub(super) hints: bool,
}

/// Text behind the cursor, to be read and not taken over.
pub(super) struct Syntax(String);

impl Hint for Syntax {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Helper for Guide {}

impl Validator for Guide {}

impl Completer for Guide {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(candidates(line.get(..pos).unwrap_or(line)))
    }
}

impl Hinter for Guide {
    type Hint = Syntax;

    fn hint(&self, line: &str, pos: usize, _: &Context<'_>) -> Option<Syntax> {
        if pos < line.len() || !self.hints {
            return None;
        }
        let room = self.columns.saturating_sub(line.chars().count());
        let text = fit(syntax_ahead(line)?, room);
        (!text.trim().is_empty()).then_some(Syntax(text))
    }
}

impl Highlighter for Guide {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        Cow::Owned(format!("\x1b[90m{hint}\x1b[0m"))
    }
}

/// Where the word to complete begins, and what it may become.
fn candidates(line: &str) -> (usize, Vec<String>) {
    let start = line.rfind(' ').map_or(0, |space| space + 1);
    let typed = &line[start..];
    let before: Vec<&str> = line[..start].split_whitespace().collect();
    let names = || COMMANDS.iter().map(|command| command.name.to_owned());
    let all: Vec<String> = match before.as_slice() {
        [] => names().chain(OWN_WORDS.iter().map(|(word, _)| (*word).to_owned())).collect(),
        [help] if help.eq_ignore_ascii_case("help") => {
            names().chain(groups().iter().map(|group| format!("@{group}"))).collect()
        }
        [help, command] if help.eq_ignore_ascii_case("help") => subcommands(command),
        [command] => subcommands(command),
        _ => Vec::new(),
    };
    // Upper case stays upper case, if that is how somebody likes it.
    let upper = typed.contains(|c: char| c.is_ascii_uppercase());
    let mut found: Vec<String> = all
        .into_iter()
        .filter(|name| name.starts_with(&typed.to_ascii_lowercase()))
        .map(|name| if upper { name.to_ascii_uppercase() } else { name })
        .collect();
    found.sort();
    found.dedup();
    (start, found)
}

fn subcommands(command: &str) -> Vec<String> {
    match find(&[command]) {
        Some((command, _)) => command.subcommands.iter().map(|sub| sub.name.to_owned()).collect(),
        None => Vec::new(),
    }
}

/// The part of the syntax that is still to be typed behind this line.
fn syntax_ahead(line: &str) -> Option<String> {
    let words = words(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let typing = !line.ends_with(' ');
    let (command, length) = find(&words)?;
    // The last letter of a name may be followed by others: `get` is also the start of `getex`.
    let mut ahead = parts(command.syntax);
    if !command.subcommands.is_empty() {
        ahead = vec!["subcommand"];
    }
    for word in &words[length..] {
        consume(&mut ahead, word);
    }
    let gap = if typing { " " } else { "" };
    Some(format!("{gap}{}", ahead.join(" ")))
}

/// The words of a line of which the last may be in a quote that is still open.
fn words(line: &str) -> Vec<String> {
    ["", "\"", "'"]
        .iter()
        .find_map(|end| quote::split(format!("{line}{end}").as_bytes()))
        .unwrap_or_default()
        .iter()
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

/// Takes what a typed argument stands for off the syntax: the option it names, or the next
/// required argument. Repetitions (`...`) stay.
fn consume(ahead: &mut Vec<&str>, word: &str) {
    let optional = |part: &&str| part.starts_with('[');
    match ahead.iter().position(|part| !optional(part)) {
        Some(0) => {
            ahead.remove(0);
        }
        required => {
            let named = ahead.iter().position(|part| {
                let mut names = part.split(|c: char| c == '[' || c == ']' || c.is_whitespace());
                optional(part)
                    && names.any(|name| is_keyword(name) && name.eq_ignore_ascii_case(word))
            });
            if let Some(at) = named {
                ahead.remove(at);
            } else if let Some(at) = required {
                // `[username] password`: the one that must be given comes first.
                ahead.remove(at);
            } else if ahead.len() == 1 && !ahead[0].contains("...") {
                ahead.clear();
            }
        }
    }
}

fn is_keyword(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
}

/// The arguments of a syntax text; what stands in brackets is one.
fn parts(syntax: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0_i32);
    for (at, letter) in syntax.char_indices().chain([(syntax.len(), ' ')]) {
        match letter {
            '[' | '<' => depth += 1,
            ']' | '>' => depth -= 1,
            ' ' if depth == 0 => {
                if start < at {
                    parts.push(&syntax[start..at]);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
    parts
}

/// Cut to so many columns, with a sign that it was.
fn fit(text: String, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text;
    }
    let mut short: String = text.chars().take(columns.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completes_names() {
        let (start, found) = candidates("ge");
        assert_eq!(start, 0);
        assert!(found.contains(&"get".to_owned()) && found.contains(&"getdel".to_owned()));
        assert!(!found.contains(&"set".to_owned()));
        assert!(candidates("GE").1.contains(&"GET".to_owned()));
        assert_eq!(candidates("stat").1, ["stats"]);
        assert_eq!(candidates("config rese").1, ["resetstat"]);
        assert_eq!(candidates("CONFIG RESE"), (7, vec!["RESETSTAT".to_owned()]));
        assert_eq!(candidates("help @str"), (5, vec!["@string".to_owned()]));
        assert_eq!(candidates("help config rese").1, ["resetstat"]);
        assert!(candidates("get k").1.is_empty());
    }

    #[test]
    fn hints_shrink_as_one_types() {
        assert_eq!(syntax_ahead("get").as_deref(), Some(" key"));
        assert_eq!(syntax_ahead("get ").as_deref(), Some("key"));
        assert_eq!(syntax_ahead("get k").as_deref(), Some(" "));
        assert_eq!(syntax_ahead("nosuch "), None);
        assert!(syntax_ahead("set k \"a b").unwrap().starts_with(" ["));
        assert!(syntax_ahead("set 'k k' ").unwrap().starts_with("value"));
        let set = syntax_ahead("set k v ").unwrap();
        assert!(set.starts_with('['), "{set}");
        let nx = syntax_ahead("set k v nx ").unwrap();
        assert!(!nx.contains("NX") && nx.contains("KEEPTTL"), "{nx}");
        assert_eq!(syntax_ahead("config").as_deref(), Some(" subcommand"));
        assert!(syntax_ahead("config get ").unwrap().starts_with("parameter"));
        assert_eq!(syntax_ahead("del a b ").as_deref(), Some("[key ...]"));
    }

    #[test]
    fn syntax_in_parts() {
        assert_eq!(parts("key value [NX | XX] [GET]"), ["key", "value", "[NX | XX]", "[GET]"]);
        assert_eq!(parts("<a | b> [EX n [x]]"), ["<a | b>", "[EX n [x]]"]);
        assert!(parts("").is_empty());
        assert_eq!(fit("abcdef".to_owned(), 4), "abc…");
        assert_eq!(fit("abc".to_owned(), 4), "abc");
    }
}

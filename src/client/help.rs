//! `help`: what the command table says, for people.

use std::fmt::Write;

use crate::command::{COMMANDS, Command};

/// Words of the prompt itself, with what they do.
pub(super) const OWN_WORDS: [(&str, &str); 4] = [
    ("exit", "leave (also quit, Ctrl-D)"),
    ("help", "help COMMAND, help @GROUP"),
    ("quit", "leave"),
    ("stats", "the server at a glance: hits, memory, latency, all nodes"),
];

/// The command that the words name, as `get` or `config set`, and how many of them its name takes.
pub(super) fn find(words: &[&str]) -> Option<(&'static Command, usize)> {
    let first = words.first()?;
    let command = COMMANDS.iter().find(|command| command.name.eq_ignore_ascii_case(first))?;
    let sub = words.get(1).and_then(|word| {
        command.subcommands.iter().find(|sub| sub.name.eq_ignore_ascii_case(word))
    });
    Some(sub.map_or((command, 1), |sub| (sub, 2)))
}

/// The names of all groups, each once, in the order of the table.
pub(super) fn groups() -> Vec<&'static str> {
    let mut groups = Vec::new();
    for command in COMMANDS {
        if !groups.contains(&command.group.name()) {
            groups.push(command.group.name());
        }
    }
    groups
}

/// The answer to `help` with these words behind it.
pub(super) fn answer(words: &[impl AsRef<str>]) -> String {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match words.as_slice() {
        [] => overview(),
        [word, ..] if word.starts_with('@') => group(&word[1..]),
        words => match find(words) {
            Some((_, 1)) if words.len() > 1 => unknown(&words.join(" ")),
            Some((command, length)) => describe(command, &words[..length].join(" ")),
            None => unknown(words[0]),
        },
    }
}

fn overview() -> String {
    let mut text = "Type a command, such as: set greeting \"hello world\"\n\n".to_owned();
    for (word, meaning) in OWN_WORDS.iter().filter(|(word, _)| *word != "quit") {
        line(&mut text, word, meaning, 8);
    }
    let groups: Vec<String> = groups().iter().map(|group| format!("@{group}")).collect();
    text + "\nTab completes names.\nGroups: " + &groups.join(" ") + "\n"
}

fn group(name: &str) -> String {
    let members: Vec<&Command> =
        COMMANDS.iter().filter(|command| command.group.name().eq_ignore_ascii_case(name)).collect();
    let width = members.iter().map(|command| command.name.len()).max().unwrap_or(0) + 2;
    let mut text = String::new();
    for command in &members {
        line(&mut text, &command.name.to_uppercase(), command.summary, width);
    }
    if members.is_empty() {
        text = format!("There is no group @{name}. Groups: @{}\n", groups().join(" @"));
    }
    text
}

fn describe(command: &Command, name: &str) -> String {
    let title = format!("{} {}", name.to_uppercase(), command.syntax);
    let mut text = format!("  {}\n", title.trim_end());
    line(&mut text, "summary:", command.summary, 9);
    line(&mut text, "since:", command.since, 9);
    line(&mut text, "group:", command.group.name(), 9);
    if !command.subcommands.is_empty() {
        text += "  subcommands:\n";
        let width = command.subcommands.iter().map(|sub| sub.name.len()).max().unwrap_or(0) + 4;
        for sub in command.subcommands {
            line(&mut text, &format!("  {}", sub.name.to_uppercase()), sub.summary, width);
        }
    }
    text
}

fn unknown(name: &str) -> String {
    format!("There is no command {name}. Groups: @{}\n", groups().join(" @"))
}

fn line(text: &mut String, left: &str, right: &str, width: usize) {
    // Writing to a String does not fail.
    writeln!(text, "  {left:width$}{right}").unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_commands_and_subcommands() {
        assert_eq!(find(&["GET"]).map(|(c, n)| (c.name, n)), Some(("get", 1)));
        assert_eq!(find(&["get", "k"]).map(|(c, n)| (c.name, n)), Some(("get", 1)));
        assert_eq!(find(&["config", "Set", "x"]).map(|(c, n)| (c.name, n)), Some(("set", 2)));
        assert!(find(&["nosuch"]).is_none());
        assert!(find(&[]).is_none());
    }

    #[test]
    fn help_for_a_command() {
        let text = answer(&["get"]);
        assert!(text.starts_with("  GET key\n"), "{text}");
        assert!(text.contains("summary:"), "{text}");
        assert!(text.contains("group:   string\n"), "{text}");
        let text = answer(&["config", "get"]);
        assert!(text.starts_with("  CONFIG GET parameter"), "{text}");
        assert!(answer(&["config"]).contains("RESETSTAT"));
        assert!(answer(&["config", "nosuch"]).contains("no command config nosuch"));
    }

    #[test]
    fn help_for_groups_and_nonsense() {
        assert!(answer(&["@string"]).contains("GET"));
        assert!(!answer(&["@string"]).contains("CONFIG"));
        assert!(answer(&["@nosuch"]).contains("no group @nosuch"));
        assert!(answer(&["nosuch"]).contains("no command nosuch"));
        assert!(answer(&[""; 0]).contains("stats"));
    }
}

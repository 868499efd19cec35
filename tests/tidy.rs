//! The house rules that a compiler does not check: short files, a word on top of each, a case for
//! each command, a README that lists what there is.

use larder::command::{COMMANDS, Command};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A file has fewer lines than this.
const LINES_MAX: usize = 500;
/// Tables and recorded data may be longer.
const LONG: [&str; 2] = ["src/command/table.rs", "tests/conformance/"];
const README_START: &str = "<!-- commands -->\n";
const README_END: &str = "<!-- /commands -->";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The program texts below a directory, with their paths from the root.
fn sources(directory: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut pending = vec![root().join(directory)];
    while let Some(directory) = pending.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                pending.push(path);
            } else if is_program(&path) || LONG.iter().any(|long| name.starts_with(long)) {
                // What is not text is not a program.
                if let Ok(text) = std::fs::read_to_string(&path) {
                    found.push((name, text));
                }
            }
        }
    }
    found.sort();
    found
}

fn is_program(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, None | Some("rs" | "py" | "sh" | "tcl" | "toml"))
}

fn all_sources() -> Vec<(String, String)> {
    ["src", "tests", "benchmarks", ".ci"].into_iter().flat_map(sources).collect()
}

/// Fails with all complaints at once.
fn report(complaints: &[String]) {
    assert!(complaints.is_empty(), "{} complaints:\n{}", complaints.len(), complaints.join("\n"));
}

#[test]
fn files_are_short() {
    let complaints: Vec<String> = all_sources()
        .into_iter()
        .filter(|(name, _)| !LONG.iter().any(|long| name.starts_with(long)))
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, lines)| *lines >= LINES_MAX)
        .map(|(name, lines)| format!("{name} has {lines} lines, {LINES_MAX} are too many"))
        .collect();
    report(&complaints);
}

#[test]
fn files_say_what_they_are_for() {
    let complaints: Vec<String> = all_sources()
        .into_iter()
        .filter(|(name, text)| name.ends_with(".rs") && !text.starts_with("//!"))
        .map(|(name, _)| format!("{name} does not start with //!"))
        .collect();
    report(&complaints);
}

#[test]
fn nothing_is_left_over() {
    // Put together here, or this file would be found.
    let markers = [["TO", "DO"], ["FIX", "ME"], ["todo", "!("], ["unimplemented", "!("]];
    let mut complaints = Vec::new();
    for (name, text) in all_sources() {
        for (number, line) in text.lines().enumerate() {
            for marker in markers.map(|parts| parts.concat()) {
                if line.contains(&marker) {
                    complaints.push(format!("{name}:{}: {marker}", number + 1));
                }
            }
        }
    }
    report(&complaints);
}

#[test]
fn every_command_has_a_case() {
    let text: String =
        sources("tests/commands").into_iter().map(|(_, text)| text.to_uppercase()).collect();
    // As a word at the start of a string: `"GET"` or `"GET {p}a"`.
    let has_case =
        |name: &str| ['"', ' '].iter().any(|end| text.contains(&format!("\"{name}{end}")));
    let mut complaints = Vec::new();
    for command in COMMANDS {
        let name = command.name.to_uppercase();
        let subcommands =
            command.subcommands.iter().map(|sub| format!("{name} {}", sub.name.to_uppercase()));
        for name in std::iter::once(name.clone()).chain(subcommands) {
            if !has_case(&name) {
                complaints.push(format!("no case in tests/commands/ begins with \"{name}"));
            }
        }
    }
    report(&complaints);
}

/// `- **String**: APPEND DECR ...`, a line for each group.
fn command_list() -> String {
    let mut groups: Vec<(String, Vec<&Command>)> = Vec::new();
    for command in COMMANDS {
        let group = command.group.name().to_string();
        match groups.iter_mut().find(|(name, _)| *name == group) {
            Some((_, commands)) => commands.push(command),
            None => groups.push((group, vec![command])),
        }
    }
    let mut list = String::new();
    for (name, commands) in groups {
        let title = name[..1].to_uppercase() + &name[1..];
        write!(list, "- **{title}**:").unwrap();
        for command in commands {
            write!(list, " {}", command.name.to_uppercase()).unwrap();
        }
        list.push('\n');
    }
    list
}

/// With `LARDER_WRITE_README=1` the list in the README is written anew.
#[test]
fn readme_lists_the_commands() {
    let path = root().join("README.md");
    let text = std::fs::read_to_string(&path).expect("README.md is there");
    let start = text.find(README_START).expect("README.md has the start mark") + README_START.len();
    let length = text[start..].find(README_END).expect("README.md has the end mark");
    let list = command_list();
    if std::env::var_os("LARDER_WRITE_README").is_some() {
        let text = format!("{}{list}{}", &text[..start], &text[start + length..]);
        std::fs::write(&path, text).unwrap();
        return;
    }
    let written = &text[start..start + length];
    assert!(
        written == list,
        "the README's command list is not the table's; LARDER_WRITE_README=1 rewrites it to:\n{list}"
    );
}

#[test]
fn changes_are_noted() {
    let text = std::fs::read_to_string(root().join("CHANGELOG.md")).expect("CHANGELOG.md is there");
    assert!(text.contains(env!("CARGO_PKG_VERSION")), "CHANGELOG.md names this version");
}

//! Text with emphasis, in lines that fit the terminal.

use std::env;
use std::io::{self, IsTerminal};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns where nobody says how many there are.
const COLUMNS: usize = 80;

/// What a piece of text is, for those who see colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Strong,
    Faint,
    Graph,
    Bad,
}

impl Style {
    /// The sequence that begins it on a terminal.
    fn code(self) -> &'static str {
        match self {
            Style::Plain => "",
            Style::Strong => "\x1b[1m",
            Style::Faint => "\x1b[90m",
            Style::Graph => "\x1b[36m",
            Style::Bad => "\x1b[1;31m",
        }
    }
}

/// What the reader's terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) width: usize,
    pub(super) colour: bool,
}

impl Look {
    /// That of standard output.
    pub(super) fn of_stdout() -> Look {
        let on_terminal = io::stdout().is_terminal();
        let width = if on_terminal { terminal_size().0 } else { COLUMNS };
        Look { width, colour: on_terminal && may_colour() }
    }
}

/// Whether nobody has asked for text without colours.
pub(super) fn may_colour() -> bool {
    env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && !is_dumb()
}

/// Whether the terminal understands nothing but text.
pub(super) fn is_dumb() -> bool {
    env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Columns and rows; a terminal that does not tell has the usual ones.
pub(super) fn terminal_size() -> (usize, usize) {
    match crossterm::terminal::size() {
        Ok((columns @ 1.., rows @ 1..)) => (columns.into(), rows.into()),
        _ => (COLUMNS, 24),
    }
}

/// A text without characters that control the terminal.
pub(super) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '·' } else { c }).collect()
}

/// The same of lines of text.
pub(super) fn harmless_lines(text: &[u8]) -> String {
    let layout = |c| matches!(c, '\n' | '\t');
    // A return alone would have the line written over.
    let text = String::from_utf8_lossy(text).replace("\r\n", "\n");
    text.chars().map(|c| if c.is_control() && !layout(c) { '·' } else { c }).collect()
}

/// A line of text in pieces.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    pieces: Vec<(Style, String)>,
}

impl Line {
    pub(super) fn of(style: Style, text: &str) -> Line {
        Line::default().add(style, text)
    }

    /// With a text behind it. What a server sent must not control the terminal.
    pub(super) fn add(mut self, style: Style, text: &str) -> Line {
        self.pieces.push((style, harmless(text)));
        self
    }

    /// Filled up with spaces, so that the next piece begins in this column.
    pub(super) fn to(self, column: usize) -> Line {
        let missing = column.saturating_sub(self.width());
        self.add(Style::Plain, &" ".repeat(missing))
    }

    pub(super) fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| text.width()).sum()
    }

    /// Cut to so many columns, with a sign that it was.
    pub(super) fn fit(self, width: usize) -> Line {
        if self.width() <= width {
            return self;
        }
        let mut room = width.saturating_sub(1);
        let mut short = Line::default();
        for (style, text) in self.pieces {
            let part = head(&text, room);
            room -= part.width();
            let cut = part.len() < text.len();
            short = short.add(style, &part);
            if cut {
                break;
            }
        }
        short.add(Style::Plain, if width > 0 { "…" } else { "" })
    }

    pub(super) fn paint(&self, colour: bool) -> String {
        let mut out = String::new();
        for (style, text) in &self.pieces {
            match style.code() {
                code if colour && !code.is_empty() => out += &format!("{code}{text}\x1b[0m"),
                _ => out += text,
            }
        }
        out.truncate(out.trim_end().len());
        out
    }
}

/// The lines as text.
pub(super) fn text(lines: Vec<Line>, look: Look) -> String {
    lines.into_iter().map(|line| line.fit(look.width).paint(look.colour) + "\n").collect()
}

/// Sentences in lines of so many columns, broken between words.
pub(super) fn wrap(style: Style, text: &str, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut current = String::new();
    for word in text.split(' ') {
        if !current.is_empty() && current.width() + 1 + word.width() > width {
            lines.push(Line::of(style, &std::mem::take(&mut current)));
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current += word;
    }
    lines.push(Line::of(style, &current));
    lines
}

/// Shortened to so many columns by leaving out what is after the middle: both ends of a name tell something.
pub(super) fn shorten(text: &str, width: usize) -> String {
    if text.width() <= width || width == 0 {
        return text.to_owned();
    }
    let room = width - 1;
    let reversed: String = text.chars().rev().collect();
    let tail: String = head(&reversed, room / 3).chars().rev().collect();
    format!("{}…{tail}", head(text, room - room / 3))
}

/// The first columns of a text.
fn head(text: &str, width: usize) -> String {
    let mut used = 0;
    text.chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= width
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit() {
        let line = || Line::of(Style::Strong, "node").to(6).add(Style::Bad, "down\x1b[2J");
        assert_eq!(line().paint(false), "node  down·[2J");
        assert_eq!(line().paint(true), "\x1b[1mnode\x1b[0m  \x1b[1;31mdown·[2J\x1b[0m");
        assert_eq!(line().fit(14).paint(false), "node  down·[2J");
        assert_eq!(line().fit(8).paint(false), "node  d…");
        assert_eq!(line().fit(5).paint(false), "node…");
        assert_eq!(line().fit(0).paint(false), "");
        assert_eq!(Line::of(Style::Plain, "日本語").fit(4).paint(false), "日…", "wide letters");
    }

    #[test]
    fn nothing_controls_the_terminal() {
        assert_eq!(harmless("\x1b[2J\u{9b}2J\x7f\r\n 日本"), "·[2J·2J··· 日本");
        assert_eq!(harmless_lines(b"a\tb\r\n\x1b[2J\x9b2J\xc2\x9b\rc"), "a\tb\n·[2J\u{fffd}2J··c");
    }

    #[test]
    fn names_keep_both_ends() {
        assert_eq!(shorten("127.0.0.1:5000", 14), "127.0.0.1:5000");
        assert_eq!(shorten("larder-0.cache.example.com:5000", 16), "larder-0.c…:5000");
        assert_eq!(shorten("日本語日本語日本語", 8), "日本…語");
        assert_eq!(shorten("abc", 1), "…");
    }

    #[test]
    fn sentences_are_broken_between_words() {
        let lines = wrap(Style::Plain, "the quick brown fox", 10);
        let lines: Vec<String> = lines.iter().map(|line| line.paint(false)).collect();
        assert_eq!(lines, ["the quick", "brown fox"]);
        assert_eq!(wrap(Style::Plain, "unbreakable", 4).len(), 1);
    }
}

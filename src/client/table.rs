//! Tables that fit the terminal: a wrapped table is no table.

use unicode_width::UnicodeWidthStr;

use super::paint::{Line, Style, shorten};

/// Between columns.
const GAP: usize = 2;
/// What most numbers take; a table that is drawn again and again must not move with them.
const NUMBER: usize = 6;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// May be shortened, but not below this while there are columns to leave out.
    Name(usize),
    /// Stands to the right.
    Number,
}

/// Rows of cells under titles.
pub(super) struct Table {
    columns: Vec<(&'static str, Kind)>,
    rows: Vec<(Style, Vec<String>)>,
}

impl Table {
    /// With these columns, of which the first matter most.
    pub(super) fn new(columns: &[(&'static str, Kind)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(super) fn add<const N: usize>(&mut self, style: Style, cells: [String; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push((style, cells.to_vec()));
    }

    /// The table in so many columns of the terminal: without those that are empty, with long names shortened, and
    /// without the last ones if there is no room even then.
    pub(super) fn lines(&self, width: usize) -> Vec<Line> {
        let filled = |at: &usize| self.rows.iter().any(|(_, cells)| !cells[*at].is_empty());
        let columns: Vec<usize> = (0..self.columns.len()).filter(filled).collect();
        let widths = self.widths(&columns, width);
        let line = |style: Style, cell: &dyn Fn(usize) -> String| {
            let mut line = Line::default();
            for (place, (&at, &width)) in columns.iter().zip(&widths).enumerate() {
                let text = shorten(&cell(at), width);
                let left = width - text.width().min(width);
                let (before, after) = match self.columns[at].1 {
                    Kind::Name(_) => (0, left),
                    Kind::Number => (left, 0),
                };
                let gap = if place == 0 { 0 } else { GAP };
                line = line.add(Style::Plain, &" ".repeat(gap + before));
                line = line.add(style, &text).add(Style::Plain, &" ".repeat(after));
            }
            line
        };
        let titles = line(Style::Faint, &|at| self.columns[at].0.to_owned());
        let rows = self.rows.iter().map(|(style, cells)| line(*style, &|at| cells[at].clone()));
        std::iter::once(titles).chain(rows).collect()
    }

    /// The widths of as many of these columns as there is room for.
    fn widths(&self, columns: &[usize], width: usize) -> Vec<usize> {
        let natural = |at: usize| {
            let cells = self.rows.iter().map(|(_, cells)| cells[at].width());
            let least = if self.columns[at].1 == Kind::Number { NUMBER } else { 0 };
            cells.chain([self.columns[at].0.width(), least]).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = columns
            .iter()
            .map(|&at| match self.columns[at].1 {
                Kind::Name(least) => natural(at).min(least),
                Kind::Number => natural(at),
            })
            .collect();
        let total = |widths: &[usize]| widths.iter().map(|width| width + GAP).sum::<usize>() - GAP;
        while widths.len() > 1 && total(&widths) > width {
            widths.pop();
        }
        let mut spare = width.saturating_sub(if widths.is_empty() { 0 } else { total(&widths) });
        for (width, &at) in widths.iter_mut().zip(columns) {
            let more = (natural(at) - *width).min(spare);
            *width += more;
            spare -= more;
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&[
            ("key", Kind::Name(16)),
            ("uses", Kind::Number),
            ("nothing", Kind::Number),
            ("node", Kind::Name(16)),
        ]);
        let row = |key: &str, uses: &str, node: &str| [key, uses, "", node].map(str::to_owned);
        table.add(Style::Plain, row("a", "12,345", "127.0.0.1:5000"));
        table.add(Style::Bad, row("a key that is rather long", "9", "127.0.0.1:5001"));
        table
    }

    fn shown(table: &Table, width: usize) -> String {
        let lines = table.lines(width);
        lines.iter().map(|line| line.paint(false) + "\n").collect()
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let expected = "\
key                          uses  node
a                          12,345  127.0.0.1:5000
a key that is rather long       9  127.0.0.1:5001
";
        assert_eq!(shown(&sample(), 49), expected);
        assert_eq!(shown(&sample(), 200), expected);
        assert!(sample().lines(80)[2].paint(true).contains("\x1b[1;31m"));
    }

    #[test]
    fn narrow_terminals_get_less() {
        let expected = "\
key                   uses  node
a                   12,345  127.0.0.1:5000
a key that i… long       9  127.0.0.1:5001
";
        assert_eq!(shown(&sample(), 42), expected);
        let expected = "\
key                         uses
a                         12,345
a key that is ra…er long       9
";
        assert_eq!(shown(&sample(), 32), expected);
        assert!(shown(&sample(), 20).starts_with("key\n"), "{}", shown(&sample(), 20));
    }

    #[test]
    fn no_rows() {
        let table = Table::new(&[("key", Kind::Name(16))]);
        assert_eq!(shown(&table, 80), "\n");
    }
}

//! The table of `stats`.

use std::fmt::Write;

use comfy_table::{Attribute, Cell, CellAlignment, Color, LineStyle, Table, TableStyle};

use super::human::{bytes, latency, thousands};
use super::stats::{Row, Stats};

/// A heading, and what stands in the column for a row.
type Column = (&'static str, fn(&Row) -> String);

const COLUMNS: [Column; 12] = [
    ("address", |row| row.addr.clone()),
    ("state", |row| row.state.clone()),
    ("keys", |row| count(row.keys)),
    ("memory", memory),
    ("hits", |row| count(row.hits)),
    ("misses", |row| count(row.misses)),
    ("hit ratio", ratio),
    ("evicted", |row| count(row.evictions)),
    ("expired", |row| count(row.expirations)),
    ("ops/s", |row| count(row.ops_per_sec)),
    ("p50", |row| time(row.p50_us)),
    ("p99", |row| time(row.p99_us)),
];

/// Columns of the two narrow tables: what is stored, and what is asked for.
const STORED: [usize; 6] = [0, 1, 2, 3, 7, 8];
const ASKED: [usize; 7] = [0, 4, 5, 6, 9, 10, 11];

/// The statistics as text. A terminal too narrow for one table gets two, one below the other: a
/// wrapped table is no table.
pub(super) fn render(stats: &Stats, width: Option<usize>, colour: bool) -> String {
    let mut text = format!("{}\n\n", stats.title);
    let whole = part(stats, &COLUMNS, colour);
    let widest = part(stats, &COLUMNS, false).lines().map(|line| line.chars().count()).max();
    if width.is_none_or(|width| widest.unwrap_or(0) <= width) {
        text += &whole;
    } else {
        text += &part(stats, &STORED.map(|at| COLUMNS[at]), colour);
        text.push('\n');
        text += &part(stats, &ASKED.map(|at| COLUMNS[at]), colour);
    }
    if stats.is_coordinator {
        text += "\nThe p50 and p99 in TOTAL are those of the coordinator's own replies.\n";
    }
    text
}

/// A table of some of the columns.
fn part(stats: &Stats, columns: &[Column], colour: bool) -> String {
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')));
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(columns.iter().map(|(name, _)| Cell::new(name)));
    for row in &stats.nodes {
        let down = row.state != "up";
        table.add_row(columns.iter().map(|(_, show)| {
            let cell = Cell::new(show(row));
            if down { cell.fg(Color::Red) } else { cell }
        }));
    }
    table.add_row(
        columns
            .iter()
            .map(|(_, show)| Cell::new(show(&stats.total)).add_attribute(Attribute::Bold)),
    );
    for (index, (name, _)) in columns.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 1));
            if !matches!(*name, "address" | "state") {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let mut text = String::new();
    for line in table.lines() {
        // Writing to a String does not fail.
        writeln!(text, "{}", line.trim_end()).unwrap_or_default();
    }
    text
}

/// Columns of the terminal, if standard output is one.
pub(super) fn terminal_width() -> Option<usize> {
    Table::new().width().map(usize::from)
}

fn count(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), thousands)
}

fn time(micros: Option<f64>) -> String {
    micros.map_or_else(|| "-".to_owned(), latency)
}

fn memory(row: &Row) -> String {
    match (row.memory, row.maxmemory) {
        (None, _) => "-".to_owned(),
        (Some(used), None | Some(0)) => bytes(used),
        (Some(used), Some(limit)) => format!("{} / {}", bytes(used), bytes(limit)),
    }
}

fn ratio(row: &Row) -> String {
    match (row.hits, row.misses) {
        (Some(hits), Some(misses)) if hits + misses > 0 => {
            let ratio = hits as f64 / (hits + misses) as f64;
            format!("{:.1}%", ratio * 100.0)
        }
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(addr: &str) -> Row {
        Row {
            addr: addr.to_owned(),
            state: "up".to_owned(),
            keys: Some(1_234_567),
            memory: Some(12_900_000),
            maxmemory: Some(268_435_456),
            hits: Some(9_870_000),
            misses: Some(130_000),
            evictions: Some(0),
            expirations: Some(12),
            ops_per_sec: Some(45_000),
            p50_us: Some(1.23),
            p99_us: Some(1234.0),
        }
    }

    fn sample() -> Stats {
        let down = Row { addr: "127.0.0.1:6381".into(), state: "down".into(), ..Row::default() };
        let total = Row { addr: "TOTAL".into(), state: "1/2 up".into(), ..row("") };
        Stats {
            title: "coordinator 127.0.0.1:6379".into(),
            nodes: vec![row("127.0.0.1:6380"), down],
            total,
            is_coordinator: true,
        }
    }

    #[test]
    fn one_row_for_each_node_and_a_total() {
        let text = render(&sample(), None, false);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "coordinator 127.0.0.1:6379");
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            words(lines[4]).join(" "),
            "127.0.0.1:6380 up 1,234,567 12.3M / 256M 9,870,000 130,000 98.7% 0 12 45,000 1.2µs 1.2ms"
        );
        assert_eq!(words(lines[5]).join(" "), "127.0.0.1:6381 down - - - - - - - - - -");
        assert!(lines[6].starts_with("TOTAL "), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    }

    #[test]
    fn narrow_terminals_get_two_tables() {
        let text = render(&sample(), Some(80), true);
        let plain = render(&sample(), Some(80), false);
        assert!(text.contains('\x1b'), "a node that is down is red");
        assert!(plain.lines().all(|line| line.chars().count() <= 80), "{plain}");
        assert_eq!(plain.matches("127.0.0.1:6380").count(), 2, "{plain}");
        assert_eq!(plain.matches("p99").count(), 2, "one heading, one note: {plain}");
        assert_eq!(render(&sample(), Some(200), false), render(&sample(), None, false));
    }
}

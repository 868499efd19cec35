//! Graphs of characters, as Redis draws them.

/// Heights within a row, the lowest first; what is higher fills the row.
const STEPS: [char; 3] = ['_', 'o', '#'];
const FULL: char = '|';

/// Draws values in so many rows, each value's label below it from top to bottom; what is wider than `columns` goes on
/// below.
pub(super) fn render(points: &[(u64, String)], columns: usize, rows: usize) -> String {
    let values = || points.iter().map(|(value, _)| *value);
    let (low, high) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
    let steps = (STEPS.len() * rows) as u64;
    let height = |value: u64| ((value - low) * steps / (high - low).max(1)).min(steps - 1);
    let mut out = String::new();
    for (place, range) in points.chunks(columns).enumerate() {
        if place > 0 {
            out.push('\n');
        }
        for row in (0..rows).rev() {
            let base = row * STEPS.len();
            let cell = |value: u64| match (height(value) as usize).checked_sub(base) {
                Some(step) => STEPS.get(step).copied().unwrap_or(FULL),
                None => ' ',
            };
            out.extend(range.iter().map(|(value, _)| cell(*value)));
            out.push('\n');
        }
        out.extend(range.iter().map(|_| ' '));
        out.push('\n');
        let longest = range.iter().map(|(_, label)| label.len()).max().unwrap_or(0);
        for at in 0..longest {
            out.extend(range.iter().map(|(_, label)| label.chars().nth(at).unwrap_or(' ')));
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_high_as_they_are_large() {
        let points: Vec<(u64, String)> = (0..7).map(|value| (value, format!("{value}s"))).collect();
        let graph = render(&points, 4, 2);
        let expected =
            ["   _", "_o#|", "    ", "0123", "ssss", "", "o##", "|||", "   ", "456", "sss", ""];
        assert_eq!(graph, expected.join("\n"));
        assert_eq!(render(&[(5, "1m".into())], 80, 4), " \n \n \n_\n \n1\nm\n");
        assert_eq!(render(&[], 80, 4), "");
    }
}

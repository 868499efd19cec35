//! A figure at a glance: what it is, its value, a picture, and what belongs to it.

use super::super::paint::{Line, Style};

/// Between the parts of a gauge.
const GAP: usize = 2;
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The part of a bar's last column, in eighths.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// A line of the overview.
pub(super) struct Gauge {
    pub(super) label: String,
    pub(super) value: String,
    pub(super) picture: Picture,
    pub(super) note: String,
    pub(super) style: Style,
}

/// What is drawn beside a value.
pub(super) enum Picture {
    /// The note takes its place.
    None,
    /// A part of a whole, from 0 to 1.
    Bar(f64),
    /// The last samples, the newest at the right; of those that could not be had, none. The lowest block is `from`, the
    /// highest `to`.
    Samples { samples: Vec<Option<f64>>, from: f64, to: f64 },
}

impl Gauge {
    pub(super) fn new(label: &str, value: String, picture: Picture, note: String) -> Gauge {
        Gauge { label: label.to_owned(), value, picture, note, style: Style::Strong }
    }
}

/// The gauges, one below the other.
pub(super) fn lines(gauges: &[Gauge], width: usize) -> Vec<Line> {
    // Fixed, or everything would move with each sample.
    let (label, value) = (9, 9);
    let picture = picture_width(width);
    let line = |gauge: &Gauge| {
        let mut line = Line::of(Style::Plain, &gauge.label);
        let missing = value - gauge.value.chars().count().min(value);
        line = line.to(label + GAP + missing).add(gauge.style, &gauge.value);
        line = line.to(label + GAP + value + GAP);
        line = match &gauge.picture {
            Picture::None => line,
            Picture::Bar(part) => {
                let (full, rest) = bar(*part, picture);
                line.add(Style::Graph, &full).add(Style::Faint, &rest).add(Style::Plain, "  ")
            }
            Picture::Samples { samples, from, to } => line
                .add(Style::Graph, &sparkline(samples, *from, *to, picture))
                .add(Style::Plain, "  "),
        };
        let style = if gauge.style == Style::Bad { Style::Bad } else { Style::Plain };
        line.add(style, &gauge.note)
    };
    gauges.iter().map(line).collect()
}

/// Columns of a picture in a terminal of this width.
pub(super) fn picture_width(width: usize) -> usize {
    (width * 3 / 10).clamp(8, 80)
}

/// A bar: what is full, and the rest.
fn bar(part: f64, width: usize) -> (String, String) {
    let eighths = (part.clamp(0.0, 1.0) * (width * 8) as f64).round() as usize;
    let full = "█".repeat(eighths / 8) + EIGHTHS[eighths % 8];
    (full, "░".repeat(width - eighths.div_ceil(8)))
}

/// Blocks as high as the samples are.
fn sparkline(samples: &[Option<f64>], from: f64, to: f64, width: usize) -> String {
    let last = &samples[samples.len().saturating_sub(width)..];
    let block = |sample: &Option<f64>| match sample {
        None => ' ',
        Some(sample) if to > from => {
            let step = ((sample - from) / (to - from) * 8.0).ceil().clamp(1.0, 8.0);
            BLOCKS[step as usize - 1]
        }
        Some(_) => BLOCKS[0],
    };
    let missing = " ".repeat(width - last.len());
    missing + &last.iter().map(block).collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        assert_eq!(bar(0.0, 4), (String::new(), "░░░░".to_owned()));
        assert_eq!(bar(0.5, 4), ("██".to_owned(), "░░".to_owned()));
        assert_eq!(bar(0.65, 4), ("██▋".to_owned(), "░".to_owned()));
        assert_eq!(bar(1.7, 4), ("████".to_owned(), String::new()));
        assert_eq!(bar(f64::NAN, 2), (String::new(), "░░".to_owned()));
    }

    #[test]
    fn sparklines() {
        let samples = [Some(0.0), Some(1.0), None, Some(50.0), Some(100.0)];
        assert_eq!(sparkline(&samples, 0.0, 100.0, 8), "   ▁▁ ▄█");
        assert_eq!(sparkline(&samples, 0.0, 100.0, 2), "▄█", "the newest");
        assert_eq!(sparkline(&[Some(0.0)], 0.0, 0.0, 2), " ▁");
        assert_eq!(sparkline(&[Some(0.85), Some(0.95)], 0.8, 1.0, 2), "▂▆");
        assert_eq!(sparkline(&[], 0.0, 1.0, 2), "  ");
    }

    #[test]
    fn columns_stand_below_each_other() {
        let gauges = [
            Gauge::new("hit ratio", "0.500".into(), Picture::Bar(0.5), "5 hits, 5 misses".into()),
            Gauge::new("keys", "1,234,567".into(), Picture::None, "12 of them expire".into()),
        ];
        let text: Vec<String> = lines(&gauges, 40).iter().map(|line| line.paint(false)).collect();
        assert_eq!(text[0], "hit ratio      0.500  ██████░░░░░░  5 hits, 5 misses");
        assert_eq!(text[1], "keys       1,234,567  12 of them expire");
    }
}

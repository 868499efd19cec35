//! What took long of late, as LATENCY shows it: for each kind of event the largest duration of each second.

use super::sparkline;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Samples of an event that are kept: Redis's figure.
const SAMPLES_MAX: usize = 160;
/// Width of a graph and rows of it, in characters.
const GRAPH_COLUMNS: usize = 80;
const GRAPH_ROWS: usize = 4;

/// A kind of event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A command that may take long.
    Command,
    /// One that should not.
    FastCommand,
    /// Making room for a command by evicting keys.
    EvictionCycle,
    /// A round of the store's upkeep, which frees expired keys.
    ExpireCycle,
}

impl Event {
    const ALL: [Event; 4] =
        [Event::Command, Event::FastCommand, Event::EvictionCycle, Event::ExpireCycle];

    /// The name that Redis gives it.
    pub fn name(self) -> &'static str {
        match self {
            Event::Command => "command",
            Event::FastCommand => "fast-command",
            Event::EvictionCycle => "eviction-cycle",
            Event::ExpireCycle => "expire-cycle",
        }
    }
}

/// The longest one of a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// The second, since 1970.
    pub unix_s: u64,
    /// Milliseconds it took.
    pub ms: u64,
}

/// The latest samples of an event.
#[derive(Clone, Default)]
pub struct Series {
    /// The oldest first.
    pub samples: VecDeque<Sample>,
    /// The longest one ever, in milliseconds.
    pub max_ms: u64,
}

impl Series {
    fn note(&mut self, sample: Sample) {
        self.max_ms = self.max_ms.max(sample.ms);
        match self.samples.back_mut() {
            Some(last) if last.unix_s == sample.unix_s => last.ms = last.ms.max(sample.ms),
            _ => self.samples.push_back(sample),
        }
        if self.samples.len() > SAMPLES_MAX {
            self.samples.pop_front();
        }
    }

    /// How long each took, over the time that has passed since.
    pub fn graph(&self, event: &str, now_s: u64) -> String {
        let durations = || self.samples.iter().map(|sample| sample.ms);
        let (high, low) = (durations().max().unwrap_or(0), durations().min().unwrap_or(0));
        let (max, rule) = (self.max_ms, "-".repeat(GRAPH_COLUMNS));
        let title =
            format!("{event} - high {high} ms, low {low} ms (all time high {max} ms)\n{rule}\n");
        let points = self.samples.iter().map(|sample| (sample.ms, age(now_s, sample.unix_s)));
        title + &sparkline::render(&points.collect::<Vec<_>>(), GRAPH_COLUMNS, GRAPH_ROWS)
    }
}

/// How long ago something was, in the largest unit that fits.
fn age(now_s: u64, unix_s: u64) -> String {
    match now_s.saturating_sub(unix_s) {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..86_400 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

/// The events of a server.
#[derive(Default)]
pub struct Events(Mutex<[Series; Event::ALL.len()]>);

impl Events {
    /// Notes that an event took so long.
    pub fn note(&self, event: Event, sample: Sample) {
        self.series()[event as usize].note(sample);
    }

    /// Those that there are samples of, the one with the newest sample first.
    pub fn latest(&self) -> Vec<(Event, Series)> {
        let all = Event::ALL.into_iter().zip(self.series().clone());
        let mut latest: Vec<_> = all.filter(|(_, series)| !series.samples.is_empty()).collect();
        let newest = |series: &Series| series.samples.back().map(|sample| sample.unix_s);
        latest.sort_by_key(|(_, series)| std::cmp::Reverse(newest(series)));
        latest
    }

    /// One of them by its name.
    pub fn find(&self, name: &[u8]) -> Option<Series> {
        let mut latest = self.latest().into_iter();
        latest.find(|(event, _)| event.name().as_bytes() == name).map(|(_, series)| series)
    }

    /// Forgets those that `forget` tells; answers how many.
    pub fn reset(&self, forget: impl Fn(Event) -> bool) -> usize {
        let mut all = self.series();
        let gone = Event::ALL
            .into_iter()
            .zip(all.iter_mut())
            .filter(|(event, series)| !series.samples.is_empty() && forget(*event));
        gone.map(|(_, series)| *series = Series::default()).count()
    }

    fn series(&self) -> MutexGuard<'_, [Series; Event::ALL.len()]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(unix_s: u64, ms: u64) -> Sample {
        Sample { unix_s, ms }
    }

    #[test]
    fn the_largest_of_each_second_is_kept() {
        let events = Events::default();
        for (unix_s, ms) in [(5, 20), (5, 50), (5, 30), (7, 10)] {
            events.note(Event::Command, sample(unix_s, ms));
        }
        let series = events.find(b"command").unwrap();
        assert_eq!((series.samples, series.max_ms), ([sample(5, 50), sample(7, 10)].into(), 50));
        for second in 0..400 {
            events.note(Event::FastCommand, sample(second, second));
        }
        let fast = events.find(b"fast-command").unwrap();
        assert_eq!((fast.samples.len(), fast.samples[0].unix_s), (SAMPLES_MAX, 240));
        let names: Vec<&str> = events.latest().iter().map(|(event, _)| event.name()).collect();
        assert_eq!(names, ["fast-command", "command"]);
        assert!(events.find(b"expire-cycle").is_none() && events.find(b"COMMAND").is_none());
        assert_eq!(events.reset(|event| event == Event::Command), 1);
        assert_eq!(events.reset(|_| true), 1);
        assert!(events.latest().is_empty());
    }

    #[test]
    fn a_graph_says_how_long_ago() {
        let mut series = Series::default();
        for (unix_s, ms) in [(1000, 100), (90_000, 300), (93_000, 200), (93_590, 110)] {
            series.note(sample(unix_s, ms));
        }
        let graph = series.graph("command", 93_600);
        let expected = [
            "command - high 300 ms, low 100 ms (all time high 300 ms)",
            &"-".repeat(80),
            " #  ",
            " |_ ",
            " || ",
            "_||_",
            "    ",
            "1111",
            "dh00",
            "  ms",
            "",
        ];
        assert_eq!(graph, expected.join("\n"));
    }
}

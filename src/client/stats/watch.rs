//! `larder stats --watch`: asks again and again, and draws on the terminal, or writes a line each time.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Error, Result};

use super::super::connection::Connection;
use super::super::paint::{self, Look};
use super::live::{self, Live};
use super::screen::{Screen, Wish};
use super::source::{Answer, Source};
use super::{By, View, json, view};

/// Lines between two headings.
const LINES: usize = 20;
/// How long a key may wait for its effect.
const PATIENCE: Duration = Duration::from_millis(50);

/// An answer, or why there is none, and when it came.
type Sample = (Instant, Result<Answer>);

/// Watches until the person in front of it, or the count, ends it; says whether the last answer was good.
pub(super) fn run(connection: Connection, view: &View, interval: Duration) -> Result<bool> {
    let mut source = Source::new(connection);
    // What is wrong from the beginning is told as if there were one look only.
    let first = source.ask()?;
    let (sender, samples) = sync_channel(1);
    let count = view.count.unwrap_or(u64::MAX);
    let began = Instant::now();
    // Apart, as a server that does not answer must not keep a key from being heard.
    thread::spawn(move || ask_on(source, interval, &sender));
    if view.json {
        return as_json(&first, samples, count);
    }
    let live = Live::new(first.report, began, interval);
    if io::stdout().is_terminal() && !paint::is_dumb() {
        on_screen(live, &samples, view.by, count)
    } else {
        in_lines(live, samples, view.by, count)
    }
}

/// Sends samples until nobody listens.
fn ask_on(mut source: Source, interval: Duration, sender: &SyncSender<Sample>) {
    let mut next = Instant::now() + interval;
    loop {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        let answer = source.ask();
        let now = Instant::now();
        if sender.send((now, answer)).is_err() {
            return;
        }
        // Those that were missed while the server did not answer are not made up for.
        next = (next + interval).max(now);
    }
}

fn on_screen(
    mut live: Live,
    samples: &Receiver<Sample>,
    by: Option<By>,
    mut count: u64,
) -> Result<bool> {
    let mut screen = Screen::open()?;
    let mut good = true;
    let mut stale = true;
    while count > 0 {
        if std::mem::take(&mut stale) {
            let look = Look::of_stdout();
            screen.draw(live.page(by, look.width), look)?;
        }
        match samples.try_recv() {
            Ok((when, answer)) => {
                good = answer.is_ok();
                live.take(when, answer.map(|answer| answer.report));
                (stale, count) = (true, count - 1);
            }
            Err(_) => match screen.wish(PATIENCE)? {
                Wish::Nothing => {}
                Wish::Redraw => stale = true,
                Wish::Leave => return Ok(true),
            },
        }
    }
    drop(screen);
    // Who has counted wants to see what came out.
    let look = Look::of_stdout();
    io::stdout().write_all(paint::text(live.page(by, look.width), look).as_bytes())?;
    Ok(good)
}

/// As vmstat does it; or, by prefix or command, a table each time.
fn in_lines(mut live: Live, samples: Receiver<Sample>, by: Option<By>, count: u64) -> Result<bool> {
    let mut good = true;
    let mut lines = 0;
    for (when, answer) in samples.into_iter().take(count as usize) {
        good = answer.is_ok();
        live.take(when, answer.map(|answer| answer.report));
        let mut out = io::stdout().lock();
        match (live.last(), by) {
            (Err(why), _) => eprintln!("larder: {}", paint::harmless(why)),
            (Ok(last), Some(_)) => {
                let look = Look::of_stdout();
                let lines = view::whole(&last.report, by, look.width);
                writeln!(out, "{}", paint::text(lines, look))?;
            }
            (Ok(last), None) => {
                if lines % LINES == 0 {
                    writeln!(out, "{}", live::heading())?;
                }
                lines += 1;
                writeln!(out, "{}", live::line(last))?;
            }
        }
        out.flush()?;
    }
    Ok(good)
}

/// A report in each line.
fn as_json(first: &Answer, samples: Receiver<Sample>, count: u64) -> Result<bool> {
    let mut good = true;
    let mut write = |answer: Result<&Answer, &Error>| {
        good = answer.is_ok();
        match answer {
            Ok(answer) => writeln!(io::stdout(), "{}", json::flat(&answer.json)),
            Err(why) => {
                eprintln!("larder: {}", paint::harmless(&format!("{why:#}")));
                Ok(())
            }
        }
    };
    write(Ok(first))?;
    for (_, answer) in samples.into_iter().take(count as usize - 1) {
        write(answer.as_ref())?;
    }
    Ok(good)
}

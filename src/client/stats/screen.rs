//! The terminal while statistics are watched: another screen, which leaves no trace.

use std::io::{self, Write};
use std::process;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use crossterm::cursor::{Hide, Show};
use crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use tokio::signal::unix::{SignalKind, signal};

use super::super::paint::{Line, Look, terminal_size};

/// What the person in front of it wants.
pub(super) enum Wish {
    Nothing,
    Redraw,
    Leave,
}

/// The screen; the one before is back when it is dropped.
pub(super) struct Screen(());

impl Screen {
    pub(super) fn open() -> Result<Screen> {
        restore_on_signals()?;
        enable_raw_mode().context("cannot read keys from the terminal")?;
        // Made before anything else is changed, so that whatever happens it is changed back.
        let screen = Screen(());
        execute!(io::stdout(), EnterAlternateScreen, Hide)?;
        Ok(screen)
    }

    /// Draws a page: over the one before, in one write, so that nothing flickers.
    pub(super) fn draw(&mut self, lines: Vec<Line>, look: Look) -> io::Result<()> {
        let rows = terminal_size().1;
        let mut frame = "\x1b[H".to_owned();
        for (row, line) in lines.into_iter().take(rows).enumerate() {
            if row > 0 {
                frame += "\r\n";
            }
            frame += &line.fit(look.width).paint(look.colour);
            frame += "\x1b[K";
        }
        frame += "\x1b[J";
        let mut out = io::stdout().lock();
        out.write_all(frame.as_bytes())?;
        out.flush()
    }

    /// Waits so long for a key.
    pub(super) fn wish(&mut self, wait: Duration) -> io::Result<Wish> {
        if !event::poll(wait)? {
            return Ok(Wish::Nothing);
        }
        Ok(match event::read()? {
            Event::Resize(..) => Wish::Redraw,
            Event::Key(key) if key.kind == KeyEventKind::Press => {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                match key.code {
                    KeyCode::Char('c' | 'd') if control => Wish::Leave,
                    KeyCode::Char('q' | 'Q') | KeyCode::Esc => Wish::Leave,
                    _ => Wish::Nothing,
                }
            }
            _ => Wish::Nothing,
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    // A terminal that is gone needs nothing.
    execute!(io::stdout(), Show, LeaveAlternateScreen).unwrap_or_default();
    disable_raw_mode().unwrap_or_default();
}

/// Ctrl-C is a key here; this is for `kill`, `timeout` and a terminal that is closed.
fn restore_on_signals() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    drop(entered);
    thread::spawn(move || {
        let number = runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => 15,
                _ = interrupt.recv() => 2,
                _ = hang_up.recv() => 1,
            }
        });
        // Held to the end: nothing may be drawn any more.
        let _out = io::stdout().lock();
        restore();
        process::exit(128 + number);
    });
    Ok(())
}

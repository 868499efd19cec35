//! `larder client`: one command, a script from standard input, or a prompt; and `larder stats`.

pub mod cluster;
mod complete;
mod connection;
mod format;
mod help;
mod human;
mod paint;
mod prompt;
mod quote;
mod reply;
mod socket;
mod state;
pub mod stats;
mod table;

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use connection::Connection;
use format::Style;
use reply::Reply;

/// What the command line asks for.
#[derive(Debug, Clone)]
pub struct Options {
    /// `HOST:PORT`, or the path of a Unix socket.
    pub addr: String,
    /// The command to run; none for a prompt or a script from standard input.
    pub command: Vec<String>,
    /// Whom to log in as; with a password only.
    pub user: Option<String>,
    /// The password to log in with.
    pub password: Option<String>,
    /// The database to select.
    pub db: u32,
    /// Whether to ask for RESP3.
    pub resp3: bool,
    /// For connecting and logging in, and for the answer to `stats`. Other commands may take as
    /// long as they need.
    pub timeout: Duration,
}

/// Where a server is unless told otherwise.
pub(crate) const DEFAULT_ADDR: &str = "127.0.0.1:6379";

/// Tells the address from the command: ADDR may be left out, and then its place holds the first
/// word of the command (`larder client get k`). `given` is whether there was anything in it.
pub fn split_target(addr: String, given: bool, mut command: Vec<String>) -> (String, Vec<String>) {
    let is_own = help::OWN_WORDS.iter().any(|(word, _)| addr.eq_ignore_ascii_case(word));
    if given && (is_own || help::find(&[&addr]).is_some()) {
        command.insert(0, addr);
        return (DEFAULT_ADDR.to_owned(), command);
    }
    (addr, command)
}

/// Runs the client. The exit code is 1 when a reply was an error.
///
/// # Errors
/// When the server can't be reached or refuses the login.
pub fn run(options: Options) -> Result<ExitCode> {
    exit_code(run_mode(&options))
}

/// That of a client that was content or not, if nothing went wrong.
fn exit_code(done: Result<bool>) -> Result<ExitCode> {
    match done {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        // Whoever reads the output has seen enough: `larder client ... | head`.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        // A server's own words may be in it.
        Err(error) => Err(anyhow!(paint::harmless(&format!("{error:#}")))),
    }
}

fn run_mode(options: &Options) -> Result<bool> {
    if !options.command.is_empty() {
        one_shot(options)
    } else if io::stdin().is_terminal() {
        prompt::run(options)
    } else {
        script(options)
    }
}

/// The style that suits whoever reads standard output.
fn style() -> Style {
    if io::stdout().is_terminal() { Style::Pretty } else { Style::Raw }
}

fn one_shot(options: &Options) -> Result<bool> {
    let args: Vec<Vec<u8>> = options.command.iter().map(|arg| arg.as_bytes().to_vec()).collect();
    let mut out = io::stdout().lock();
    if is_word(&args, b"help") {
        out.write_all(help::answer(&options.command[1..]).as_bytes())?;
        return Ok(true);
    }
    execute(&mut Connection::open(options)?, &args, style(), &mut out)
}

/// Commands from standard input, a line each; replies go out raw.
fn script(options: &Options) -> Result<bool> {
    let mut connection = Connection::open(options)?;
    let mut out = io::stdout().lock();
    let mut all_good = true;
    for line in io::stdin().lock().split(b'\n') {
        let Some(args) = quote::split(&line?) else {
            writeln!(out, "Invalid argument(s)")?;
            all_good = false;
            continue;
        };
        if args.is_empty() {
            continue;
        }
        if is_word(&args, b"exit") || is_word(&args, b"quit") {
            break;
        }
        all_good &= execute(&mut connection, &args, Style::Raw, &mut out)?;
    }
    Ok(all_good)
}

fn is_word(args: &[Vec<u8>], word: &[u8]) -> bool {
    args.first().is_some_and(|first| first.eq_ignore_ascii_case(word))
}

/// Runs one command and prints its reply, or several replies when it is one that goes on; says
/// whether the server was content.
fn execute(
    connection: &mut Connection,
    args: &[Vec<u8>],
    style: Style,
    out: &mut dyn Write,
) -> Result<bool> {
    if args.len() == 1 && is_word(args, b"stats") {
        stats::show(connection, out)?;
        return Ok(true);
    }
    connection.send(args)?;
    if !connection.will_answer(args) {
        return Ok(true);
    }
    let for_people = style == Style::Pretty;
    let style = if format::is_text(args) { Style::Text } else { style };
    let goes_on = ["subscribe", "psubscribe", "ssubscribe", "monitor"]
        .iter()
        .any(|name| is_word(args, name.as_bytes()));
    if goes_on && style == Style::Pretty {
        writeln!(out, "Reading messages... (press Ctrl-C to quit)")?;
    }
    let mut any = false;
    loop {
        let Some(reply) = connection.receive()? else {
            if is_word(args, b"shutdown") || (any && goes_on) {
                return Ok(true);
            }
            bail!("{} closed the connection before it answered", connection.addr());
        };
        let text = format::reply(&reply, style);
        if for_people {
            out.write_all(paint::harmless_lines(&text).as_bytes())?;
        } else {
            out.write_all(&text)?;
        }
        out.flush()?;
        any = true;
        let is_push = matches!(reply, Reply::Push(_));
        if (!goes_on && !is_push) || reply.is_error() {
            connection.note(args, &reply);
            return Ok(!reply.is_error());
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_any_case() {
        assert!(is_word(&[b"Stats".to_vec()], b"stats"));
        assert!(!is_word(&[b"get".to_vec(), b"stats".to_vec()], b"stats"));
        assert!(!is_word(&[], b"stats"));
    }

    #[test]
    fn the_address_may_be_left_out() {
        let split = |addr: &str, given, command: &[&str]| {
            let command = command.iter().map(|word| (*word).to_owned()).collect();
            let (addr, command) = split_target(addr.to_owned(), given, command);
            format!("{addr} {}", command.join(" "))
        };
        assert_eq!(split("h:1", true, &["get", "k"]), "h:1 get k");
        assert_eq!(split("h:1", false, &[]), "h:1 ");
        assert_eq!(split("GET", true, &["k"]), "127.0.0.1:6379 GET k");
        assert_eq!(split("stats", true, &[]), "127.0.0.1:6379 stats");
        assert_eq!(split("localhost", true, &["get", "k"]), "localhost get k");
    }

    #[test]
    fn errors_cannot_control_the_terminal() {
        let error = exit_code(Err(anyhow!("ERR \x1b[2J").context("h:1\u{9b}2J"))).unwrap_err();
        assert_eq!(format!("{error:#}"), "h:1·2J: ERR ·[2J");
    }

    #[test]
    fn only_the_output_may_end_early() {
        assert!(is_broken_pipe(&io::Error::from(io::ErrorKind::BrokenPipe).into()));
        assert!(!is_broken_pipe(&anyhow::anyhow!("the server closed the connection")));
    }
}

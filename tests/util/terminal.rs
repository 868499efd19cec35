//! A pseudo-terminal, and somebody who reads and types there.

use std::process::Command;

/// Waits for a text, types another, and so on; then checks that the terminal is as it was. Arguments: texts to wait for and to type in turns, `--`, the command.
const DIALOGUE: &str = r#"
import fcntl, os, pty, re, select, struct, sys, termios, time
cut = sys.argv.index("--")
steps, command = sys.argv[1:cut], sys.argv[cut + 1:]
child, fd = pty.fork()
if child == 0:
    os.execvp(command[0], command)
modes = termios.ECHO | termios.ICANON | termios.ISIG
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
raw, mark = b"", 0

def plain():
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw.decode("utf8", "replace"))

def read_on():
    global raw
    if not select.select([fd], [], [], 0.1)[0]:
        return True
    try:
        chunk = os.read(fd, 65536)
    except OSError:
        return False
    raw += chunk
    return bool(chunk)

for expected, typed in zip(steps[::2], steps[1::2]):
    deadline = time.time() + 10
    while (found := plain().find(expected, mark)) < 0:
        if not read_on() or time.time() > deadline:
            sys.exit("waited in vain for %r in:\n%s" % (expected, plain()))
    mark = found + len(expected)
    os.write(fd, typed.encode().decode("unicode_escape").encode("latin1"))
deadline = time.time() + 10
while read_on() and time.time() < deadline:
    pass
if termios.tcgetattr(fd)[3] & modes != modes:
    sys.exit("the terminal is left in raw mode")
sys.stdout.buffer.write(raw)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"#;

/// What a terminal showed.
pub struct Seen {
    /// With the sequences that move, colour and clear.
    pub raw: String,
    /// Without them.
    pub text: String,
}

/// Runs a command on a terminal of 120 columns and 24 rows: waits for a text, types another, and so on. Panics when the
/// text does not come in time, the command fails or leaves the terminal changed.
pub fn dialogue(command: &Command, steps: &[(&str, &str)]) -> Seen {
    let mut python = Command::new("python3");
    python.args(["-c", DIALOGUE]);
    python.args(steps.iter().flat_map(|(expected, typed)| [expected, typed]));
    python.arg("--").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => python.env(name, value),
            None => python.env_remove(name),
        };
    }
    let output =
        python.env("TERM", "xterm").env_remove("NO_COLOR").output().expect("python3 is there");
    let raw = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{raw}\n{}", String::from_utf8_lossy(&output.stderr));
    let text = without_sequences(&raw);
    Seen { raw, text }
}

fn without_sequences(raw: &str) -> String {
    let mut parts = raw.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part
            .trim_start_matches(|c: char| c.is_ascii_digit() || "?;".contains(c))
            .get(1..)
            .unwrap_or_default()
    })
}

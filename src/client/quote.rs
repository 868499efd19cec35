//! Splits a typed line into arguments, by the quoting rules of redis-cli.

/// The arguments of a line: plain words, `"..."` with the escapes `\n \r \t \a \b \xHH \" \\`, and
/// `'...'` in which only `\'` is special. `None` when a quote is not closed, or is closed in the
/// middle of a word: guessing what was meant could write the wrong value.
pub(super) fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii();
    while !rest.is_empty() {
        let (word, after) = take_word(rest)?;
        words.push(word);
        rest = after.trim_ascii_start();
    }
    Some(words)
}

/// The first word, and what follows it.
fn take_word(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        match byte {
            b'"' | b'\'' => {
                at = take_quoted(line, at, &mut word)?;
                // A quote ends its word, as redis-cli has it.
                match line.get(at) {
                    Some(next) if !next.is_ascii_whitespace() => return None,
                    _ => break,
                }
            }
            byte if byte.is_ascii_whitespace() => break,
            byte => {
                word.push(byte);
                at += 1;
            }
        }
    }
    Some((word, &line[at..]))
}

/// Reads the quoted text that opens at `at` into `word`; the place behind the closing quote.
fn take_quoted(line: &[u8], mut at: usize, word: &mut Vec<u8>) -> Option<usize> {
    let quote = *line.get(at)?;
    at += 1;
    loop {
        match *line.get(at)? {
            byte if byte == quote => return Some(at + 1),
            b'\\' if quote == b'"' => {
                let (byte, length) = unescape(&line[at + 1..])?;
                word.push(byte);
                at += 1 + length;
            }
            b'\\' if line.get(at + 1) == Some(&b'\'') => {
                word.push(b'\'');
                at += 2;
            }
            byte => {
                word.push(byte);
                at += 1;
            }
        }
    }
}

/// The byte that an escape stands for (`after` is what follows the backslash), and its length.
fn unescape(after: &[u8]) -> Option<(u8, usize)> {
    if let [b'x', high, low, ..] = after
        && let (Some(high), Some(low)) = (hex_digit(*high), hex_digit(*low))
    {
        return Some((high << 4 | low, 3));
    }
    let byte = match *after.first()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 0x07,
        b'b' => 0x08,
        other => other,
    };
    Some((byte, 1))
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<Vec<u8>> {
        split(line.as_bytes()).unwrap()
    }

    #[test]
    fn plain_words() {
        assert_eq!(words("  set  a\tb \r\n"), [b"set".to_vec(), b"a".to_vec(), b"b".to_vec()]);
        assert!(words("   ").is_empty());
        assert!(words("").is_empty());
    }

    #[test]
    fn double_quotes_with_escapes() {
        assert_eq!(words(r#""a b\n\r\t\x00\xFf\"\\\q""#), [b"a b\n\r\t\x00\xff\"\\q".to_vec()]);
        assert_eq!(words(r#""\xzz""#), [b"xzz".to_vec()], "not hexadecimal: the letter itself");
        assert_eq!(words(r#"set k """#)[2], b"");
        assert_eq!(words(r#"pre"fix""#), [b"prefix".to_vec()]);
    }

    #[test]
    fn single_quotes() {
        assert_eq!(words(r"'a \n b'"), [br"a \n b".to_vec()]);
        assert_eq!(words(r"'it\'s'"), [b"it's".to_vec()]);
        assert_eq!(words(r"''"), [b"".to_vec()]);
    }

    #[test]
    fn unbalanced_quotes() {
        for line in ["\"a", "'a", "\"a\\", "\"a\"b", "'a'b", "get \""] {
            assert_eq!(split(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn any_bytes() {
        assert_eq!(split(b"a \xff\x80"), Some(vec![b"a".to_vec(), b"\xff\x80".to_vec()]));
    }
}

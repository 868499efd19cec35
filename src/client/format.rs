//! Replies as text, as redis-cli prints them: for people on a terminal, raw for programs.

use super::reply::Reply;
use crate::resp::quote;

/// How replies are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Types shown, strings quoted, elements numbered.
    Pretty,
    /// The bytes alone, one element a line.
    Raw,
    /// Like `Raw`, for replies of many lines that bring their last newline (see [`is_text`]).
    Text,
}

/// The reply, with its closing newline.
pub(super) fn reply(reply: &Reply, style: Style) -> Vec<u8> {
    let mut out = Vec::new();
    match style {
        Style::Pretty => pretty(&mut out, reply, 0),
        Style::Raw => {
            raw(&mut out, reply);
            out.push(b'\n');
        }
        Style::Text => {
            raw(&mut out, reply);
            if !out.ends_with(b"\n") {
                out.push(b'\n');
            }
        }
    }
    out
}

/// Whether the reply is a text to read, never to be quoted, as in redis-cli.
pub(super) fn is_text(args: &[Vec<u8>]) -> bool {
    let word = |at: usize| {
        args.get(at).map(|arg| String::from_utf8_lossy(arg).to_lowercase()).unwrap_or_default()
    };
    let (command, sub) = (word(0), word(1));
    match command.as_str() {
        "info" | "lolwut" => true,
        "client" => matches!(sub.as_str(), "list" | "info"),
        "cluster" => matches!(sub.as_str(), "info" | "nodes"),
        "debug" => matches!(sub.as_str(), "htstats" | "htstats-key"),
        "latency" => matches!(sub.as_str(), "doctor" | "graph"),
        "memory" => matches!(sub.as_str(), "doctor" | "malloc-stats"),
        _ => false,
    }
}

fn pretty(out: &mut Vec<u8>, reply: &Reply, indent: usize) {
    match reply {
        Reply::Status(text) | Reply::BigNumber(text) | Reply::Verbatim(text) => {
            out.extend_from_slice(text);
        }
        Reply::Error(text) => {
            out.extend_from_slice(b"(error) ");
            out.extend_from_slice(text);
        }
        Reply::Integer(number) => out.extend(format!("(integer) {number}").bytes()),
        Reply::Double(text) => {
            out.extend_from_slice(b"(double) ");
            out.extend_from_slice(text);
        }
        Reply::Boolean(true) => out.extend_from_slice(b"(true)"),
        Reply::Boolean(false) => out.extend_from_slice(b"(false)"),
        Reply::Nil => out.extend_from_slice(b"(nil)"),
        Reply::Bulk(text) => quote(out, text),
        Reply::Array(items) | Reply::Push(items) => {
            return numbered(out, items, ')', "(empty array)", indent);
        }
        Reply::Set(items) => return numbered(out, items, '~', "(empty set)", indent),
        Reply::Map(pairs) => return map(out, pairs, indent),
    }
    out.push(b'\n');
}

fn numbered(out: &mut Vec<u8>, items: &[Reply], mark: char, empty: &str, indent: usize) {
    if items.is_empty() {
        out.extend(format!("{empty}\n").bytes());
    }
    let width = items.len().to_string().len();
    for (index, item) in items.iter().enumerate() {
        number(out, index, width, mark, indent);
        pretty(out, item, indent + width + 2);
    }
}

fn map(out: &mut Vec<u8>, pairs: &[(Reply, Reply)], indent: usize) {
    if pairs.is_empty() {
        out.extend_from_slice(b"(empty hash)\n");
    }
    let width = pairs.len().to_string().len();
    for (index, (key, value)) in pairs.iter().enumerate() {
        number(out, index, width, '#', indent);
        pretty(out, key, indent + width + 2);
        out.pop();
        out.extend_from_slice(b" => ");
        let inner = indent + width + 2;
        let mut text = Vec::new();
        pretty(&mut text, value, inner);
        let lines = text.iter().filter(|byte| **byte == b'\n').count();
        let holds_others =
            matches!(value, Reply::Array(_) | Reply::Set(_) | Reply::Push(_) | Reply::Map(_));
        if holds_others && lines > 1 {
            out.extend(format!("\n{:inner$}", "").bytes());
        }
        out.append(&mut text);
    }
}

/// The number before an element. The first of a list stands behind its parent's, so it needs no
/// indentation.
fn number(out: &mut Vec<u8>, index: usize, width: usize, mark: char, indent: usize) {
    let indent = if index == 0 { 0 } else { indent };
    out.extend(format!("{:indent$}{:width$}{mark} ", "", index + 1).bytes());
}

fn raw(out: &mut Vec<u8>, reply: &Reply) {
    match reply {
        Reply::Integer(number) => out.extend(number.to_string().bytes()),
        Reply::Boolean(value) => out.extend_from_slice(if *value { b"(true)" } else { b"(false)" }),
        Reply::Nil => {}
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b'\n');
                }
                raw(out, item);
            }
        }
        Reply::Map(pairs) => {
            for (index, (key, value)) in pairs.iter().enumerate() {
                if index > 0 {
                    out.push(b'\n');
                }
                raw(out, key);
                out.push(b' ');
                raw(out, value);
            }
        }
        other => out.extend_from_slice(other.text().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Reply {
        Reply::Bulk(text.to_owned().into())
    }

    fn shown(value: &Reply) -> String {
        String::from_utf8(reply(value, Style::Pretty)).unwrap()
    }

    fn plain(value: &Reply) -> String {
        String::from_utf8(reply(value, Style::Raw)).unwrap()
    }

    #[test]
    fn scalars() {
        assert_eq!(shown(&Reply::Integer(1)), "(integer) 1\n");
        assert_eq!(shown(&Reply::Nil), "(nil)\n");
        assert_eq!(shown(&Reply::Status("OK".into())), "OK\n");
        assert_eq!(shown(&Reply::Error("ERR no".into())), "(error) ERR no\n");
        assert_eq!(shown(&Reply::Boolean(true)), "(true)\n");
        assert_eq!(shown(&Reply::Double("1.50".into())), "(double) 1.50\n");
        assert_eq!(shown(&Reply::Verbatim("a\nb\n".into())), "a\nb\n\n");
        let bytes = b"quoted \"bulk\" \x00\n\r\t\x07\x08\\\xff";
        let expected = "\"quoted \\\"bulk\\\" \\x00\\n\\r\\t\\a\\b\\\\\\xff\"\n";
        assert_eq!(shown(&Reply::Bulk(bytes.to_vec().into())), expected);
    }

    #[test]
    fn nested_lists_are_indented() {
        let inner = Reply::Array(vec![bulk("b"), bulk("c")]);
        let outer = Reply::Array(vec![bulk("a"), inner, Reply::Array(vec![])]);
        assert_eq!(shown(&outer), "1) \"a\"\n2) 1) \"b\"\n   2) \"c\"\n3) (empty array)\n");
        let ten = Reply::Array((1..=10).map(Reply::Integer).collect());
        assert!(shown(&ten).starts_with(" 1) (integer) 1\n 2)"));
        assert!(shown(&ten).ends_with("\n10) (integer) 10\n"));
    }

    #[test]
    fn maps_and_sets() {
        let set = Reply::Set(vec![bulk("x"), bulk("y")]);
        let map = Reply::Map(vec![(bulk("a"), Reply::Integer(1)), (bulk("b"), set)]);
        assert_eq!(
            shown(&map),
            "1# \"a\" => (integer) 1\n2# \"b\" => \n   1~ \"x\"\n   2~ \"y\"\n"
        );
        assert_eq!(shown(&Reply::Map(vec![])), "(empty hash)\n");
        assert_eq!(shown(&Reply::Set(vec![])), "(empty set)\n");
        assert_eq!(plain(&map), "a 1\nb x\ny\n");
    }

    #[test]
    fn raw_output() {
        assert_eq!(plain(&bulk("a \"b\"")), "a \"b\"\n");
        assert_eq!(plain(&Reply::Nil), "\n");
        assert_eq!(plain(&Reply::Integer(7)), "7\n");
        assert_eq!(plain(&Reply::Error("ERR no".into())), "ERR no\n");
        assert_eq!(plain(&Reply::Array(vec![bulk("a"), Reply::Nil, bulk("c")])), "a\n\nc\n");
        assert_eq!(plain(&Reply::Array(vec![])), "\n");
    }

    #[test]
    fn texts() {
        let args = |line: &str| line.split(' ').map(|w| w.as_bytes().to_vec()).collect::<Vec<_>>();
        assert!(is_text(&args("INFO")));
        assert!(is_text(&args("client LIST")));
        assert!(!is_text(&args("get info")));
        assert!(!is_text(&[]));
        assert_eq!(reply(&bulk("a\r\nb\r\n"), Style::Text), b"a\r\nb\r\n");
        assert_eq!(reply(&bulk("a"), Style::Text), b"a\n");
        assert_eq!(reply(&Reply::Error("ERR no".into()), Style::Text), b"ERR no\n");
    }
}

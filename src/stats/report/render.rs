//! A report as RESP, as JSON and as text: all from its JSON value, so that each shows the same.

use super::{Report, SECTIONS};
use crate::resp::{Args, Error, Reply};
use serde_json::{Map, Value};
use std::fmt::Write;

/// What the lines of a coordinator's nodes, and the shares of its hot keys, are made of.
const NODE_LINES: [&str; 4] = ["server", "traffic", "cache", "latency"];

/// What a coordinator alone tells.
const NOT_OF_NODES: [&str; 3] = ["commands", "errors", "nodes"];

/// How a report is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    style: Style,
    /// Of [`SECTIONS`].
    sections: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    Resp,
    Json,
    Text,
}

impl Form {
    /// All of it, as JSON.
    pub const JSON: Form = Form { style: Style::Json, sections: Vec::new() };

    /// From the arguments `[JSON | TEXT] [section ...]`, from `start` on.
    ///
    /// # Errors
    /// A section that there is not.
    pub fn parse(args: Args<'_>, start: usize) -> Result<Self, Error> {
        let (style, rest) = match args.get(start) {
            Some(word) if word.eq_ignore_ascii_case(b"JSON") => (Style::Json, start + 1),
            Some(word) if word.eq_ignore_ascii_case(b"TEXT") => (Style::Text, start + 1),
            _ => (Style::Resp, start),
        };
        let mut sections = Vec::new();
        for word in args.from(rest) {
            let known =
                SECTIONS.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word));
            let Some((name, _)) = known else {
                let names: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
                let text = format!("' (there are: {})", names.join(", "));
                return Err(Error::from_parts(&[b"ERR unknown section '", word, text.as_bytes()]));
            };
            sections.push(*name);
        }
        Ok(Form { style, sections })
    }

    /// Whether one of these sections is wanted.
    pub(super) fn wants(&self, sections: &[&str]) -> bool {
        self.sections.is_empty() || self.sections.iter().any(|wanted| sections.contains(wanted))
    }

    /// The sections that a coordinator asks its nodes for, to make a report in this form; none means all.
    pub fn of_nodes(&self) -> Vec<&'static str> {
        if self.sections.is_empty() {
            return Vec::new();
        }
        let wanted = |name: &&str| self.sections.contains(name) && !NOT_OF_NODES.contains(name);
        let all = SECTIONS.iter().map(|(name, _)| *name);
        all.filter(|name| NODE_LINES.contains(name) || wanted(name)).collect()
    }

    /// Writes a report in this form.
    pub fn write(&self, report: &Report, reply: &mut Reply<'_>) {
        let mut all = match serde_json::to_value(report) {
            Ok(Value::Object(all)) => all,
            // There is nothing in a report that JSON has no form for.
            _ => Map::new(),
        };
        if !self.sections.is_empty() {
            all.retain(|name, _| self.sections.contains(&name.as_str()));
        }
        match self.style {
            Style::Json => reply.bulk(Value::Object(all).to_string().as_bytes()),
            Style::Text => reply.verbatim(&text(&all)),
            Style::Resp => resp(&Value::Object(readable(all)), reply),
        }
    }
}

/// Without what only programs add up.
fn readable(map: Map<String, Value>) -> Map<String, Value> {
    let shown = map.into_iter().filter(|(name, _)| name != "histogram");
    shown
        .map(|(name, value)| {
            let value = match value {
                Value::Object(map) => Value::Object(readable(map)),
                Value::Array(items) => Value::Array(
                    items
                        .into_iter()
                        .map(|item| match item {
                            Value::Object(map) => Value::Object(readable(map)),
                            other => other,
                        })
                        .collect(),
                ),
                other => other,
            };
            (name, value)
        })
        .collect()
}

fn resp(value: &Value, reply: &mut Reply<'_>) {
    match value {
        Value::Null => reply.null(),
        Value::Bool(yes) => reply.int(i64::from(*yes)),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => reply.int(integer),
            None => reply.double(number.as_f64().unwrap_or(0.0)),
        },
        Value::String(text) => reply.bulk(text.as_bytes()),
        Value::Array(items) => {
            reply.array(items.len());
            items.iter().for_each(|item| resp(item, reply));
        }
        Value::Object(map) => {
            reply.map(map.len());
            for (name, value) in map {
                reply.bulk(name.as_bytes());
                resp(value, reply);
            }
        }
    }
}

/// As INFO has it: a title for each section, and a line for each field or element of a list.
fn text(all: &Map<String, Value>) -> String {
    let mut out = String::new();
    for (name, value) in readable(all.clone()) {
        let (first, rest) = name.split_at(1);
        let mut lines = String::new();
        section(&name, &value, &mut lines);
        if !out.is_empty() {
            out.push_str("\r\n");
        }
        out.push_str(&format!("# {}{rest}\r\n{lines}", first.to_uppercase()));
    }
    out
}

fn section(name: &str, value: &Value, out: &mut String) {
    let mut line = |name: &str, value: &str| {
        out.push_str(&format!("{name}:{value}\r\n"));
    };
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                match value {
                    Value::Array(items) => {
                        for (number, item) in items.iter().enumerate() {
                            line(&format!("{name}_{number}"), &pairs(item));
                        }
                    }
                    Value::Object(_) => line(field, &pairs(value)),
                    value => line(field, &scalar(value)),
                }
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                line(&format!("{name}_{number}"), &pairs(item));
            }
        }
        value => line(name, &scalar(value)),
    }
}

/// `name=value,name=value`, what is nested with the names of both.
fn pairs(value: &Value) -> String {
    let mut out = String::new();
    add_pairs("", value, &mut out);
    out
}

fn add_pairs(prefix: &str, value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                add_pairs(
                    &format!("{prefix}{}{name}", if prefix.is_empty() { "" } else { "_" }),
                    value,
                    out,
                );
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                add_pairs(&format!("{prefix}{number}"), item, out);
            }
        }
        value => {
            let comma = if out.is_empty() { "" } else { "," };
            // Writing to a string cannot fail.
            let written = write!(out, "{comma}{prefix}={}", scalar(value));
            debug_assert!(written.is_ok());
        }
    }
}

/// A number to three places; a text without what would end a field or a line.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text
            .chars()
            .map(|c| if matches!(c, ',' | '=') || c.is_control() { '.' } else { c })
            .collect(),
        Value::Number(number) if number.is_f64() => {
            format!("{:.3}", number.as_f64().unwrap_or(0.0))
        }
        Value::Bool(yes) => u8::from(*yes).to_string(),
        other => other.to_string(),
    }
}

//! JSON for people: objects a line for each field, lists of numbers in one line; and nothing that controls the terminal.

use serde_json::Value;

/// The value, in one line.
pub(super) fn flat(value: &Value) -> String {
    escaped(&value.to_string())
}

/// The value, indented.
pub(in super::super) fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    escaped(&out)
}

/// With those control characters escaped that JSON may have in strings: DEL and those from U+0080 on.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() && c != '\n' {
            out += &format!("\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    let (open, close, items): (_, _, Vec<(String, &Value)>) = match value {
        Value::Object(fields) if !fields.is_empty() => {
            let name = |name: &String| format!("{}: ", Value::String(name.clone()));
            ('{', '}', fields.iter().map(|(field, value)| (name(field), value)).collect())
        }
        // Histograms are lists of pairs, and long: only what has names in it takes lines.
        Value::Array(items) if items.iter().any(Value::is_object) => {
            ('[', ']', items.iter().map(|value| (String::new(), value)).collect())
        }
        flat => return *out += &flat.to_string(),
    };
    out.push(open);
    for (place, (name, value)) in items.into_iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        *out += &format!("{comma}\n{:1$}{name}", "", (depth + 1) * 2);
        write(value, depth + 1, out);
    }
    *out += &format!("\n{:1$}{close}", "", depth * 2);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_indented_and_numbers_are_not() {
        let value = serde_json::json!({
            "a": {"b": 1, "histogram": [[1, 2], [3, 4]]},
            "list": [{"c": "x\n"}, {"c": null}],
            "empty": {},
            "none": [],
        });
        let expected = r#"{
  "a": {
    "b": 1,
    "histogram": [[1,2],[3,4]]
  },
  "list": [
    {
      "c": "x\n"
    },
    {
      "c": null
    }
  ],
  "empty": {},
  "none": []
}"#;
        assert_eq!(pretty(&value), expected);
        assert_eq!(serde_json::from_str::<Value>(&pretty(&value)).unwrap(), value);
    }

    #[test]
    fn strings_cannot_control_the_terminal() {
        let value = serde_json::json!({"\u{9b}2J": "\x1b[2J\x7f\u{80}\u{9f}\u{a0}日"});
        let (name, text) = (r#""\u009b2J""#, "\"\\u001b[2J\\u007f\\u0080\\u009f\u{a0}日\"");
        assert_eq!(flat(&value), format!("{{{name}:{text}}}"));
        assert_eq!(pretty(&value), format!("{{\n  {name}: {text}\n}}"));
        assert_eq!(serde_json::from_str::<Value>(&flat(&value)).unwrap(), value);
    }
}

//! JSON for people: objects a line for each field, lists of numbers in one line.

use serde_json::Value;

/// The value, indented.
pub(super) fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
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
}

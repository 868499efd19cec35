//! Parsing and printing of parameter values, as Redis writes them.

use super::{Kind, parse_number};

/// Parses a number of bytes: `100`, `1k` = 1000, `1kb` = 1024, likewise `m`, `mb`, `g`, `gb`, in any case.
pub fn parse_size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let unit: u64 = match &lower[digits..] {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    lower[..digits].parse::<u64>().ok()?.checked_mul(unit)
}

/// Prints a number of bytes for people, in the largest unit that leaves it whole or nearly so: `256mb`.
pub fn format_size(bytes: u64) -> String {
    for (unit, name) in [(1u64 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")] {
        if bytes >= unit {
            return if bytes.is_multiple_of(unit) {
                format!("{}{name}", bytes / unit)
            } else {
                format!("{:.1}{name}", bytes as f64 / unit as f64)
            };
        }
    }
    format!("{bytes}b")
}

/// The number that stands for `text` in a parameter of this kind; or what is wrong, in Redis's words.
pub(super) fn parse(kind: &Kind, text: &str) -> Result<u64, String> {
    match kind {
        Kind::Bool => match text.to_ascii_lowercase().as_str() {
            "yes" => Ok(1),
            "no" => Ok(0),
            _ => Err("argument must be 'yes' or 'no'".to_owned()),
        },
        Kind::Choice(names) => match names.iter().position(|n| n.eq_ignore_ascii_case(text)) {
            Some(place) => Ok(place as u64),
            None => Err(format!("argument(s) must be one of the following: {}", names.join(", "))),
        },
        Kind::Size { min, max } => {
            let value = parse_size(text).ok_or("argument must be a memory value")?;
            if value < *min || value > *max {
                return Err(format!("argument must be between {min} and {max} inclusive"));
            }
            Ok(value)
        }
        Kind::Number { min, max } => {
            let value = parse_number(text).ok_or("argument couldn't be parsed into an integer")?;
            if value < *min || value > *max {
                return Err(format!("argument must be between {min} and {max} inclusive"));
            }
            Ok(value as u64)
        }
        Kind::Text | Kind::Secret => Ok(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_redis_writes_them() {
        for (text, bytes) in [
            ("0", 0),
            ("100", 100),
            ("1k", 1000),
            ("1KB", 1024),
            ("256mb", 256 << 20),
            ("1Gb", 1 << 30),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["", "mb", "-1", "1.5gb", "12xx", "99999999999gb"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
        assert_eq!(format_size(256 << 20), "256mb");
        assert_eq!(format_size(1536 << 20), "1.5gb");
        assert_eq!(format_size(100), "100b");
    }
}

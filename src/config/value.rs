//! Parsing and printing of parameter values, as Redis writes them.

use super::{Kind, parse_number};
use crate::store::usage::Separator;

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
        Kind::OutputLimits => output_limits("", text).map(|_| 0),
        Kind::Separator if !(1..=Separator::MAX).contains(&text.len()) => {
            Err(format!("argument must be a text of 1 to {} bytes", Separator::MAX))
        }
        Kind::Separator | Kind::Text | Kind::Secret => Ok(0),
    }
}

/// How much a client may be owed before its connection is closed; 0 means any amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OutputLimit {
    /// Bytes beyond which it is closed at once.
    pub hard: u64,
    /// Bytes beyond which it is closed unless it takes them in time.
    pub soft: u64,
    /// That time in seconds.
    pub soft_s: u64,
}

/// `current` with the classes that `text` names changed; or what is wrong, in Redis's words.
pub(super) fn output_limits(current: &str, text: &str) -> Result<String, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (changes, []) = words.as_chunks::<4>() else {
        return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
    };
    let current: Vec<&str> = current.split_whitespace().collect();
    let mut classes: Vec<[String; 4]> =
        current.as_chunks().0.iter().map(|class: &[&str; 4]| class.map(str::to_owned)).collect();
    for [class, hard, soft, seconds] in changes {
        let class = match class.to_ascii_lowercase().as_str() {
            "replica" => "slave".to_owned(),
            name @ ("normal" | "slave" | "pubsub") => name.to_owned(),
            _ => {
                let text = "Invalid client class specified in buffer limit configuration.";
                return Err(text.to_owned());
            }
        };
        let numbers =
            [parse_size(hard), parse_size(soft), seconds.parse::<u32>().ok().map(u64::from)];
        let [Some(hard), Some(soft), Some(seconds)] = numbers else {
            let text = "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
            return Err(text.to_owned());
        };
        let new = [class, hard.to_string(), soft.to_string(), seconds.to_string()];
        match classes.iter_mut().find(|old| old[0] == new[0]) {
            Some(old) => *old = new,
            None => classes.push(new),
        }
    }
    Ok(classes.iter().map(|class| class.join(" ")).collect::<Vec<_>>().join(" "))
}

/// The limit of ordinary clients among those of all classes.
pub(super) fn normal_limit(text: &str) -> OutputLimit {
    let words: Vec<&str> = text.split_whitespace().collect();
    let normal = words.as_chunks::<4>().0.iter().find(|class| class[0] == "normal");
    normal.map_or(OutputLimit::default(), |class| {
        let number = |at: usize| class[at].parse().unwrap_or(0);
        OutputLimit { hard: number(1), soft: number(2), soft_s: number(3) }
    })
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

    #[test]
    fn output_limits_are_changed_a_class_at_a_time() {
        let all = output_limits("", "normal 0 0 0 replica 256mb 64mb 60").unwrap();
        assert_eq!(all, "normal 0 0 0 slave 268435456 67108864 60");
        let all = output_limits(&all, "NORMAL 10mb 1mb 5").unwrap();
        assert_eq!(all, "normal 10485760 1048576 5 slave 268435456 67108864 60");
        let normal = OutputLimit { hard: 10 << 20, soft: 1 << 20, soft_s: 5 };
        assert_eq!(normal_limit(&all), normal);
        for wrong in ["normal", "normal 1 2", "weird 0 0 0", "normal x 0 0", "normal 0 0 -1"] {
            assert!(output_limits(&all, wrong).is_err(), "{wrong}");
        }
    }
}

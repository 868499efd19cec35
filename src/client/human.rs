//! Numbers as people read them.

/// `1234567` as `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.3M`, `256M`: powers of 1024, three digits.
pub(super) fn bytes(number: u64) -> String {
    let mut value = number as f64;
    let mut units = ["B", "K", "M", "G", "T", "P"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    // From 999.5 on, three digits would read 1000.
    while value >= 999.5 {
        let Some(next) = units.next() else { break };
        unit = next;
        value /= 1024.0;
    }
    let digits =
        if value < 99.95 && unit != "B" { format!("{value:.1}") } else { format!("{value:.0}") };
    format!("{}{unit}", digits.strip_suffix(".0").unwrap_or(&digits))
}

/// Microseconds as `9.9µs`, `120µs`, `1.2ms`, `2.5s`.
pub(super) fn latency(micros: f64) -> String {
    match micros {
        n if !n.is_finite() => "-".to_owned(),
        n if n < 9.95 => format!("{n:.1}µs"),
        n if n < 999.5 => format!("{n:.0}µs"),
        n if n < 99_950.0 => format!("{:.1}ms", n / 1e3),
        n if n < 999_500.0 => format!("{:.0}ms", n / 1e3),
        n => format!("{:.1}s", n / 1e6),
    }
}

/// Seconds in the two largest units.
pub(super) fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(12_345_678), "12,345,678");
        for (number, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1K"),
            (1024, "1K"),
            (1536, "1.5K"),
            (12_900_000, "12.3M"),
        ] {
            assert_eq!(bytes(number), text);
        }
        assert_eq!(bytes(268_435_456), "256M");
        assert_eq!(bytes(u64::MAX), "16384P");
        for (micros, text) in
            [(0.5, "0.5µs"), (9.97, "10µs"), (120.4, "120µs"), (999.6, "1.0ms"), (2.5e6, "2.5s")]
        {
            assert_eq!(latency(micros), text);
        }
        assert_eq!(latency(f64::NAN), "-");
        assert_eq!([duration(5), duration(65), duration(7500)], ["5 s", "1 min", "2 h 5 min"]);
        assert_eq!(duration(200_000), "2 d 7 h");
    }
}

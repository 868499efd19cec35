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

/// Exact to nine columns, `9,999,999`, then `10.0M`.
pub(super) fn long_count(number: u64) -> String {
    if number < 10_000_000 { thousands(number) } else { count(number) }
}

/// Exact to `99,999`, then `123k`, `1.23M`: never more than six columns.
pub(super) fn count(number: u64) -> String {
    if number < 100_000 {
        return thousands(number);
    }
    let mut value = number as f64;
    let mut unit = "";
    for next in ["k", "M", "G", "T", "P", "E"] {
        // From 999.5 on, three digits would read 1000.
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$}{unit}")
}

/// So many a second: with a decimal where there are few.
pub(super) fn rate(each_second: f64) -> String {
    if each_second < 9.95 && each_second.fract() != 0.0 {
        return format!("{each_second:.1}");
    }
    count(each_second.round() as u64)
}

/// `12.3MB`, `256MB`: powers of 1024, three digits.
pub(super) fn bytes(number: u64) -> String {
    let mut value = number as f64;
    let mut units = ["B", "KB", "MB", "GB", "TB", "PB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while value >= 999.5 {
        let Some(next) = units.next() else { break };
        unit = next;
        value /= 1024.0;
    }
    let digits =
        if value < 99.95 && unit != "B" { format!("{value:.1}") } else { format!("{value:.0}") };
    format!("{}{unit}", digits.strip_suffix(".0").unwrap_or(&digits))
}

/// A part of a whole as `0.872`; `-` of nothing.
pub(super) fn ratio(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.3}", part as f64 / whole as f64) }
}

/// `0.0723` as `7.2%`.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 9.95 {
        format!("{percent:.1}%")
    } else {
        format!("{percent:.0}%")
    }
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

/// Seconds in their largest unit.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", thousands(seconds / 86_400)),
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
        assert_eq!([9_999_999, 10_000_000].map(long_count), ["9,999,999", "10.0M"]);
        for (number, text) in [
            (99_999, "99,999"),
            (100_000, "100k"),
            (999_499, "999k"),
            (999_500, "1.00M"),
            (12_345_678, "12.3M"),
            (9_996_000_000, "10.0G"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(count(number), text);
        }
        for (number, text) in
            [(0.0, "0"), (0.25, "0.2"), (7.0, "7"), (9.96, "10"), (45e3, "45,000")]
        {
            assert_eq!(rate(number), text);
        }
        for (number, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1KB"),
            (1024, "1KB"),
            (1536, "1.5KB"),
            (12_900_000, "12.3MB"),
        ] {
            assert_eq!(bytes(number), text);
        }
        assert_eq!(bytes(268_435_456), "256MB");
        assert_eq!(bytes(u64::MAX), "16384PB");
        assert_eq!([ratio(0, 0), ratio(3, 4), ratio(4, 4)], ["-", "0.750", "1.000"]);
        assert_eq!(
            [0.0, 0.0004, 0.0996, 0.5, 1.0].map(percent),
            ["0%", "0.0%", "10%", "50%", "100%"]
        );
        for (micros, text) in
            [(0.5, "0.5µs"), (9.97, "10µs"), (120.4, "120µs"), (999.6, "1.0ms"), (2.5e6, "2.5s")]
        {
            assert_eq!(latency(micros), text);
        }
        assert_eq!(latency(f64::NAN), "-");
        assert_eq!([duration(5), duration(65), duration(7500)], ["5 s", "1 min", "2 h 5 min"]);
        assert_eq!(duration(200_000), "2 d 7 h");
        assert_eq!([5, 65, 7500, 200_000].map(age), ["5 s", "1 min", "2 h", "2 d"]);
    }
}

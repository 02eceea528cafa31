//! Numbers, times and foreign text, for people to read in little room.

use std::time::Duration;

/// Writes a count in at most five places: `999`, `12.3k`, `4.5M`.
pub(super) fn count(value: f64) -> String {
    for (unit, suffix) in [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if value >= unit * 0.999_95 {
            let value = value / unit;
            let places = usize::from(value < 99.95);
            return format!("{value:.places$}{suffix}");
        }
    }
    if value > 0.0 && value < 9.95 && value.fract() > 0.05 {
        return format!("{value:.1}");
    }
    format!("{value:.0}")
}

/// Writes a rate, `-` if it isn't known.
pub(super) fn rate(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{}/s", count(value)))
}

/// Writes a time in at most six places: `12µs`, `3.4ms`, `2.1s`, `4m05s`, `3h12m`, `2d05h`.
pub(super) fn time(time: Duration) -> String {
    let nanos = time.as_nanos();
    let seconds = time.as_secs();
    match seconds {
        0 if nanos < 1_000 => format!("{nanos}ns"),
        0 if nanos < 1_000_000 => format!("{}µs", nanos / 1_000),
        0 if nanos < 10_000_000 => format!("{:.1}ms", time.as_secs_f64() * 1e3),
        0 => format!("{}ms", nanos / 1_000_000),
        1..10 => format!("{:.1}s", time.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Writes a time given in milliseconds, `-` if it isn't known.
pub(super) fn millis(ms: Option<u64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| time(Duration::from_millis(ms)))
}

/// Replaces what could steer a terminal: names of tasks may come from anywhere.
pub(super) fn without_controls(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        for (value, expected) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (7.0, "7"),
            (999.0, "999"),
            (1000.0, "1.0k"),
            (12_345.0, "12.3k"),
            (99_990.0, "100k"),
            (999_960.0, "1.0M"),
            (4.5e6, "4.5M"),
            (7.25e9, "7.2G"),
        ] {
            assert_eq!(count(value), expected);
        }
        assert_eq!(rate(None), "-");
        assert_eq!(rate(Some(2000.0)), "2.0k/s");
    }

    #[test]
    fn times() {
        for (time_ns, expected) in [
            (0, "0ns"),
            (12_345, "12µs"),
            (3_400_000, "3.4ms"),
            (250_000_000, "250ms"),
            (2_140_000_000, "2.1s"),
            (45_000_000_000, "45s"),
            (245_000_000_000, "4m05s"),
            (11_520_000_000_000, "3h12m"),
            (190_800_000_000_000, "2d05h"),
        ] {
            assert_eq!(time(Duration::from_nanos(time_ns)), expected);
        }
        assert_eq!(millis(None), "-");
    }

    #[test]
    fn controls_are_replaced() {
        assert_eq!(
            without_controls("a\tb\n\u{1b}[2Jc\r"),
            "a\tb\n\u{fffd}[2Jc\u{fffd}"
        );
    }
}

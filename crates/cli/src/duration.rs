//! Durations on the command line: `250ms`, `2s`, `1.5s`, `5m`, `1h`; a bare number means seconds.

use std::time::Duration;

/// Longest duration taken, in seconds: a hundred years, so that adding one to "now" can't overflow.
const SECONDS_MAX: f64 = 100.0 * 365.0 * 86_400.0;

/// Parses a duration, zero included. The error is a sentence for clap to print.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| {
        "expected a number and a unit, such as 100ms, 2s, 1.5s, 5m or 1h".to_owned()
    })?;
    let seconds = match unit.trim_start() {
        "ns" => number / 1e9,
        "us" | "µs" => number / 1e6,
        "ms" => number / 1e3,
        "" | "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        "d" => number * 86_400.0,
        other => return Err(format!("unknown unit {other:?}: use ms, s, m or h")),
    };
    if seconds > SECONDS_MAX {
        return Err("that is longer than a hundred years".to_owned());
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// Parses a duration that must be more than nothing, such as a timeout.
pub(crate) fn parse_positive(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err("it must be more than 0".to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, expected) in [
            ("0", Duration::ZERO),
            ("0ms", Duration::ZERO),
            ("100ms", Duration::from_millis(100)),
            ("2s", Duration::from_secs(2)),
            ("2 s", Duration::from_secs(2)),
            ("1.5s", Duration::from_millis(1500)),
            (".5s", Duration::from_millis(500)),
            ("30", Duration::from_secs(30)),
            ("5m", Duration::from_secs(300)),
            ("1h", Duration::from_secs(3600)),
            ("7us", Duration::from_micros(7)),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "s",
            "ms",
            "-1s",
            "1x",
            "1..2s",
            "1e3s",
            "inf",
            "NaN",
            "99999999999h",
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken");
        }
        assert!(parse_positive("0s").is_err());
        assert_eq!(parse_positive("1ms"), Ok(Duration::from_millis(1)));
    }
}

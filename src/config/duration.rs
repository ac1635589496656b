//! Spans of time: seconds as a number, or a number with its unit, such as `"500ms"`, `"15s"`, `"5m"`, `"1h"`, `"2d"`.

use std::time::Duration;

/// Longest time a key may be set to. Far deadlines must not overflow the clock they are added to.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Reads a number with its unit; a bare number is seconds. `None` if it is neither, or beyond [`LONGEST`].
pub(super) fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let factor = match unit.trim_start() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    from_seconds(number.parse::<f64>().ok()? * factor)
}

/// A number of seconds as a duration, to the millisecond; `None` if it is negative, not finite or beyond [`LONGEST`].
pub(super) fn from_seconds(seconds: f64) -> Option<Duration> {
    let exact = Duration::try_from_secs_f64(seconds).ok()?;
    let whole = Duration::from_millis(u64::try_from((exact + Duration::from_micros(500)).as_millis()).ok()?);
    (whole <= LONGEST).then_some(whole)
}

/// The shortest text that [`parse`] reads back as the same duration.
pub(super) fn show(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (count, unit) = match millis {
        0 => (0, "s"),
        _ if !millis.is_multiple_of(1000) => (millis, "ms"),
        _ if !millis.is_multiple_of(60_000) => (millis / 1000, "s"),
        _ if !millis.is_multiple_of(3_600_000) => (millis / 60_000, "m"),
        _ => (millis / 3_600_000, "h"),
    };
    format!("{count}{unit}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_read() {
        let cases = [
            ("500ms", 500),
            ("15s", 15_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("1.5s", 1_500),
            ("7", 7_000),
            (" 2 min ", 120_000),
            ("0", 0),
        ];
        for (text, millis) in cases {
            assert_eq!(parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "s",
            "-1s",
            "1 week",
            "1h30m",
            "nan",
            "inf",
            "1e9s",
            "367d",
            "1..2s",
            "99999999999999999999d",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        for seconds in [-0.5, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(from_seconds(seconds), None, "{seconds}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(millis in 0_u64..=31_536_000_000) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&show(duration)), Some(duration));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}") {
            if let Some(duration) = parse(&text) {
                prop_assert!(duration <= LONGEST);
            }
        }
    }
}

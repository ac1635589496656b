//! Time limits that a policy sets and a session may tighten, never loosen.

use std::time::Duration;

/// The settings that limit time and that every supported version knows (PostgreSQL manual, 20.11.1).
pub(in crate::guard) const NAMES: [&str; 3] = [
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
];

/// The longest value of each setting that a policy limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeouts(Vec<(&'static str, Duration)>);

impl Timeouts {
    /// Limits of at least a millisecond.
    pub(in crate::guard) fn new(limits: Vec<(&'static str, Duration)>) -> Self {
        Self(limits)
    }

    /// Each limited setting in lower case, with the value in force of a session that asks for `wanted`.
    pub fn in_force<'v>(
        &self,
        wanted: impl Fn(&str) -> Option<&'v str>,
    ) -> impl Iterator<Item = (&'static str, String)> {
        self.0.iter().map(move |(name, limit)| {
            let asked = wanted(name)
                .and_then(read)
                .filter(|time| !time.is_zero() && time < limit);
            (*name, format!("{}ms", asked.unwrap_or(*limit).as_millis().max(1)))
        })
    }

    /// The limit of a setting, its name in lower case.
    pub(in crate::guard) fn limit(&self, name: &str) -> Option<Duration> {
        let found = self.0.iter().find(|(limited, _)| *limited == name);
        found.map(|(_, limit)| *limit)
    }

    /// Whether a value keeps within the limit of a setting; one that cannot be read does not.
    pub(in crate::guard) fn permit(&self, name: &str, value: &str) -> bool {
        self.limit(name)
            .is_none_or(|limit| read(value).is_some_and(|time| !time.is_zero() && time <= limit))
    }
}

/// A time as PostgreSQL reads the value of a setting in milliseconds: digits, perhaps a fraction, a unit or none
/// (`parse_int` and `convert_to_base_unit` of guc.c). `None` for anything else, negative numbers and what is too
/// large included; a little that the server would read as well (hexadecimal digits, exponents) is among it.
pub(in crate::guard) fn read(value: &str) -> Option<Duration> {
    let value = value.trim_matches(|c: char| c.is_ascii_whitespace());
    let digits = value
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(value.len());
    let (number, unit) = value.split_at(digits);
    // Octal, as C reads it, is not what it looks like.
    let is_octal = number.len() > 1 && number.starts_with('0') && !number.contains('.');
    if !number.starts_with(|c: char| c.is_ascii_digit()) || is_octal {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    let millis = match unit.trim_start() {
        "us" => number / 1e3,
        "" | "ms" => number,
        "s" => number * 1e3,
        "min" => number * 6e4,
        "h" => number * 3.6e6,
        "d" => number * 8.64e7,
        _ => return None,
    };
    // The settings are 32-bit integers.
    (millis <= f64::from(i32::MAX)).then(|| Duration::from_millis(millis.round_ties_even() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_the_server_reads_them() {
        for (value, millis) in [
            ("0", 0),
            ("1500", 1_500),
            (" 30s ", 30_000),
            ("30 s", 30_000),
            ("1.5min", 90_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("900us", 1),
            ("100us", 0),
            ("0.4", 0),
        ] {
            assert_eq!(read(value), Some(Duration::from_millis(millis)), "{value:?}");
        }
        for value in [
            "", "-1", "s", "1S", "1 week", "0x10", "010", "1e3", "30d", "1.2.3", ".5", "NaN",
        ] {
            assert_eq!(read(value), None, "{value:?}");
        }
    }

    #[test]
    fn a_session_gets_the_stricter_of_its_value_and_the_limit() {
        let limits = Timeouts::new(vec![("statement_timeout", Duration::from_secs(30))]);
        let in_force = |wanted: Option<&'static str>| limits.in_force(move |_| wanted).next().unwrap().1;
        assert_eq!(in_force(None), "30000ms");
        assert_eq!(in_force(Some("5s")), "5000ms");
        for loose in ["0", "1min", "nonsense", "100us"] {
            assert_eq!(in_force(Some(loose)), "30000ms", "{loose}");
            assert!(!limits.permit("statement_timeout", loose), "{loose}");
        }
        assert!(limits.permit("statement_timeout", "30s") && limits.permit("lock_timeout", "0"));
    }
}

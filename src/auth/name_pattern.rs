//! Names of users, several at a time.

use std::fmt;

/// A name, or what names begin and end with: `svc_*`, `*@oauth`, `a*z`, `*`. Case matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    start: String,
    /// `None`: the whole name is `start`.
    end: Option<String>,
}

impl NamePattern {
    /// Reads a pattern; `None` if it is empty or has more than one `*`.
    pub fn parse(text: &str) -> Option<Self> {
        let (start, end) = match text.split_once('*') {
            Some((start, end)) => (start, Some(end)),
            None => (text, None),
        };
        if text.is_empty() || end.is_some_and(|end| end.contains('*')) {
            return None;
        }
        Some(Self {
            start: start.to_owned(),
            end: end.map(str::to_owned),
        })
    }

    /// Whether the pattern stands for this name.
    pub fn matches(&self, name: &str) -> bool {
        match &self.end {
            None => name == self.start,
            Some(end) => name
                .strip_prefix(self.start.as_str())
                .is_some_and(|rest| rest.ends_with(end.as_str())),
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.start)?;
        match &self.end {
            Some(end) => write!(f, "*{end}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, yes, no) in [
            ("svc_*", vec!["svc_", "svc_a"], vec!["svc", "Svc_a", "asvc_"]),
            ("*@oauth", vec!["@oauth", "a@oauth"], vec!["a@oauth2"]),
            ("a*a", vec!["aa", "aba"], vec!["a", "ab"]),
            ("*", vec!["", "x"], vec![]),
            ("bi", vec!["bi"], vec!["b", "bii", ""]),
        ] {
            let parsed = NamePattern::parse(pattern).unwrap();
            assert_eq!(parsed.to_string(), pattern);
            assert!(yes.iter().all(|name| parsed.matches(name)), "{pattern}");
            assert!(!no.iter().any(|name| parsed.matches(name)), "{pattern}");
        }
        for bad in ["", "**", "a*b*"] {
            assert!(NamePattern::parse(bad).is_none(), "{bad}");
        }
    }
}

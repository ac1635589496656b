//! Startup options that are meant for us and not for the session: a token, and how it will come.
//!
//! They are taken out of the startup packet before anybody else looks at it, so that the token cannot come to
//! be a setting, an error message or a line in the log.

use super::LoginError;
use super::startup::{requoted, split};
use crate::base::Secret;
use crate::wire::startup::Startup;

/// The setting that carries a token, for drivers whose password is too short for one.
const TOKEN: &str = "portcullis.token";

/// The setting that says how the client wants to be asked for its token.
const AUTH: &str = "portcullis.auth";

/// What a client has told us in its startup options.
#[derive(Debug, Default)]
pub(super) struct OwnOptions {
    /// Its token: no password is asked for.
    pub(super) token: Option<Secret>,
    /// How it wants to send its token, whoever it is.
    pub(super) way: Option<TokenWay>,
}

/// How a token comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenWay {
    /// By SASL OAUTHBEARER.
    OAuth,
    /// As the password in clear text.
    Password,
}

impl OwnOptions {
    /// Takes them out of a startup packet, the last of a kind winning: `-c name=value` and `--name=value` in
    /// `options`, and parameters of these names.
    pub(super) fn take(startup: &mut Startup) -> Result<Self, LoginError> {
        let mut own = Self::default();
        let mut kept = Vec::with_capacity(startup.parameters.len());
        for (name, value) in std::mem::take(&mut startup.parameters) {
            if name == "options" {
                kept.push((name, own.take_words(value)?));
            } else if !own.take_pair(&name, &value)? {
                kept.push((name, value));
            }
        }
        startup.parameters = kept;
        Ok(own)
    }

    /// Takes them out of `options`; what is left means what it did.
    fn take_words(&mut self, options: String) -> Result<String, LoginError> {
        let mut kept = Vec::new();
        let words = split(&options);
        let all = words.len();
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            let long = word.strip_prefix("--");
            let assignment = match long.or_else(|| word.strip_prefix("-c")) {
                Some("") if long.is_none() => words.peek().map(String::as_str),
                other => other,
            };
            let pair = assignment.and_then(|text| text.split_once('='));
            // As the server: dashes stand for underscores, which these names have none of.
            let taken = match pair {
                Some((name, value)) => self.take_pair(name, value)?,
                None => false,
            };
            match (taken, word == "-c") {
                (true, true) => drop(words.next()),
                (true, false) => {}
                (false, true) => {
                    kept.push(word);
                    kept.extend(words.next());
                }
                (false, false) => kept.push(word),
            }
        }
        Ok(if kept.len() == all {
            options
        } else {
            requoted(&kept)
        })
    }

    fn take_pair(&mut self, name: &str, value: &str) -> Result<bool, LoginError> {
        if name.eq_ignore_ascii_case(TOKEN) {
            self.token = Some(Secret::new(value.as_bytes()));
            return Ok(true);
        }
        if name.eq_ignore_ascii_case(AUTH) {
            self.way = Some(match value {
                "oauth" => TokenWay::OAuth,
                "password" => TokenWay::Password,
                _ => return Err(LoginError::NoSuchWay),
            });
            return Ok(true);
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn startup(parameters: &[(&str, &str)]) -> Startup {
        Startup {
            minor: 0,
            parameters: parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn taken(parameters: &[(&str, &str)]) -> (OwnOptions, Startup) {
        let mut startup = startup(parameters);
        (OwnOptions::take(&mut startup).unwrap(), startup)
    }

    fn token(own: &OwnOptions) -> Option<&[u8]> {
        own.token.as_ref().map(Secret::expose)
    }

    #[test]
    fn they_are_taken_out_and_the_rest_stays() {
        for options in [
            "-c portcullis.token=a.b.c",
            "-cportcullis.token=a.b.c",
            "--portcullis.token=a.b.c",
            "-c PortCullis.Token=a.b.c",
            "-c portcullis.token=x -c portcullis.token=a.b.c",
        ] {
            let (own, left) = taken(&[("user", "x"), ("options", options)]);
            assert_eq!(token(&own), Some(&b"a.b.c"[..]), "{options}");
            assert_eq!(left.get("options"), Some(""), "{options}");
        }
        let options =
            r"-c search_path=a\ b --portcullis.token=t -cgeqo=off -c portcullis.auth=oauth -c x=\\y";
        let (own, left) = taken(&[("options", options)]);
        assert_eq!((token(&own), own.way), (Some(&b"t"[..]), Some(TokenWay::OAuth)));
        assert_eq!(
            left.get("options"),
            Some(r"-c search_path=a\ b -cgeqo=off -c x=\\y")
        );
        let (own, left) = taken(&[("portcullis.token", "t"), ("user", "x")]);
        assert_eq!(token(&own), Some(&b"t"[..]));
        assert_eq!(left, startup(&[("user", "x")]));
        assert!(format!("{own:?}").contains("<secret>"));
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        for options in [
            "",
            "-c",
            "-c x",
            "--",
            "-d 5",
            "-c portcullis.token",
            "-c portcullis.tokens=x",
        ] {
            let (own, left) = taken(&[("options", options)]);
            assert!(own.token.is_none(), "{options}");
            assert_eq!(left.get("options"), Some(options));
        }
        let mut other = startup(&[("options", "-c portcullis.auth=magic")]);
        assert!(matches!(OwnOptions::take(&mut other), Err(LoginError::NoSuchWay)));
    }

    proptest! {
        #[test]
        fn words_survive(words in proptest::collection::vec("[a-z \\\\=ü-]{1,8}", 0..6)) {
            prop_assert_eq!(split(&requoted(&words)), words);
        }
    }
}

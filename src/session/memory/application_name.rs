//! The `application_name` of a session's transactions: what `pg_stat_activity` and the server's log show of them.

use std::borrow::Cow;

use crate::auth::Principal;
use crate::session::memory::settings::set;

/// Whether operators see who is behind a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApplicationName {
    /// The client's own name, if it gives one.
    #[default]
    AsGiven,
    /// The subject of its token behind it.
    WithSubject,
}

/// The setting, as the session keeps it.
pub(in crate::session) const APPLICATION_NAME: &str = "application_name";

/// Most bytes of the name: the server cuts it there (`NAMEDATALEN`, pg_config_manual.h).
const NAME_BYTES: usize = 63;

/// What stands between name and subject.
const BETWEEN: &str = " - ";

impl ApplicationName {
    /// The subject to add, as it is shown; `None` if none is to be added, or there is none.
    pub(in crate::session) fn subject(self, principal: &Principal) -> Option<Box<str>> {
        match self {
            Self::AsGiven => None,
            Self::WithSubject => principal
                .subject()
                .map(printable)
                .filter(|subject| !subject.is_empty()),
        }
    }
}

/// A session's settings as its transactions have them: the subject is part of the name.
pub(in crate::session) fn with_subject<'s>(
    settings: &'s [(String, String)],
    subject: Option<&str>,
) -> Cow<'s, [(String, String)]> {
    let Some(subject) = subject else {
        return Cow::Borrowed(settings);
    };
    let own = settings.iter().find(|(name, _)| name == APPLICATION_NAME);
    let shown = named(own.map_or("", |(_, value)| value), subject);
    let mut settings = settings.to_vec();
    set(&mut settings, APPLICATION_NAME, Some(shown));
    Cow::Owned(settings)
}

/// `name - subject`. It is the name that is cut if both are too long together: a client cannot push its subject out
/// by a long name. One that sets what it was shown does not get its subject twice.
fn named(name: &str, subject: &str) -> String {
    let own = name
        .strip_suffix(subject)
        .and_then(|own| own.strip_suffix(BETWEEN));
    let own = printable(if name == subject { "" } else { own.unwrap_or(name) });
    let room = NAME_BYTES.saturating_sub(subject.len() + BETWEEN.len());
    match own.get(..own.len().min(room)) {
        None | Some("") => subject.to_owned(),
        Some(own) => format!("{own}{BETWEEN}{subject}"),
    }
}

/// A text as the server shows it in a name, and no longer: printable ASCII (`pg_clean_ascii`, string.c). What else
/// there is becomes `?`, as up to PostgreSQL 15; later ones write it out, which would not fit.
fn printable(text: &str) -> Box<str> {
    let shown = text.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' });
    shown.take(NAME_BYTES).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_subject_stands_behind_the_name() {
        assert_eq!(named("psql", "alice"), "psql - alice");
        assert_eq!(named("", "alice"), "alice");
        assert_eq!(named("psql - alice", "alice"), "psql - alice");
        assert_eq!(named("alice", "alice"), "alice");
        assert_eq!(named("psql - bob", "alice"), "psql - bob - alice");
        assert_eq!(named("a\nb\u{e9}", "alice"), "a?b? - alice");
        assert_eq!(&*printable("al\0i\u{1f600}ce\n"), "al?i?ce?");
    }

    #[test]
    fn a_long_name_does_not_push_the_subject_out() {
        let shown = named(&"n".repeat(63), "alice");
        assert_eq!(shown, format!("{} - alice", "n".repeat(55)));
        let long = printable(&"s".repeat(100));
        assert_eq!(named("psql", &long), "s".repeat(63));
        assert_eq!(named("psql", &"s".repeat(60)), "s".repeat(60));
        assert_eq!(named("psql", &"s".repeat(59)), format!("p - {}", "s".repeat(59)));
    }

    #[test]
    fn settings_without_a_subject_stay_as_they_are() {
        let settings = [("zone".to_owned(), "UTC".to_owned())];
        assert!(matches!(with_subject(&settings, None), Cow::Borrowed(_)));
        let shown = with_subject(&settings, Some("alice"));
        let names: Vec<_> = shown.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(names, [("application_name", "alice"), ("zone", "UTC")]);
    }

    proptest! {
        #[test]
        fn whatever_comes_fits_and_ends_in_the_subject(name in "\\PC{0,80}", subject in any::<String>()) {
            let subject = printable(&subject);
            let shown = named(&name, &subject);
            prop_assert!(shown.len() <= NAME_BYTES && shown.bytes().all(|b| matches!(b, b' '..=b'~')));
            prop_assert!(shown.ends_with(&*subject));
            prop_assert_eq!(named(&shown, &subject), shown);
        }
    }
}

//! How an error of the server reads to the client, whose text was another than the server's: a statement of a
//! longer string, or one with the server's name of a prepared statement in it.

use std::ops::Range;
use std::sync::Arc;

use super::statement::Statement;
use crate::guard::{Cleared, StatementName};
use crate::wire::reword;

/// What the client's text was.
#[derive(Debug)]
pub(crate) struct Wording {
    /// The client's whole text, and where in it the statement begins.
    whole: Arc<str>,
    start: usize,
    renamed: Option<Renamed>,
}

/// A name of ours in the place of the client's.
#[derive(Debug)]
struct Renamed {
    /// The bytes of the statement that spell the client's.
    place: Range<usize>,
    name: Box<str>,
    ours: String,
}

impl Wording {
    /// For a statement sent as it is; `None` if it begins its text, so that there is nothing to reword.
    pub(crate) fn of(cleared: &Cleared) -> Option<Box<Self>> {
        (cleared.start() > 0).then(|| Self::part(cleared.whole(), cleared.start()))
    }

    /// For a part of a text, which begins at this byte of it.
    pub(crate) fn part(whole: &Arc<str>, start: usize) -> Box<Self> {
        Box::new(Self {
            whole: Arc::clone(whole),
            start,
            renamed: None,
        })
    }

    /// For a statement sent with a name of ours, quoted, in the place of the client's.
    pub(crate) fn renamed(cleared: &Cleared, theirs: &StatementName, ours: &str) -> Box<Self> {
        Box::new(Self {
            whole: Arc::clone(cleared.whole()),
            start: cleared.start(),
            renamed: Some(Renamed {
                place: theirs.place.clone(),
                name: theirs.name.clone(),
                ours: ours.to_owned(),
            }),
        })
    }

    /// Appends the server's error as the client's.
    pub(crate) fn put_error(&self, out: &mut Vec<u8>, body: &[u8]) {
        let names = self
            .renamed
            .as_ref()
            .map(|renamed| (renamed.ours.as_str(), &*renamed.name));
        reword::error(out, body, |at| self.position(at), names);
    }

    /// A position in the client's text, in characters from 1 as the server's.
    fn position(&self, at: usize) -> usize {
        let (before, sql) = self.whole.split_at_checked(self.start).unwrap_or(("", ""));
        let mut at = at;
        if let Some(renamed) = &self.renamed {
            let chars = |range| sql.get(range).map_or(0, |text: &str| text.chars().count());
            let until_name = chars(0..renamed.place.start);
            // Quoted, and made of ASCII.
            let ours = renamed.ours.len() + 2;
            if at > until_name + ours {
                at = at - ours + chars(renamed.place.clone());
            } else {
                at = at.min(until_name + 1);
            }
        }
        before.chars().count() + at
    }
}

/// Appends the server's error at a Bind with the client's name of the statement, which the server may know by one
/// of ours, or as its unnamed one.
pub(crate) fn put_bind_error(out: &mut Vec<u8>, body: &[u8], statement: &Statement, name: &[u8]) {
    let name = String::from_utf8_lossy(name);
    let ours = statement.prepared().name();
    let named = body.windows(ours.len()).any(|part| part == ours.as_bytes());
    if named {
        reword::error(out, body, |at| at, Some((ours, &name)));
    } else {
        reword::error(out, body, |at| at, Some(("\"\"", &format!("\"{name}\""))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_the_whole_text() {
        let whole: Arc<str> = "SELECT 'ä'; EXECUTE  plan(1, x)".into();
        let mut wording = Wording {
            start: whole.find("EXECUTE").unwrap(),
            whole,
            renamed: None,
        };
        assert_eq!(wording.position(1), 13);
        wording.renamed = Some(Renamed {
            place: 9..13,
            name: "plan".into(),
            ours: "p_abcdef_12".into(),
        });
        // EXECUTE  "p_abcdef_12"(1, x)
        assert_eq!(wording.position(1), 13);
        assert_eq!(wording.position(12), 22, "in the name");
        assert_eq!(wording.position(23), 26, "behind the name");
        assert_eq!(wording.position(27), 30, "x");
    }
}

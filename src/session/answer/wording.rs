//! How an error of the server reads to the client, whose text was another than the server's: a statement of a
//! longer string, one with the server's name of a prepared statement in it, or one with numbers in the place of
//! parameters.

use std::ops::Range;
use std::sync::Arc;

use crate::guard::{Cleared, Qualified, StatementName};
use crate::session::memory::statement::Statement;
use crate::wire::reword;

/// What the client's text was.
#[derive(Debug)]
pub(crate) struct Wording {
    /// The client's whole text, and where in it the statement begins.
    whole: Arc<str>,
    start: usize,
    renamed: Option<Renamed>,
    /// The bytes of it that are numbers, in the place of the server's parameters. Then all of it is ASCII.
    numbers: Arc<[Range<usize>]>,
    qualified: Option<Arc<Qualified>>,
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
    /// For a statement sent as it is, but for names that were qualified; `None` if it begins its text, so that there is
    /// nothing to reword.
    pub(crate) fn of(cleared: &Cleared) -> Option<Box<Self>> {
        let qualified = cleared.only_sets().map(Arc::clone);
        (cleared.start() > 0 || qualified.is_some()).then(|| {
            let mut wording = Self::part(cleared.whole(), cleared.start());
            wording.qualified = qualified;
            wording
        })
    }

    /// For a statement of the extended protocol: its whole text was sent, unless names were qualified in it.
    pub(crate) fn of_settings(statement: &Statement) -> Option<Box<Self>> {
        statement.qualified()?;
        statement.cleared().and_then(Self::of)
    }

    /// For a part of a text, which begins at this byte of it.
    pub(crate) fn part(whole: &Arc<str>, start: usize) -> Box<Self> {
        Box::new(Self {
            whole: Arc::clone(whole),
            start,
            renamed: None,
            numbers: Arc::default(),
            qualified: None,
        })
    }

    /// For a text sent with parameters in the place of these numbers.
    pub(crate) fn numbered(whole: &Arc<str>, numbers: &Arc<[Range<usize>]>) -> Box<Self> {
        Box::new(Self {
            whole: Arc::clone(whole),
            start: 0,
            renamed: None,
            numbers: Arc::clone(numbers),
            qualified: None,
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
            numbers: Arc::default(),
            qualified: None,
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
        let at = match &self.qualified {
            Some(qualified) => qualified.position_of(at),
            None => self.before_numbering(at),
        };
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

    /// A position in the text with the numbers, for one in the text with the parameters.
    fn before_numbering(&self, at: usize) -> usize {
        let (mut theirs, mut ours) = (1, 1);
        for (number, range) in (1_usize..).zip(&*self.numbers) {
            // As far as the next parameter both are the same.
            let parameter = ours + (range.start + 1 - theirs);
            let behind = parameter + 1 + number.to_string().len();
            if at < behind {
                return theirs + at.min(parameter) - ours;
            }
            (theirs, ours) = (range.end + 1, behind);
        }
        theirs + at - ours
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
            numbers: Arc::default(),
            qualified: None,
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

    #[test]
    fn positions_are_those_of_the_text_with_the_numbers() {
        let text = "SELECT a FROM t WHERE b = 12345 AND c = 7 AND d = e";
        let wording = Wording {
            start: 0,
            whole: text.into(),
            renamed: None,
            numbers: Arc::new([26..31, 40..41]),
            qualified: None,
        };
        let sent = "SELECT a FROM t WHERE b = $1 AND c = $2 AND d = e";
        for word in ["SELECT", "b =", "AND c", "c =", "AND d", "d =", "e"] {
            let find = |text: &str| text.rfind(word).unwrap() + 1;
            assert_eq!(wording.position(find(sent)), find(text), "{word}");
        }
        assert_eq!(wording.position(27), 27, "the first number");
        assert_eq!(wording.position(28), 27, "within it");
        assert_eq!(wording.position(38), 41, "the second");
    }
}

//! COPY: what it copies, and between whom.

use crate::guard::text::lexer::Kw;
use crate::guard::text::statement::Statement;

/// What a COPY statement does.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::guard) struct Copy {
    pub(in crate::guard) end: CopyEnd,
    /// The tokens of `COPY (query)`.
    pub(in crate::guard) query: Option<(usize, usize)>,
    /// Where the name of the table begins, if it copies one.
    pub(in crate::guard) table: Option<usize>,
    /// Where the condition begins by which lines are taken: behind the WHERE.
    pub(in crate::guard) condition: Option<usize>,
}

/// Where the data comes from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::guard) enum CopyEnd {
    /// `FROM STDIN`
    FromClient,
    /// `TO STDOUT`
    ToClient,
    /// A file or program of the server.
    Server,
}

/// Reads a COPY statement (`CopyStmt` of gram.y); `None` if it is not formed as the grammar has it.
pub(in crate::guard) fn read(statement: &Statement<'_>) -> Option<Copy> {
    let (query, table, at) = if statement.is_punct(1, b'(') {
        let close = statement.closing(1);
        (Some((2, close)), None, close + 1)
    } else {
        let is_word = statement.kw(1) == Kw::Binary && statement.name(2).is_some();
        // `COPY binary TO …` copies a table of that name.
        let from = if is_word && !matches!(statement.kw(2), Kw::From | Kw::To) {
            2
        } else {
            1
        };
        let end = statement.after_name(from);
        let end = if statement.is_punct(end, b'(') {
            statement.closing(end) + 1
        } else {
            end
        };
        (None, Some(from), end)
    };
    let is_from = match statement.kw(at) {
        Kw::From if query.is_none() => true,
        Kw::To => false,
        _ => return None,
    };
    // The server takes STDIN and STDOUT for one another.
    let end = match statement.kw(at + 1) {
        Kw::Stdin | Kw::Stdout if is_from => CopyEnd::FromClient,
        Kw::Stdin | Kw::Stdout => CopyEnd::ToClient,
        Kw::Program => CopyEnd::Server,
        _ if statement.is_string(at + 1) => CopyEnd::Server,
        _ => return None,
    };
    // Options are in parentheses or words that cannot be WHERE.
    let condition = (at + 2..statement.len()).find(|at| statement.kw(*at) == Kw::Where);
    Some(Copy {
        end,
        query,
        table,
        condition: condition.map(|at| at + 1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::limits::Limits;
    use crate::guard::text::lexer::lex;

    #[test]
    fn the_ends_are_told_apart() {
        for (text, end) in [
            ("COPY t FROM STDIN", Some(CopyEnd::FromClient)),
            ("COPY t FROM STDOUT", Some(CopyEnd::FromClient)),
            (
                "COPY s.t (a, b) FROM STDIN WITH (FORMAT csv) WHERE a > 1",
                Some(CopyEnd::FromClient),
            ),
            ("COPY BINARY t TO STDOUT", Some(CopyEnd::ToClient)),
            ("COPY binary TO STDOUT", Some(CopyEnd::ToClient)),
            (
                "COPY (SELECT 1 FROM (SELECT 2) x) TO STDOUT",
                Some(CopyEnd::ToClient),
            ),
            ("COPY t FROM '/etc/passwd'", Some(CopyEnd::Server)),
            ("COPY t TO PROGRAM 'sh'", Some(CopyEnd::Server)),
            ("COPY t TO E'x'", Some(CopyEnd::Server)),
            ("COPY (SELECT 1) FROM STDIN", None),
            ("COPY t", None),
            ("COPY t FROM $1", None),
        ] {
            let tokens = lex(text, &Limits::default()).unwrap();
            let copy = read(&Statement {
                text,
                tokens: &tokens,
            });
            assert_eq!(copy.map(|copy| copy.end), end, "{text}");
        }
    }
}

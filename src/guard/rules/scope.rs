//! Which schemas a text may name, where tenants are told apart by schema and share a role: the server would let it
//! have any of them.
//!
//! Most texts name no schema but the server's own, so their verdict is the same for all tenants and is kept once. Only
//! one that asks for more depends on whose it is.

use crate::guard::reading::class::StatementClass;
use crate::guard::reading::prepared::prepared_query;
use crate::guard::reading::schema_names::{Content, each_schema};
use crate::guard::text::lexer::{Kw, TokenKind};
use crate::guard::text::statement::Statement;
use crate::guard::verdict::denial::Denial;
use crate::tenant::Schemas;

/// Schemas of the server's own, which hold no tenant's rows.
const SYSTEM: [&str; 2] = ["pg_catalog", "information_schema"];

/// The rule of a refusal that is none yet: the text names a schema, and whose text it is was not said.
pub(in crate::guard) const ASKED: &str = "schema.asked";

/// Settings that say where names without a schema are looked for.
const PATHS: [&str; 2] = ["search_path", "default_text_search_config"];

/// Types whose literals are names (`reg*`), as far as a schema may stand in them.
const NAME_TYPES: [&str; 9] = [
    "regclass",
    "regproc",
    "regprocedure",
    "regoper",
    "regoperator",
    "regtype",
    "regconfig",
    "regdictionary",
    "regcollation",
];

/// Functions whose first argument of several names a text search configuration or dictionary.
const TEXT_SEARCH: [&str; 9] = [
    "to_tsvector",
    "to_tsquery",
    "plainto_tsquery",
    "phraseto_tsquery",
    "websearch_to_tsquery",
    "json_to_tsvector",
    "jsonb_to_tsvector",
    "ts_lexize",
    "ts_debug",
];

/// Functions that draw from a sequence, or tell what was drawn, by its name.
const SEQUENCES: [&str; 3] = ["nextval", "currval", "setval"];

/// Whose text it is, as far as that matters for the schemas it names.
#[derive(Clone, Copy, Debug)]
pub(in crate::guard) enum Scope<'p> {
    /// One that may name every schema.
    Everywhere,
    /// One on a route whose schemas are told apart, whichever: what it names besides the server's own is asked.
    Someones,
    /// One that may name these.
    Of(&'p Schemas),
}

impl Scope<'_> {
    /// Tells scopes apart in the verdict cache.
    pub(in crate::guard) fn id(self) -> u64 {
        match self {
            Self::Everywhere => 0,
            Self::Someones => 1,
            Self::Of(schemas) => schemas.id(),
        }
    }

    /// Whether names are held to some schemas.
    pub(in crate::guard) fn is_held(self) -> bool {
        !matches!(self, Self::Everywhere)
    }

    /// Judges every schema that a statement of this class names outside literals, and names in literals that are cast.
    pub(in crate::guard) fn judge(
        self,
        statement: &Statement<'_>,
        class: StatementClass,
    ) -> Result<(), Denial> {
        use StatementClass as C;
        if !self.is_held() {
            return Ok(());
        }
        match class {
            // What has a point in it there is a setting. The other ones have no names with a schema.
            C::Set | C::Reset | C::Show | C::SetCharacteristics | C::SetTransaction => return Ok(()),
            C::Lock | C::Truncate | C::SetConstraints | C::CopyFrom | C::CopyTo => {
                self.names(statement, Content::Names)?;
            }
            C::Prepare => {
                let query = prepared_query(statement).map_or(0, |query| query.len());
                let ahead = statement.len().saturating_sub(query);
                let types = Statement {
                    text: statement.text,
                    tokens: statement.tokens.get(..ahead).unwrap_or_default(),
                };
                self.names(&types, Content::Names)?;
                self.names(&statement.from(ahead), Content::Query)?;
            }
            _ => self.names(statement, Content::Query)?,
        }
        for at in (0..statement.len()).filter(|at| statement.is_string(*at)) {
            if let Some(kind) = name_type(statement, at) {
                self.literal(statement, at, kind)?;
            }
        }
        Ok(())
    }

    fn names(self, statement: &Statement<'_>, reading: Content) -> Result<(), Denial> {
        each_schema(statement, reading, |at| {
            let name = statement.name(at).unwrap_or("");
            self.schema(name)
                .map_err(|denial| denial.at(statement.offset(at)))
        })
    }

    /// Judges one schema.
    fn schema(self, name: &str) -> Result<(), Denial> {
        if SYSTEM.contains(&name) {
            return Ok(());
        }
        match self {
            Self::Everywhere => Ok(()),
            Self::Someones => Err(Denial::forbidden(ASKED, "a schema is named")),
            Self::Of(schemas) if schemas.has(name) => Ok(()),
            Self::Of(schemas) => {
                let denial = Denial::forbidden(
                    "schema.other",
                    format!("schema \"{name}\" is not open to this session"),
                );
                Err(denial.hint(match schemas.own() {
                    Some(own) => format!(
                        "Your tenant's schema is \"{own}\", where names without a schema are found. The operator can \
                         list others in \"extra_search_path\"."
                    ),
                    None => "It belongs to one tenant, whose sessions alone may name it.".to_owned(),
                }))
            }
        }
    }

    /// Judges the name in the literal at `at`, which becomes one of this type. What cannot be read is the server's to
    /// refuse.
    fn literal(self, statement: &Statement<'_>, at: usize, kind: &str) -> Result<(), Denial> {
        let value = statement.string(at).unwrap_or_default();
        let name = match kind {
            // `name(types)`, `name[]`
            "regprocedure" | "regoperator" | "regtype" => value.split(['(', '[']).next().unwrap_or(""),
            _ => &*value,
        };
        match schema_in(name) {
            Some(Some(schema)) => self
                .schema(&schema)
                .map_err(|denial| denial.at(statement.offset(at))),
            Some(None) | None => Ok(()),
        }
    }

    /// Whether a function takes the name of what it reads or changes as a value.
    pub(in crate::guard) fn is_by_name(self, function: &str) -> bool {
        self.is_held() && SEQUENCES.contains(&function)
    }

    /// Judges the call of a function whose arguments may be names; `arguments` says from which token to which each is.
    pub(in crate::guard) fn call(
        self,
        statement: &Statement<'_>,
        name: &str,
        arguments: impl FnOnce() -> Vec<(usize, usize)>,
    ) -> Result<(), Denial> {
        if !self.is_held() {
            return Ok(());
        }
        if SEQUENCES.contains(&name) {
            let named = arguments()
                .first()
                .and_then(|(from, end)| sequence(statement, *from, *end));
            return match named {
                Some(None) => Ok(()),
                Some(Some(schema)) => self.schema(&schema),
                None => Err(unnamed_sequence(name)),
            };
        }
        if TEXT_SEARCH.contains(&name)
            && let [(first, _), _, ..] = arguments().as_slice()
            && statement.is_string(*first)
        {
            return self.literal(statement, *first, "regconfig");
        }
        Ok(())
    }

    /// Judges a change of the setting of this name, in lower case.
    pub(in crate::guard) fn setting(self, name: &str) -> Result<(), Denial> {
        if !self.is_held() || !PATHS.contains(&name) {
            return Ok(());
        }
        let message =
            format!("parameter \"{name}\" cannot be changed where tenants are told apart by schema");
        Err(Denial::forbidden("setting.path", message)
            .hint("Names without a schema are found in the schema of your tenant."))
    }
}

/// A sequence that is not named where it can be read.
pub(in crate::guard) fn unnamed_sequence(function: &str) -> Denial {
    let message =
        format!("{function} needs the sequence's name as a literal where tenants are told apart by schema");
    Denial::forbidden("schema.sequence", message).hint(format!(
        "Write {function}('name'), or {function}(pg_get_serial_sequence('table', 'column'))."
    ))
}

/// The type of this list that the literal at `at` becomes, as far as that is written beside it.
fn name_type<'a>(statement: &Statement<'a>, at: usize) -> Option<&'a str> {
    let is = |at: usize| {
        let name = statement.name(at)?;
        NAME_TYPES.contains(&name).then_some(name)
    };
    // `'x'::regclass`, `CAST('x' AS regclass)`
    let behind = at + 1;
    if statement.source(behind) == "::" || statement.kw(behind) == Kw::As {
        let last = statement.after_name(behind + 1).saturating_sub(1);
        return is(last);
    }
    // `regclass 'x'`, `regclass('x')`
    let before = at.checked_sub(1)?;
    if statement.is_punct(before, b'(') {
        return is(before.checked_sub(1)?);
    }
    is(before)
}

/// The schema of the sequence that the argument between these tokens names; `None` if it cannot be read.
fn sequence(statement: &Statement<'_>, from: usize, end: usize) -> Option<Option<String>> {
    let mut end = end;
    // `::regclass`, `::text::regclass`
    while let Some(cast) = cast_at_end(statement, from, end) {
        end = cast;
    }
    let word = |at: usize| match statement.get(at).map(|token| token.kind) {
        Some(TokenKind::Word) => statement.name(at).unwrap_or(""),
        _ => "",
    };
    if word(from) == "cast" && statement.is_punct(from + 1, b'(') && statement.closing(from + 1) + 1 == end {
        let inner_end = (from + 2..end).find(|at| statement.kw(*at) == Kw::As)?;
        let kind = statement.after_name(inner_end + 1);
        let is_plain = kind + 1 == end && is_name_or_text(statement, kind - 1);
        return is_plain
            .then(|| sequence(statement, from + 2, inner_end))
            .flatten();
    }
    let function = match statement.name(from) {
        Some("pg_catalog") if statement.is_punct(from + 1, b'.') => from + 2,
        _ => from,
    };
    if statement.name(function) == Some("pg_get_serial_sequence") {
        // It looks where its first argument says.
        let literals = statement.is_punct(function + 1, b'(')
            && statement.is_string(function + 2)
            && statement.is_punct(function + 3, b',')
            && statement.is_string(function + 4)
            && statement.is_punct(function + 5, b')')
            && function + 6 == end;
        return if literals {
            schema_in(&statement.string(function + 2)?)
        } else {
            None
        };
    }
    if from + 1 != end {
        return None;
    }
    let value = statement.string(from)?;
    // A number, which could be any sequence's.
    if value.trim().bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    schema_in(&value)
}

/// Where the cast begins that ends at `end`, if there is one to a name or to text.
fn cast_at_end(statement: &Statement<'_>, from: usize, end: usize) -> Option<usize> {
    let last = end.checked_sub(1)?;
    if !is_name_or_text(statement, last) {
        return None;
    }
    let mut cast = last.checked_sub(1)?;
    if statement.is_punct(cast, b'.') && statement.name(cast.checked_sub(1)?) == Some("pg_catalog") {
        cast = cast.checked_sub(2)?;
    }
    (cast > from && statement.source(cast) == "::").then_some(cast)
}

fn is_name_or_text(statement: &Statement<'_>, at: usize) -> bool {
    matches!(statement.name(at), Some("regclass" | "text" | "varchar"))
}

/// The schema of a dotted name within a literal, as `SplitIdentifierString` (varlena.c) reads it: `Some(None)` if it
/// has none, `None` if it is no name.
fn schema_in(value: &str) -> Option<Option<String>> {
    const NAME_BYTES: usize = 63;
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c');
    let mut rest = value.trim_matches(is_space);
    let mut parts: Vec<String> = Vec::new();
    loop {
        let mut part = String::new();
        if let Some(quoted) = rest.strip_prefix('"') {
            rest = quoted;
            loop {
                let (piece, behind) = rest.split_once('"')?;
                part.push_str(piece);
                rest = behind;
                match rest.strip_prefix('"') {
                    Some(behind) => {
                        part.push('"');
                        rest = behind;
                    }
                    None => break,
                }
            }
        } else {
            let end = rest.find(|c| c == '.' || is_space(c)).unwrap_or(rest.len());
            let (piece, behind) = rest.split_at_checked(end)?;
            part.push_str(&piece.to_ascii_lowercase());
            rest = behind;
        }
        // A longer one would be cut.
        if part.is_empty() || part.len() > NAME_BYTES || parts.len() > 2 {
            return None;
        }
        parts.push(part);
        rest = rest.trim_start_matches(is_space);
        if rest.is_empty() {
            break;
        }
        rest = rest.strip_prefix('.')?.trim_start_matches(is_space);
    }
    let schema = parts.len().checked_sub(2);
    Some(schema.and_then(|at| parts.get(at).cloned()))
}

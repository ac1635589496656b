//! Bodies of the messages a client sends, decoded without copying.

use std::ffi::CStr;

use thiserror::Error;

use crate::base::limits;

/// A body that does not have its message's form.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("invalid message format: {0}")]
pub struct BadBody(pub &'static str);

/// Parse: a statement to prepare.
#[derive(Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    /// The client's name for it; empty for the unnamed statement.
    pub name: &'a [u8],
    /// Its text.
    pub sql: &'a [u8],
    /// The rest of the message: a count and that many type OIDs.
    pub types: &'a [u8],
}

/// Bind, up to the part that is forwarded as it is.
#[derive(Debug, PartialEq, Eq)]
pub struct BindNames<'a> {
    /// The portal's name; empty for the unnamed one.
    pub portal: &'a [u8],
    /// The client's name of the statement.
    pub statement: &'a [u8],
    /// Bytes of the body that the two names took.
    pub consumed: usize,
}

/// Whether Describe or Close means a statement or a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A prepared statement.
    Statement,
    /// A portal.
    Portal,
}

/// Describe or Close.
#[derive(Debug, PartialEq, Eq)]
pub struct Named<'a> {
    /// Statement or portal.
    pub target: Target,
    /// Its name; empty for the unnamed one.
    pub name: &'a [u8],
}

/// FunctionCall.
#[derive(Debug, PartialEq, Eq)]
pub struct FunctionCall<'a> {
    /// The function's OID.
    pub oid: u32,
    /// How many values it is given.
    pub count: usize,
    /// The values with their formats, in the form in which a Bind carries them.
    pub values: &'a [u8],
    /// The format of the result.
    pub result_format: [u8; 2],
}

/// Query: the text without its terminator.
pub fn query(body: &[u8]) -> Result<&[u8], BadBody> {
    match body.split_last() {
        Some((0, text)) => Ok(text),
        _ => Err(BadBody("Query is not terminated")),
    }
}

/// FunctionCall.
pub fn function_call(body: &[u8]) -> Result<FunctionCall<'_>, BadBody> {
    let short = BadBody("FunctionCall is too short");
    let (oid, rest) = body.split_first_chunk::<4>().ok_or(short)?;
    let (formats, mut rest) = rest.split_first_chunk::<2>().ok_or(short)?;
    rest = rest
        .get(usize::from(u16::from_be_bytes(*formats)) * 2..)
        .ok_or(short)?;
    let (count, mut rest) = rest.split_first_chunk::<2>().ok_or(short)?;
    let count = usize::from(u16::from_be_bytes(*count));
    for _ in 0..count {
        let (len, value) = rest.split_first_chunk::<4>().ok_or(short)?;
        rest = match i32::from_be_bytes(*len) {
            -1 => value,
            len => usize::try_from(len)
                .ok()
                .and_then(|len| value.get(len..))
                .ok_or(short)?,
        };
    }
    let Ok(result_format) = <[u8; 2]>::try_from(rest) else {
        return Err(BadBody(
            "FunctionCall has a length that does not match its values",
        ));
    };
    Ok(FunctionCall {
        oid: u32::from_be_bytes(*oid),
        count,
        values: body.get(4..body.len() - 2).ok_or(short)?,
        result_format,
    })
}

/// Parse.
pub fn parse(body: &[u8]) -> Result<Parse<'_>, BadBody> {
    let (name, rest) = name(body)?;
    let (sql, types) = cstr(rest).ok_or(BadBody("Parse has no terminated statement"))?;
    let [high, low, oids @ ..] = types else {
        return Err(BadBody("Parse has no parameter count"));
    };
    if oids.len() != usize::from(u16::from_be_bytes([*high, *low])) * 4 {
        return Err(BadBody(
            "Parse has a parameter count that does not match its length",
        ));
    }
    Ok(Parse { name, sql, types })
}

/// The two names that a Bind begins with; `None` while `body` may be too short to hold them.
pub fn bind_names(body: &[u8]) -> Result<Option<BindNames<'_>>, BadBody> {
    let two = cstr(body).and_then(|(portal, rest)| cstr(rest).map(|(statement, _)| (portal, statement)));
    match two {
        Some((portal, statement))
            if portal.len() <= limits::CLIENT_NAME_BYTES && statement.len() <= limits::CLIENT_NAME_BYTES =>
        {
            Ok(Some(BindNames {
                portal,
                statement,
                consumed: portal.len() + statement.len() + 2,
            }))
        }
        None if body.len() < 2 * (limits::CLIENT_NAME_BYTES + 1) => Ok(None),
        _ => Err(BadBody("a name is too long")),
    }
}

/// How many values a Bind carries, from what has come of its body behind the names; `None` if that is too little.
pub fn bind_count(rest: &[u8]) -> Option<u16> {
    let (formats, rest) = rest.split_first_chunk()?;
    let formats = usize::from(u16::from_be_bytes(*formats));
    let count = rest.get(2 * formats..)?.first_chunk()?;
    Some(u16::from_be_bytes(*count))
}

/// Describe or Close.
pub fn named(body: &[u8]) -> Result<Named<'_>, BadBody> {
    let (target, rest) = match body {
        [b'S', rest @ ..] => (Target::Statement, rest),
        [b'P', rest @ ..] => (Target::Portal, rest),
        _ => return Err(BadBody("neither a statement nor a portal is named")),
    };
    match name(rest)? {
        (name, []) => Ok(Named { target, name }),
        _ => Err(BadBody("bytes follow the name")),
    }
}

/// Execute: the portal's name.
pub fn execute(body: &[u8]) -> Result<&[u8], BadBody> {
    match name(body)? {
        (portal, [_, _, _, _]) => Ok(portal),
        _ => Err(BadBody("Execute has no row limit")),
    }
}

/// Splits off a zero-terminated string.
pub fn cstr(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    // Looks for the zero several bytes at a time, which a token or a long statement is worth.
    let text = CStr::from_bytes_until_nul(bytes).ok()?.to_bytes();
    Some((text, bytes.get(text.len() + 1..)?))
}

fn name(bytes: &[u8]) -> Result<(&[u8], &[u8]), BadBody> {
    match cstr(bytes) {
        Some((name, _)) if name.len() > limits::CLIENT_NAME_BYTES => Err(BadBody("a name is too long")),
        Some(found) => Ok(found),
        None => Err(BadBody("a name is not terminated")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decodes_each_message() {
        assert_eq!(query(b"SELECT 1\0"), Ok(&b"SELECT 1"[..]));
        let p = parse(b"s\0SELECT $1\0\0\x01\0\0\0\x17").unwrap();
        assert_eq!((p.name, p.sql, p.types.len()), (&b"s"[..], &b"SELECT $1"[..], 6));
        let b = bind_names(b"p\0s\0rest").unwrap().unwrap();
        assert_eq!((b.portal, b.statement, b.consumed), (&b"p"[..], &b"s"[..], 4));
        assert_eq!(named(b"Sx\0").unwrap().target, Target::Statement);
        assert_eq!(execute(b"\0\0\0\0\x05"), Ok(&b""[..]));
    }

    #[test]
    fn refuses_counts_and_lengths_that_do_not_add_up() {
        assert!(parse(b"s\0SELECT\0\0\x02\0\0\0\x17").is_err());
        assert!(parse(b"s\0SELECT").is_err());
        assert!(named(b"Xx\0").is_err());
        assert!(named(b"Sx\0y").is_err());
        assert!(execute(b"p\0\0").is_err());
        assert!(bind_names(&[b'a'; 3000]).is_err());
        assert_eq!(bind_names(b"portal"), Ok(None));
    }

    proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = query(&body);
            let _ = parse(&body);
            let _ = bind_names(&body);
            let _ = named(&body);
            let _ = execute(&body);
        }
    }
}

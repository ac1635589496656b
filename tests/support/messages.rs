//! The protocol's messages as bytes, and what comes back as frames.

/// One message from the server.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) tag: u8,
    pub(crate) body: Vec<u8>,
}

impl Frame {
    /// The fields of an ErrorResponse or NoticeResponse by their letter.
    pub(crate) fn field(&self, letter: char) -> Option<String> {
        self.body
            .split(|byte| *byte == 0)
            .find(|field| field.first() == Some(&(letter as u8)))
            .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
    }

    /// The SQLSTATE of an ErrorResponse.
    pub(crate) fn sqlstate(&self) -> String {
        self.field('C').unwrap_or_default()
    }

    /// The values of a DataRow as text.
    pub(crate) fn row(&self) -> Vec<Option<String>> {
        assert_eq!(self.tag, b'D', "{self:?}");
        let mut at = 2;
        let mut values = Vec::new();
        while at < self.body.len() {
            let length = i32::from_be_bytes(self.body[at..at + 4].try_into().unwrap());
            at += 4;
            let value = usize::try_from(length).ok().map(|length| {
                let text = String::from_utf8_lossy(&self.body[at..at + length]).into_owned();
                at += length;
                text
            });
            values.push(value);
        }
        values
    }
}

/// A message without a tag: its length, a code, and more.
pub(crate) fn untagged(code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap();
    [&length.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

/// A StartupMessage.
pub(crate) fn startup(version: u32, options: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in options {
        body.extend_from_slice(&cstring(name));
        body.extend_from_slice(&cstring(value));
    }
    body.push(0);
    untagged(version, &body)
}

/// Any tagged message.
pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

pub(crate) fn password_message(password: &str) -> Vec<u8> {
    message(b'p', &cstring(password))
}

pub(crate) fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &cstring(sql))
}

pub(crate) fn parse(name: &str, sql: &str, types: &[u32]) -> Vec<u8> {
    let mut body = [cstring(name), cstring(sql)].concat();
    body.extend_from_slice(&u16::try_from(types.len()).unwrap().to_be_bytes());
    for oid in types {
        body.extend_from_slice(&oid.to_be_bytes());
    }
    message(b'P', &body)
}

/// All parameters and results as text.
pub(crate) fn bind(portal: &str, statement: &str, values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = [cstring(portal), cstring(statement), vec![0, 0]].concat();
    body.extend_from_slice(&u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        match value {
            Some(bytes) => {
                body.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
                body.extend_from_slice(bytes);
            }
            None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
        }
    }
    body.extend_from_slice(&[0, 0]);
    message(b'B', &body)
}

/// `kind` is `S` or `P`.
pub(crate) fn describe(kind: char, name: &str) -> Vec<u8> {
    message(b'D', &[vec![kind as u8], cstring(name)].concat())
}

pub(crate) fn close(kind: char, name: &str) -> Vec<u8> {
    message(b'C', &[vec![kind as u8], cstring(name)].concat())
}

/// `limit` 0 is all rows.
pub(crate) fn execute(portal: &str, limit: u32) -> Vec<u8> {
    message(b'E', &[cstring(portal), limit.to_be_bytes().to_vec()].concat())
}

pub(crate) fn sync() -> Vec<u8> {
    message(b'S', &[])
}

pub(crate) fn flush() -> Vec<u8> {
    message(b'H', &[])
}

/// A FunctionCall with values as text, and its result as text.
pub(crate) fn function_call(oid: u32, values: &[&str]) -> Vec<u8> {
    let mut body = [&oid.to_be_bytes()[..], &[0, 0]].concat();
    body.extend_from_slice(&u16::try_from(values.len()).unwrap().to_be_bytes());
    for value in values {
        body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    body.extend_from_slice(&[0, 0]);
    message(b'F', &body)
}

fn cstring(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

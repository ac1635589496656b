//! SASL exchanges of a raw client.

use std::io;

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};

use crate::client::TlsClient;
use crate::support::raw::{Frame, RawClient, VERSION_3_0, message, startup};

/// A connection that takes and gives messages.
pub(crate) trait Wire {
    fn put(&mut self, bytes: &[u8]);
    fn get(&mut self) -> io::Result<Frame>;

    /// The next message but those that are no answer to a login.
    fn answer(&mut self) -> Frame {
        loop {
            let frame = self.get().expect("an answer");
            if !matches!(frame.tag, b'S' | b'K' | b'N') && frame.body != [0, 0, 0, 0] {
                return frame;
            }
        }
    }

    /// Sends a startup packet for acme.
    fn begin(&mut self, user: &str, options: &[(&str, &str)]) {
        let mut parameters = vec![("user", user), ("database", "acme")];
        parameters.extend(options);
        self.put(&startup(VERSION_3_0, &parameters));
    }
}

impl Wire for RawClient {
    fn put(&mut self, bytes: &[u8]) {
        self.send(bytes);
    }

    fn get(&mut self) -> io::Result<Frame> {
        self.try_read()
    }
}

impl Wire for TlsClient {
    fn put(&mut self, bytes: &[u8]) {
        let _ = self.send(bytes);
    }

    fn get(&mut self) -> io::Result<Frame> {
        self.read()
    }
}

/// SASLInitialResponse.
pub(crate) fn initial(mechanism: &str, response: Option<&[u8]>) -> Vec<u8> {
    let length = response.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap());
    let body = [
        mechanism.as_bytes(),
        &[0],
        &length.to_be_bytes(),
        response.unwrap_or_default(),
    ];
    message(b'p', &body.concat())
}

/// SASLResponse.
pub(crate) fn response(bytes: &[u8]) -> Vec<u8> {
    message(b'p', bytes)
}

/// What an authentication request carries: its code, and what follows.
pub(crate) fn request(frame: &Frame) -> (u32, &[u8]) {
    assert_eq!(frame.tag, b'R', "{frame:?}");
    let (code, rest) = frame.body.split_at(4);
    (u32::from_be_bytes(code.try_into().unwrap()), rest)
}

/// The mechanisms that are offered.
pub(crate) fn offered(frame: &Frame) -> Vec<String> {
    let (code, names) = request(frame);
    assert_eq!(code, 10, "{frame:?}");
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| String::from_utf8(name.to_vec()).unwrap())
        .collect()
}

/// Logs in by SCRAM; the salt and rounds that were shown, and the error if it may not. `binding` chooses the
/// mechanism.
pub(crate) fn scram(
    wire: &mut impl Wire,
    password: &str,
    binding: ChannelBinding,
    mechanism: &str,
) -> (String, Result<(), Frame>) {
    assert!(offered(&wire.answer()).contains(&mechanism.to_owned()));
    let mut client = ScramSha256::new(password.as_bytes(), binding);
    wire.put(&initial(mechanism, Some(client.message())));
    let frame = wire.answer();
    if frame.tag == b'E' {
        return (String::new(), Err(frame));
    }
    let (code, challenge) = request(&frame);
    assert_eq!(code, 11);
    client.update(challenge).unwrap();
    let text = String::from_utf8(challenge.to_vec()).unwrap();
    let shown = text.split_once(",s=").unwrap().1.to_owned();
    wire.put(&response(client.message()));
    let frame = wire.answer();
    if frame.tag == b'E' {
        return (shown, Err(frame));
    }
    let (code, last) = request(&frame);
    assert_eq!(code, 12);
    client.finish(last).expect("the proxy knows the password too");
    assert_eq!(wire.answer().tag, b'Z');
    (shown, Ok(()))
}

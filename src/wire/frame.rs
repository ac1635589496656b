//! Frames: a type byte, a length that counts itself, a body (PostgreSQL manual, 54.1).

use thiserror::Error;

use crate::base::limits;

/// Bytes before a frame's body.
pub const HEAD_BYTES: usize = 5;

/// The start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The message's type.
    pub tag: u8,
    /// Bytes of body that follow the head.
    pub body_len: usize,
}

/// A length that no message can have.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("message of type {tag:?} claims a length of {claimed} bytes", tag = char::from(*tag))]
pub struct BadLength {
    /// The message's type.
    pub tag: u8,
    /// The length it claims.
    pub claimed: u32,
}

/// Reads the head of the frame that `bytes` begins with; `None` while it is incomplete.
///
/// Takes no memory: the length is checked against [`limits::MESSAGE_BYTES`] before anybody trusts it.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, BadLength> {
    let [tag, a, b, c, d, ..] = *bytes else {
        return Ok(None);
    };
    let claimed = u32::from_be_bytes([a, b, c, d]);
    match usize::try_from(claimed) {
        Ok(len) if (4..=limits::MESSAGE_BYTES).contains(&len) => Ok(Some(Head {
            tag,
            body_len: len - 4,
        })),
        _ => Err(BadLength { tag, claimed }),
    }
}

/// How many bytes at the start are whole frames of these two types. A frame whose length is wrong ends them, and is left to
/// [`head`] to find.
pub fn run_of(bytes: &[u8], tags: [u8; 2]) -> usize {
    let mut rest = bytes;
    while let Ok(Some(head)) = head(rest)
        && tags.contains(&head.tag)
        && let Some(behind) = rest.get(HEAD_BYTES + head.body_len..)
    {
        rest = behind;
    }
    bytes.len() - rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_of_whole_frames_of_its_types() {
        let run = b"D\0\0\0\x06abd\0\0\0\x04D\0\0\0\x05x";
        let of = |bytes: &[u8]| run_of(bytes, [b'D', b'd']);
        assert_eq!(of(run), run.len());
        for (behind, what) in [
            (&b"C\0\0\0\x04"[..], "another type"),
            (b"D\0\0\0\x05", "half a frame"),
            (b"D\0\0", "half a head"),
            (b"D\0\0\0\x01", "a length too small"),
            (b"D\xff\xff\xff\xff", "a length too large"),
        ] {
            assert_eq!(of(&[run, behind].concat()), run.len(), "{what}");
            assert_eq!(of(behind), 0, "{what}");
        }
        assert_eq!(of(b""), 0);
    }

    #[test]
    fn reads_a_head_and_waits_for_the_rest_of_one() {
        assert_eq!(head(b"S\0\0\0"), Ok(None));
        assert_eq!(
            head(b"S\0\0\0\x04"),
            Ok(Some(Head {
                tag: b'S',
                body_len: 0
            }))
        );
        assert_eq!(
            head(b"Q\0\0\0\x0aSELECT"),
            Ok(Some(Head {
                tag: b'Q',
                body_len: 6
            }))
        );
    }

    #[test]
    fn refuses_lengths_below_four_and_above_the_bound() {
        for claimed in [0_u32, 1, 3, 0x4000_0000, 0x8000_0000, u32::MAX] {
            let mut bytes = vec![b'Q'];
            bytes.extend(claimed.to_be_bytes());
            assert_eq!(head(&bytes), Err(BadLength { tag: b'Q', claimed }));
        }
    }
}

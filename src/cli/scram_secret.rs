//! `portcullis scram-secret`: what the users file keeps of a password.

use std::io::{self, BufRead, IsTerminal as _, Write as _};
use std::process::ExitCode;

use postgres_protocol::password::scram_sha_256;

/// Longest password that is read. A verifier is as long for a short one.
const PASSWORD_BYTES: u64 = 4096;

/// Reads a password from standard input and prints its verifier.
pub fn run() -> ExitCode {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        let _ = writeln!(io::stderr(), "Type the password (it shows), then Enter:");
    }
    let password = read(stdin.lock());
    let complain = |message: &str| {
        let _ = writeln!(io::stderr(), "portcullis scram-secret: {message}");
        ExitCode::FAILURE
    };
    match password {
        Ok(password) if password.is_empty() => complain("the password is empty"),
        Ok(password) if password.contains(&0) => complain("a password cannot hold a NUL"),
        Ok(password) => match writeln!(io::stdout(), "{}", scram_sha_256(&password)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => complain(&format!("cannot read the password: {error}")),
    }
}

/// The first line, without its end.
fn read(input: impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.take(PASSWORD_BYTES + 1).read_until(b'\n', &mut line)?;
    if line.ends_with(b"\n") {
        line.pop();
        if line.ends_with(b"\r") {
            line.pop();
        }
    } else if line.len() as u64 > PASSWORD_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is longer than {PASSWORD_BYTES} bytes"),
        ));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        for (input, expected) in [
            (&b"hunter2"[..], &b"hunter2"[..]),
            (b"hunter2\n", b"hunter2"),
            (b"hunter2\r\nx", b"hunter2"),
            (b" hunter 2 \n", b" hunter 2 "),
            (b"", b""),
        ] {
            assert_eq!(read(input).unwrap(), expected);
        }
        assert!(read(&[b'x'; 5000][..]).is_err());
    }
}

//! The exchange against RFC 7677's example, a real client, and messages of every wrong kind.

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use postgres_protocol::password::scram_sha_256;
use proptest::prelude::*;

use super::*;

/// RFC 7677, 3: user `user`, password `pencil`.
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const CLIENT_FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const CLIENT_FINAL: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                              p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

const END_POINT: &[u8] = b"the hash of a certificate";

/// The verifier of `pencil` under RFC 7677's salt, made by RFC 5802's rules.
fn pencil() -> ScramVerifier {
    use aws_lc_rs::pbkdf2;
    let salt = STANDARD.decode(SALT).unwrap();
    let mut salted = [0; KEY_BYTES];
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        std::num::NonZeroU32::new(4096).unwrap(),
        &salt,
        b"pencil",
        &mut salted,
    );
    let key = |label: &[u8]| hmac::sign(&hmac::Key::new(HMAC_SHA256, &salted), label);
    let stored = digest(&SHA256, key(b"Client Key").as_ref());
    let text = format!(
        "SCRAM-SHA-256$4096:{SALT}${}:{}",
        STANDARD.encode(stored),
        STANDARD.encode(key(b"Server Key"))
    );
    ScramVerifier::parse(&text).unwrap()
}

fn challenge() -> Challenge {
    let scram = Scram::new(pencil(), None);
    scram
        .challenge_with(PLAIN.as_bytes(), CLIENT_FIRST, SERVER_NONCE)
        .unwrap()
        .0
}

fn begin(
    end_point: Option<&[u8]>,
    mechanism: &str,
    message: &[u8],
) -> Result<(Challenge, String), SaslError> {
    Scram::new(pencil(), end_point.map(Arc::from)).challenge(mechanism.as_bytes(), message)
}

#[test]
fn the_example_of_the_rfc() {
    let scram = Scram::new(pencil(), None);
    let (challenge, answer) = scram
        .challenge_with(PLAIN.as_bytes(), CLIENT_FIRST, SERVER_NONCE)
        .unwrap();
    assert_eq!(
        answer,
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    assert_eq!(
        challenge.check(CLIENT_FINAL),
        Ok(Proof::Good(
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned()
        ))
    );
}

/// What a client that knows this password comes to, and whether it believes us.
fn play(password: &[u8], end_point: Option<&[u8]>, binding: ChannelBinding) -> Result<Proof, SaslError> {
    let verifier = ScramVerifier::parse(&scram_sha_256(b"\xc3\xa4pfel")).unwrap();
    let scram = Scram::new(verifier, end_point.map(Arc::from));
    let mechanism = scram.mechanisms()[0];
    let mut client = ScramSha256::new(password, binding);
    let (challenge, answer) = scram.challenge(mechanism.as_bytes(), client.message())?;
    client.update(answer.as_bytes()).unwrap();
    let proof = challenge.check(client.message())?;
    if let Proof::Good(answer) = &proof {
        client.finish(answer.as_bytes()).unwrap();
    }
    Ok(proof)
}

#[test]
fn a_real_client() {
    let bound = || ChannelBinding::tls_server_end_point(END_POINT.to_vec());
    // The same letter, composed and not: SASLprep makes them one.
    for password in ["\u{e4}pfel", "a\u{308}pfel"] {
        let plain = play(password.as_bytes(), None, ChannelBinding::unsupported()).unwrap();
        assert!(matches!(plain, Proof::Good(_)));
        let plus = play(password.as_bytes(), Some(END_POINT), bound()).unwrap();
        assert!(matches!(plus, Proof::Good(_)));
    }
    assert_eq!(
        play(b"apfel", None, ChannelBinding::unsupported()),
        Ok(Proof::Wrong)
    );
    assert_eq!(play(b"apfel", Some(END_POINT), bound()), Ok(Proof::Wrong));
    let elsewhere = ChannelBinding::tls_server_end_point(b"another certificate".to_vec());
    assert_eq!(
        play("\u{e4}pfel".as_bytes(), Some(END_POINT), elsewhere),
        Err(SaslError::WrongChannel)
    );
}

#[test]
fn the_word_on_channel_binding_must_be_true() {
    let rest = "n=,r=abc";
    for (end_point, mechanism, header, expected) in [
        (None, PLAIN, "n,,", None),
        // Without TLS there is nothing to bind to, so who could has not been lied to.
        (None, PLAIN, "y,,", None),
        (None, PLUS, "p=tls-server-end-point,,", Some(SaslError::Mechanism)),
        (Some(END_POINT), PLAIN, "n,,", None),
        (Some(END_POINT), PLAIN, "y,,", Some(SaslError::Downgrade)),
        (Some(END_POINT), PLUS, "p=tls-server-end-point,,", None),
        (
            Some(END_POINT),
            PLUS,
            "p=tls-unique,,",
            Some(SaslError::BindingType),
        ),
        (None, "OAUTHBEARER", "n,,", Some(SaslError::Mechanism)),
        (None, "", "n,,", Some(SaslError::Mechanism)),
        (None, "scram-sha-256", "n,,", Some(SaslError::Mechanism)),
        (None, PLAIN, "n,a=admin,", Some(SaslError::AuthorizationIdentity)),
        (None, PLAIN, "n,,m=1,", Some(SaslError::Extension)),
    ] {
        let message = format!("{header}{rest}");
        let outcome = begin(end_point, mechanism, message.as_bytes()).err();
        assert_eq!(outcome, expected, "{mechanism} {header}");
    }
    for (end_point, mechanism, header) in [
        (Some(END_POINT), PLUS, "n,,"),
        (Some(END_POINT), PLUS, "y,,"),
        (Some(END_POINT), PLAIN, "p=tls-server-end-point,,"),
        (None, PLAIN, "p=tls-server-end-point,,"),
    ] {
        let message = format!("{header}{rest}");
        let outcome = begin(end_point, mechanism, message.as_bytes()).err();
        assert!(
            matches!(outcome, Some(SaslError::Malformed(_))),
            "{mechanism} {header}: {outcome:?}"
        );
    }
}

#[test]
fn malformed_messages() {
    for message in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,n=user",
        "n,,r=abc",
        "n,,n=user,r=",
        "n,,n=user,r=a b",
        "n,,n=user,r=a\u{7f}",
        "n,,n=user,r=ä",
        "n,,n=user,r=abc,",
        "n,,n=user,r=abc,1=x",
        "x,,n=user,r=abc",
        "nn,,n=user,r=abc",
        "n,x,n=user,r=abc",
        "n,,n=us\0er,r=abc",
    ] {
        let outcome = begin(None, PLAIN, message.as_bytes()).err();
        assert!(
            matches!(outcome, Some(SaslError::Malformed(_))),
            "{message:?}: {outcome:?}"
        );
    }
    assert!(begin(None, PLAIN, b"n,,n=\xff,r=abc").is_err());
    assert!(begin(None, PLAIN, b"n,,n=user,r=abc,x=extension").is_ok());

    let good = std::str::from_utf8(CLIENT_FINAL).unwrap();
    for (message, expected) in [
        (good.replace("hvYD", "hvYE"), Some(SaslError::Nonce)),
        (good.replace("rOpr", ""), Some(SaslError::Nonce)),
        (good.replace("c=biws", "c=eSws"), None),
        (good.replace("c=biws,", ""), None),
        (good.replace("p=dHzb", "p=!!!!"), None),
        (good.replace("p=dHzb", "p="), None),
        (good.replace(",p=", ",q="), None),
        (good.replace(",p=", ",p=,p=AAAA"), None),
        (format!("{good}AAAA"), None),
        (String::new(), None),
    ] {
        let outcome = challenge().check(message.as_bytes()).unwrap_err();
        match expected {
            Some(expected) => assert_eq!(outcome, expected, "{message}"),
            None => assert!(matches!(outcome, SaslError::Malformed(_)), "{message}: {outcome}"),
        }
    }
    assert_eq!(
        challenge().check(good.replace("p=dH", "p=eH").as_bytes()),
        Ok(Proof::Wrong)
    );
    // What is signed is what was sent, extensions included.
    assert_eq!(
        challenge().check(good.replace(",p=", ",x=1,p=").as_bytes()),
        Ok(Proof::Wrong)
    );
}

#[test]
fn a_mock_fits_no_proof() {
    let mock = ScramVerifier::mock(4096, vec![1; 16]);
    for byte in [0, 0xff] {
        assert_eq!(mock.check(&[byte; KEY_BYTES], b"transcript"), Proof::Wrong);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = begin(None, PLAIN, &bytes);
        let _ = challenge().check(&bytes);
    }

    #[test]
    fn any_text_is_taken(text in "[nypcrs=,a-z\\PC]{0,40}") {
        let _ = begin(Some(END_POINT), PLUS, text.as_bytes());
        let _ = challenge().check(text.as_bytes());
    }

    #[test]
    fn no_changed_byte_goes_unnoticed(at in 0_usize..100, change in 1_u8..=255) {
        let mut message = CLIENT_FINAL.to_vec();
        let at = at % message.len();
        message[at] ^= change;
        let outcome = challenge().check(&message);
        prop_assert!(!matches!(outcome, Ok(Proof::Good(_))), "{at} {change}");
    }
}

//! Logins as traces: what the server says, what we answer.

use std::time::Duration;

use crate::base::{Secret, SqlState};
use crate::net::Endpoint;

use super::*;

fn target(password: Option<&str>) -> Target {
    Target {
        endpoint: Endpoint::Unix("/nowhere".into()),
        tls: None,
        user: "md5_user".into(),
        password: password.map_or(Password::Absent, |password| {
            Password::Known(Secret::new(password.as_bytes()))
        }),
        database: "db".into(),
        connect_timeout: Duration::from_secs(1),
        prepared_statements: 1,
    }
}

fn setting(name: &str, value: &str) -> Message {
    Message::ParameterStatus {
        name: name.into(),
        value: value.into(),
    }
}

fn key() -> Message {
    Message::BackendKeyData {
        pid: 7,
        secret: Bytes::from_static(b"keyy"),
    }
}

const READY: Message = Message::ReadyForQuery { status: b'I' };

/// Feeds the messages; the answers written and how it ended.
fn trace(target: &Target, messages: Vec<Message>) -> (Vec<u8>, Result<Option<LoggedIn>, ServerError>) {
    let mut out = BytesMut::new();
    let mut login = Login::start(target, &[], None, &mut out).unwrap();
    out.clear();
    for message in messages {
        match login.step(message, &mut out) {
            Ok(Step::More(next)) => login = next,
            Ok(Step::Done(done)) => return (out.to_vec(), Ok(Some(done))),
            Err(error) => return (out.to_vec(), Err(error)),
        }
    }
    (out.to_vec(), Ok(None))
}

#[test]
fn the_startup_packet_pins_the_encoding_and_the_strings() {
    let mut out = BytesMut::new();
    Login::start(&target(None), &[], None, &mut out).ok().unwrap();
    let text = String::from_utf8_lossy(&out).replace('\0', " ");
    assert!(text.ends_with(
        "user md5_user database db application_name portcullis client_encoding UTF8 standard_conforming_strings on  "
    ));
}

#[test]
fn a_nul_byte_in_a_name_is_refused() {
    let mut bad = target(None);
    bad.user = "a\0b".into();
    assert!(matches!(
        Login::start(&bad, &[], None, &mut BytesMut::new()),
        Err(ServerError::Auth(_))
    ));
}

#[test]
fn trust() {
    let messages = vec![
        Message::AuthenticationOk,
        setting("a", "1"),
        key(),
        Message::NoticeResponse,
        setting("b", "2"),
        READY,
    ];
    let (out, end) = trace(&target(None), messages);
    let done = end.unwrap().unwrap();
    assert!(out.is_empty());
    assert_eq!(
        done.parameters.iter().collect::<Vec<_>>(),
        [("a", "1"), ("b", "2")]
    );
    assert_eq!((done.pid, &*done.secret), (7, &b"keyy"[..]));
}

#[test]
fn cleartext_and_md5() {
    let rest = [Message::AuthenticationOk, key(), READY];
    let mut messages = vec![Message::AuthenticationCleartextPassword];
    messages.extend(rest.clone());
    let (out, end) = trace(&target(Some("password")), messages);
    assert_eq!(out, b"p\0\0\0\x0dpassword\0");
    assert!(end.unwrap().is_some());

    // The hash is the one in postgres-protocol's own test.
    let mut messages = vec![Message::AuthenticationMd5Password {
        salt: [0x2a, 0x3d, 0x8f, 0xe0],
    }];
    messages.extend(rest);
    let (out, end) = trace(&target(Some("password")), messages);
    assert_eq!(out, b"p\0\0\0\x28md562af4dd09bbb41884907a838a3233294\0");
    assert!(end.unwrap().is_some());
}

#[test]
fn without_a_password_nothing_is_sent() {
    for asks in [
        Message::AuthenticationCleartextPassword,
        Message::AuthenticationMd5Password { salt: [0; 4] },
        Message::AuthenticationSasl {
            mechanisms: Bytes::from_static(b"SCRAM-SHA-256\0\0"),
        },
    ] {
        let (out, end) = trace(&target(None), vec![asks]);
        assert!(out.is_empty() && matches!(end, Err(ServerError::Auth(_))));
    }
}

#[test]
fn scram_may_not_be_cut_short() {
    let sasl = Message::AuthenticationSasl {
        mechanisms: Bytes::from_static(b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
    };
    let (out, end) = trace(&target(Some("pw")), vec![sasl.clone(), Message::AuthenticationOk]);
    assert!(out.starts_with(b"p\0\0\0") && out.windows(3).any(|window| window == b"n,,"));
    assert!(matches!(end, Err(ServerError::Protocol(_))));

    // Our nonce must be the start of the server's.
    let forged = Message::AuthenticationSaslContinue(Bytes::from_static(b"r=abc,s=QSXCR+Q6sek8bf92,i=4096"));
    assert!(matches!(
        trace(&target(Some("pw")), vec![sasl.clone(), forged]).1,
        Err(ServerError::Auth(_))
    ));
    assert!(matches!(
        trace(&target(Some("pw")), vec![sasl.clone(), sasl]).1,
        Err(ServerError::Protocol(_))
    ));
}

#[test]
fn logins_are_bound_to_their_channel_where_both_can() {
    let target = target(Some("pw"));
    let answer = |channel: Option<&[u8]>, mechanisms: &'static [u8]| {
        let mut out = BytesMut::new();
        let login = Login::start(&target, &[], channel.map(<[u8]>::to_vec), &mut out).unwrap();
        out.clear();
        let mechanisms = Bytes::from_static(mechanisms);
        login.step(Message::AuthenticationSasl { mechanisms }, &mut out)?;
        Ok::<_, ServerError>(String::from_utf8_lossy(&out).into_owned())
    };
    let (both, plain, plus) = (
        &b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"[..],
        &b"SCRAM-SHA-256\0\0"[..],
        &b"SCRAM-SHA-256-PLUS\0\0"[..],
    );
    for (channel, offered, mechanism, header) in [
        (
            Some(&b"hash"[..]),
            both,
            "SCRAM-SHA-256-PLUS\0",
            "p=tls-server-end-point,,",
        ),
        (
            Some(b"hash"),
            plus,
            "SCRAM-SHA-256-PLUS\0",
            "p=tls-server-end-point,,",
        ),
        (Some(b"hash"), plain, "SCRAM-SHA-256\0", "y,,"),
        (None, both, "SCRAM-SHA-256\0", "n,,"),
        (None, plain, "SCRAM-SHA-256\0", "n,,"),
    ] {
        let answer = answer(channel, offered).unwrap();
        assert!(
            answer.contains(mechanism) && answer.contains(header),
            "{answer:?}"
        );
    }
    assert!(matches!(answer(None, plus), Err(ServerError::Auth(_))));
}

#[test]
fn an_ok_without_the_servers_proof_is_refused() {
    let target = target(Some("pw"));
    let mut out = BytesMut::new();
    let login = Login::start(&target, &[], None, &mut out).unwrap();
    out.clear();
    let sasl = Message::AuthenticationSasl {
        mechanisms: Bytes::from_static(b"SCRAM-SHA-256\0\0"),
    };
    let Ok(Step::More(login)) = login.step(sasl, &mut out) else {
        panic!("no answer to SASL")
    };
    let nonce = String::from_utf8_lossy(&out)
        .split("r=")
        .nth(1)
        .unwrap()
        .to_owned();
    let first = Bytes::from(format!("r={nonce}server,s=QSXCR+Q6sek8bf92,i=1"));
    let Ok(Step::More(login)) = login.step(Message::AuthenticationSaslContinue(first), &mut out) else {
        panic!("no proof")
    };
    let early = login.step(Message::AuthenticationOk, &mut out);
    assert!(matches!(early, Err(ServerError::Protocol(_))));
}

#[test]
fn a_false_server_signature_is_refused() {
    let target = target(Some("pw"));
    let mut out = BytesMut::new();
    let login = Login::start(&target, &[], None, &mut out).unwrap();
    out.clear();
    let sasl = Message::AuthenticationSasl {
        mechanisms: Bytes::from_static(b"SCRAM-SHA-256\0\0"),
    };
    let Ok(Step::More(login)) = login.step(sasl, &mut out) else {
        panic!("no answer to SASL")
    };
    let nonce = String::from_utf8_lossy(&out)
        .split("r=")
        .nth(1)
        .unwrap()
        .to_owned();
    let first = Bytes::from(format!("r={nonce}server,s=QSXCR+Q6sek8bf92,i=1"));
    let Ok(Step::More(login)) = login.step(Message::AuthenticationSaslContinue(first), &mut out) else {
        panic!("no proof")
    };
    let last = Bytes::from_static(b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert!(matches!(
        login.step(Message::AuthenticationSaslFinal(last), &mut out),
        Err(ServerError::Auth(_))
    ));
}

#[test]
fn unknown_methods_are_named() {
    let (_, end) = trace(&target(Some("pw")), vec![Message::AuthenticationOther(7)]);
    assert!(matches!(end, Err(ServerError::Auth(text)) if text.contains('7')));
    let oauth = Message::AuthenticationSasl {
        mechanisms: Bytes::from_static(b"OAUTHBEARER\0\0"),
    };
    assert!(matches!(
        trace(&target(Some("pw")), vec![oauth]).1,
        Err(ServerError::Auth(_))
    ));
}

#[test]
fn the_servers_own_error_ends_it_at_any_point() {
    let error = Message::ErrorResponse {
        sqlstate: SqlState::CANNOT_CONNECT_NOW,
        message: "starting".into(),
    };
    for before in [
        vec![],
        vec![Message::AuthenticationOk],
        vec![Message::AuthenticationOk, key()],
    ] {
        let messages = [before, vec![error.clone()]].concat();
        let (_, end) = trace(&target(None), messages);
        assert!(matches!(
            end,
            Err(ServerError::Refused {
                sqlstate: SqlState::CANNOT_CONNECT_NOW,
                ..
            })
        ));
    }
}

#[test]
fn what_does_not_belong_is_refused() {
    let ok = Message::AuthenticationOk;
    for messages in [
        vec![setting("a", "1")],
        vec![READY],
        vec![ok.clone(), READY],
        vec![ok.clone(), ok.clone()],
        vec![ok.clone(), key(), Message::ReadyForQuery { status: b'T' }],
        vec![ok.clone(), Message::CommandComplete { tag: Bytes::new() }],
        vec![Message::AuthenticationCleartextPassword, READY],
    ] {
        let (_, end) = trace(&target(Some("pw")), messages.clone());
        assert!(matches!(end, Err(ServerError::Protocol(_))), "{messages:?}");
    }
}

#[test]
fn late_messages() {
    let (_, end) = trace(&target(None), vec![Message::AuthenticationOk, key(), READY]);
    let mut done = end.unwrap().unwrap();
    done.take_late(setting("TimeZone", "UTC")).unwrap();
    done.take_late(Message::NoticeResponse).unwrap();
    assert_eq!(done.parameters.get("TimeZone"), Some("UTC"));
    assert!(matches!(done.take_late(READY), Err(ServerError::Protocol(_))));
}

//! SASL OAUTHBEARER: a raw client, and libpq 18.

use std::process::Command;

use serde_json::{Value, json};

use crate::sasl::{Wire as _, initial, offered, request, response};
use crate::support::people::{Person, alice, in_seconds};
use crate::support::raw::RawClient;
use crate::support::tools;
use crate::users::user;
use crate::{ALICE, Bed, stdout};

const ISSUER: &str = "https://issuer.test/realm";

fn bed() -> Bed {
    let oauth = format!("auth.oauth = {{ issuer = '{ISSUER}', scope = 'openid shop', users = ['*@oauth'] }}");
    Bed::new(&user("bi", "secret"), None, &oauth)
}

/// A client that has been offered the mechanism.
fn asked(bed: &Bed, user: &str, options: &[(&str, &str)]) -> RawClient {
    let mut client = RawClient::connect(bed.port());
    client.begin(user, options);
    assert_eq!(offered(&client.answer()), ["OAUTHBEARER"]);
    client
}

fn bearer(token: &str) -> Vec<u8> {
    initial(
        "OAUTHBEARER",
        Some(format!("n,,\x01auth=Bearer {token}\x01\x01").as_bytes()),
    )
}

#[test]
fn the_token_is_taken() {
    let bed = bed();
    let asks = [("options", "-c portcullis.auth=oauth")];
    for (user, options) in [("alice@oauth", &[][..]), ("x", &asks), ("bi", &asks)] {
        let mut client = asked(&bed, user, options);
        client.send(&bearer(&alice().token()));
        client
            .finish_login(None)
            .unwrap_or_else(|why| panic!("{}", why.describe()));
        assert_eq!(client.value("SELECT who()"), ALICE);
    }
    // Asked for its first message, a client may send it then.
    let mut client = asked(&bed, "x@oauth", &[]);
    client.send(&initial("OAUTHBEARER", None));
    assert_eq!(request(&client.answer()), (11, &b""[..]));
    let message = format!("y,,\x01host=h\x01auth=bearer  {}\x01\x01", alice().token());
    client.send(&response(message.as_bytes()));
    client.finish_login(None).unwrap();
    assert_eq!(client.value("SELECT who()"), ALICE);
    // Everybody else is asked as ever, also who comes by such a name and says so.
    for (user, options) in [
        ("somebody", &[][..]),
        ("x@oauth", &[("options", "-c portcullis.auth=password")]),
    ] {
        let mut client = RawClient::connect(bed.port());
        client.begin(user, options);
        client.finish_login(Some(&alice().token())).unwrap();
    }
    // The longest token.
    let long = Person::token_with(&alice(), &[("filler", json!("x".repeat(11_800)))]);
    assert!((15_900..=16_384).contains(&long.len()), "{}", long.len());
    let mut client = asked(&bed, "x@oauth", &[]);
    client.send(&bearer(&long));
    client.finish_login(None).unwrap();
}

#[test]
fn who_has_no_good_token_is_told_where_to_get_one() {
    let bed = bed();
    let expired = alice().token_with(&[("exp", json!(in_seconds(-60)))]);
    let nobody = alice().token_with(&[("role", json!("nobody"))]);
    // To ask where to get a token is no failure.
    for (message, sqlstate, counted) in [
        (
            initial("OAUTHBEARER", Some(b"n,,\x01auth=\x01\x01")),
            "28000",
            0.0,
        ),
        (bearer(&expired), "28P01", 1.0),
        (bearer("nonsense"), "28P01", 1.0),
        (bearer(&nobody), "28000", 1.0),
    ] {
        let before = bed.refused(sqlstate);
        let mut client = asked(&bed, "x@oauth", &[]);
        client.send(&message);
        let frame = client.answer();
        let (code, refusal) = request(&frame);
        assert_eq!(code, 11);
        let told: Value = serde_json::from_slice(refusal).unwrap();
        assert_eq!(
            told,
            json!({
                "status": "invalid_token",
                "scope": "openid shop",
                "openid-configuration": format!("{ISSUER}/.well-known/openid-configuration"),
            })
        );
        client.send(&response(b"\x01"));
        assert_eq!(client.answer().sqlstate(), sqlstate);
        assert!(client.is_closed());
        assert_eq!(bed.refused(sqlstate) - before, counted);
    }
    // A client that takes no note of it.
    for other in [
        &b""[..],
        b"\x01\x01",
        b"n,,\x01auth=Bearer x\x01\x01",
        &[b'x'; 2_000],
    ] {
        let mut client = asked(&bed, "x@oauth", &[]);
        client.send(&bearer("nonsense"));
        request(&client.answer());
        client.send(&response(other));
        assert_eq!(client.answer().sqlstate(), "08P01");
    }
}

#[test]
fn malformed_messages() {
    let bed = bed();
    let token = alice().token();
    let huge = "x".repeat(20_000);
    for message in [
        initial("SCRAM-SHA-256", Some(b"n,,n=,r=abc")),
        initial("PLAIN", Some(b"\0x\0y")),
        initial("OAUTHBEARER", Some(b"")),
        initial("OAUTHBEARER", Some(b"\x01")),
        initial(
            "OAUTHBEARER",
            Some(format!("n,,\x01auth=Basic {token}\x01\x01").as_bytes()),
        ),
        initial(
            "OAUTHBEARER",
            Some(format!("p=x,,\x01auth=Bearer {token}\x01\x01").as_bytes()),
        ),
        initial(
            "OAUTHBEARER",
            Some(format!("n,,\x01auth=Bearer {token}\0\x01\x01").as_bytes()),
        ),
        bearer(&huge),
    ] {
        let mut client = asked(&bed, "x@oauth", &[]);
        client.send(&message);
        let error = client.answer();
        assert_eq!(error.sqlstate(), "08P01", "{message:?}");
        let said = String::from_utf8_lossy(&error.body).into_owned();
        assert!(!said.contains(&token[token.len() - 12..]), "{said}");
    }
}

/// The real thing: libpq 18 comes with psycopg. Its hook hands over the token, once without and once with the
/// server's word on where to get one.
#[test]
fn libpq_18_logs_in() {
    let bed = bed();
    let script = format!(
        r#"
import ctypes, glob, os, psycopg, psycopg_binary
assert psycopg.pq.version() >= 180000, psycopg.pq.version()
folder = os.path.dirname(psycopg_binary.__file__) + '.libs'
libpq = ctypes.CDLL(glob.glob(os.path.join(folder, 'libpq-*'))[0])

class Request(ctypes.Structure):
    _fields_ = [(name, ctypes.c_char_p if name in ('config', 'scope', 'token') else ctypes.c_void_p)
                for name in ('config', 'scope', 'poll', 'cleanup', 'token', 'user')]

token = {token}
def hook(kind, connection, request):
    if kind != 1:
        return 0
    print(request.contents.config.decode(), request.contents.scope.decode())
    request.contents.token = token
    return 1

kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(Request))
hook = kind(hook)
libpq.PQsetAuthDataHook(hook)
for extra in ({{'user': 'alice@oauth'}}, {{'user': 'x', 'options': '-c portcullis.auth=oauth'}}):
    with psycopg.connect(host='127.0.0.1', port={port}, dbname='acme', oauth_issuer='{ISSUER}',
                         oauth_client_id='test', require_auth='oauth', **extra) as session:
        print(session.execute('SELECT who()').fetchone()[0])
token = b'nonsense'
try:
    psycopg.connect(host='127.0.0.1', port={port}, dbname='acme', user='x@oauth', oauth_issuer='{ISSUER}',
                    oauth_client_id='test')
except psycopg.OperationalError as error:
    print('refused', 'token is not a JWT' in str(error), error)
"#,
        token = format_args!("b'{}'", alice().token()),
        port = bed.port()
    );
    let python = tools::python().unwrap();
    let output = Command::new(python).arg("-c").arg(script).output().unwrap();
    let said = stdout(&output);
    let told = format!("{ISSUER}/.well-known/openid-configuration openid shop");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(&lines[..5], [&told, ALICE, &told, ALICE, &told], "{said}");
    assert!(lines[5].starts_with("refused"), "{said}");
}

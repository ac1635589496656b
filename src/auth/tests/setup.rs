//! Settings that cannot work, and that all of their mistakes are told.

use super::*;

fn mistakes(settings: Settings) -> Vec<(Place, String)> {
    let Err(error) = Authenticator::new(settings, Events::none()) else {
        return Vec::new();
    };
    error
        .mistakes
        .into_iter()
        .map(|mistake| (mistake.place, mistake.reason.to_string()))
        .collect()
}

fn places(settings: Settings) -> Vec<Place> {
    mistakes(settings).into_iter().map(|(place, _)| place).collect()
}

fn jwks_url(url: &str) -> KeySource {
    KeySource::JwksUrl {
        url: url.to_owned(),
        refresh_interval: Duration::from_secs(60),
        min_interval: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        max_bytes: 1_000,
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let mut bad = hs256();
    bad.issuers
        .push(issuer(&[], KeySource::JwksFile("/nonexistent/keys.json".into())));
    bad.issuers
        .push(issuer(&[Algorithm::HS256], jwks_url("http://example.com/keys")));
    bad.issuers[0].keys = KeySource::Secret(Secret::new(*b"short"));
    bad.roles.insert("None".into());
    bad.default_role = Some("elsewhere".into());
    bad.anonymous_role = Some("none".into());
    let mut found = places(bad);
    found.sort_by_key(|place| format!("{place:?}"));
    let expected = [
        Place::Algorithms(1),
        Place::Algorithms(2),
        Place::AnonymousRole,
        Place::DefaultRole,
        Place::Issuer(1),
        Place::Issuer(2),
        Place::Keys(0),
        Place::Keys(1),
        Place::Keys(2),
        Place::Roles,
    ];
    assert_eq!(found, expected);
}

#[test]
fn somebody_must_be_able_to_log_in() {
    let nobody = Settings {
        issuers: vec![],
        ..hs256()
    };
    assert_eq!(places(nobody.clone()), [Place::Issuers]);
    let roles = Default::default();
    let anonymous = Settings {
        anonymous_role: Some("anon".into()),
        roles,
        ..nobody
    };
    assert_eq!(places(anonymous), []);
    let roles = Default::default();
    assert_eq!(places(Settings { roles, ..hs256() }), [Place::Roles]);
}

#[test]
fn algorithms_must_fit_the_key() {
    let pem = include_bytes!("../testdata/rsa.pub.pem");
    let rsa = |algorithms: &[Algorithm]| settings(algorithms, KeySource::Pem(pem.to_vec()));
    assert_eq!(
        places(rsa(&[Algorithm::HS256, Algorithm::ES256])),
        [Place::Algorithms(0)]
    );
    assert_eq!(places(rsa(&[Algorithm::HS256, Algorithm::RS256])), []);
    let secret = KeySource::Secret(Secret::new(SECRET));
    assert_eq!(
        places(settings(&[Algorithm::RS256], secret)),
        [Place::Algorithms(0)]
    );
    let secret = KeySource::Secret(Secret::new(pem.as_slice()));
    assert_eq!(places(settings(&[Algorithm::HS256], secret)), [Place::Keys(0)]);
}

#[test]
fn intervals_must_make_sense() {
    let with = |change: fn(&mut Duration, &mut Duration, &mut Duration, &mut usize)| {
        let mut source = jwks_url("https://issuer.test/keys");
        if let KeySource::JwksUrl {
            refresh_interval,
            min_interval,
            timeout,
            max_bytes,
            ..
        } = &mut source
        {
            change(refresh_interval, min_interval, timeout, max_bytes);
        }
        places(settings(&[Algorithm::RS256], source))
    };
    assert_eq!(
        with(|refresh, _, _, _| *refresh = Duration::from_secs(1)),
        [Place::Keys(0)]
    );
    assert_eq!(with(|_, least, _, _| *least = Duration::ZERO), [Place::Keys(0)]);
    assert_eq!(
        with(|_, _, timeout, _| *timeout = Duration::ZERO),
        [Place::Keys(0)]
    );
    assert_eq!(with(|_, _, _, bytes| *bytes = 0), [Place::Keys(0)]);
}

#[test]
fn mistakes_read_as_a_key_and_a_reason() {
    let bad = Settings {
        default_role: Some("x".into()),
        ..hs256()
    };
    let error = Authenticator::new(bad, Events::none()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "default_role: the role \"x\" is not one of the listed roles"
    );
}

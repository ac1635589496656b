//! What the claims grant: which role, which tenants.

use std::collections::BTreeSet;

use super::json::{Json, Object};
use super::{AuthError, ClaimPath, Place, SetupMistake, SetupReason};
use crate::base::{RoleName, TenantName};

/// Longest role name in bytes: `NAMEDATALEN` - 1 (pg_config_manual.h). Postgres cuts longer ones off,
/// which would make another role of them.
const ROLE_BYTES: usize = 63;

/// Most roles and most bytes of each that an error message repeats from a token.
const TOLD_ROLES: usize = 8;

/// Which role a token gets.
#[derive(Debug)]
pub(super) struct RoleRule {
    pub(super) claim: ClaimPath,
    pub(super) default: Option<RoleName>,
    pub(super) allowed: BTreeSet<RoleName>,
}

impl RoleRule {
    /// The role that the startup `user` asks for. A name that is no listed role asks for nothing.
    pub(super) fn wanted(&self, user: &str) -> Option<&RoleName> {
        self.allowed.get(user)
    }

    /// The role of a token with these claims. Roles that are not on the list count as not there, so that
    /// what identity providers add of their own (`offline_access`) is in nobody's way.
    pub(super) fn resolve(&self, claims: &Object, wanted: Option<&RoleName>) -> Result<RoleName, AuthError> {
        let named = self.named(claims)?;
        let permitted: Vec<RoleName> = if named.is_empty() {
            self.default.iter().cloned().collect()
        } else {
            let mut seen = BTreeSet::new();
            let listed = named.iter().filter_map(|name| self.allowed.get(*name));
            listed.filter(|role| seen.insert(*role)).cloned().collect()
        };
        match (permitted.as_slice(), wanted) {
            ([], _) if named.is_empty() => Err(AuthError::NoRole(self.claim.to_string())),
            ([], _) => Err(AuthError::RoleNotAllowed { named: told(&named) }),
            (roles, Some(wanted)) if roles.contains(wanted) => Ok(wanted.clone()),
            (_, Some(wanted)) => Err(AuthError::RoleNotPermitted {
                wanted: wanted.clone(),
                permitted,
            }),
            ([only], None) => Ok(only.clone()),
            (_, None) => Err(AuthError::RoleNotChosen { permitted }),
        }
    }

    /// The names in the role claim. Absent, `null` and `[]` name none.
    fn named<'a>(&self, claims: &'a Object) -> Result<Vec<&'a str>, AuthError> {
        let names: Option<Vec<&str>> = match self.claim.find(claims) {
            None | Some(Json::Null) => Some(Vec::new()),
            Some(Json::Text(name)) => Some(vec![name]),
            Some(Json::Array(names)) => names.iter().map(Json::as_str).collect(),
            Some(_) => None,
        };
        names.ok_or_else(|| AuthError::RoleType(self.claim.to_string()))
    }
}

/// The tenants that the claim names. Absent and `null` name none.
pub(super) fn tenants(claim: &ClaimPath, claims: &Object) -> Result<Vec<TenantName>, AuthError> {
    let values = match claim.find(claims) {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Array(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
    };
    let mut seen = BTreeSet::new();
    let mut tenants = Vec::new();
    for value in values {
        let tenant = tenant(value).ok_or_else(|| AuthError::TenantType(claim.to_string()))?;
        if seen.insert(tenant.clone()) {
            tenants.push(tenant);
        }
    }
    Ok(tenants)
}

/// Whether Postgres can switch to a role of this name and to no other.
pub(super) fn check_role_name(role: &RoleName, place: Place) -> Result<(), SetupMistake> {
    let name = role.as_str();
    let reason = if name.eq_ignore_ascii_case("none") {
        SetupReason::RoleIsKeyword(name.to_owned())
    } else if name.is_empty() || name.len() > ROLE_BYTES || name.contains('\0') {
        SetupReason::RoleNameLength(name.to_owned())
    } else {
        return Ok(());
    };
    Err(SetupMistake { place, reason })
}

fn tenant(value: &Json) -> Option<TenantName> {
    match value {
        Json::Text(name) if !name.is_empty() && !name.contains(char::is_control) => {
            Some(TenantName::from(name.as_str()))
        }
        // Of any length, as it is written. 1.5 names no tenant, and 1.0, 1e0 or -0 are not written alike everywhere.
        Json::Number(number) if number.is_integer() => Some(TenantName::from(number.as_str())),
        _ => None,
    }
}

/// Names from a token, made fit for a message: few, short and escaped.
fn told(names: &[&str]) -> Vec<String> {
    let shown = names.iter().take(TOLD_ROLES);
    shown
        .map(|name| format!("{:?}", name.chars().take(ROLE_BYTES).collect::<String>()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rule(default: Option<&str>) -> RoleRule {
        RoleRule {
            claim: ClaimPath::parse("role").unwrap(),
            default: default.map(RoleName::from),
            allowed: ["anon", "member", "admin"]
                .into_iter()
                .map(RoleName::from)
                .collect(),
        }
    }

    fn resolve(rule: &RoleRule, claim: Value, user: &str) -> Result<String, AuthError> {
        let mut claims = Object::new();
        claims.insert("role".to_owned(), claim.into());
        let role = rule.resolve(&claims, rule.wanted(user))?;
        Ok(role.as_str().to_owned())
    }

    #[test]
    fn one_role_is_taken_whatever_free_text_the_user_is() {
        let rule = rule(None);
        for claim in [json!("member"), json!(["member"]), json!(["member", "member"])] {
            for user in ["member", "somebody", "", "none", "MEMBER"] {
                assert_eq!(
                    resolve(&rule, claim.clone(), user).as_deref(),
                    Ok("member"),
                    "{user}"
                );
            }
        }
    }

    #[test]
    fn a_listed_role_that_the_token_does_not_carry_is_refused() {
        let expected = AuthError::RoleNotPermitted {
            wanted: "admin".into(),
            permitted: vec!["member".into()],
        };
        assert_eq!(resolve(&rule(None), json!("member"), "admin"), Err(expected));
        let expected = AuthError::RoleNotPermitted {
            wanted: "admin".into(),
            permitted: vec!["anon".into()],
        };
        assert_eq!(resolve(&rule(Some("anon")), Value::Null, "admin"), Err(expected));
    }

    #[test]
    fn of_several_roles_the_user_chooses() {
        let rule = rule(Some("anon"));
        let both = json!(["admin", "offline_access", "member"]);
        assert_eq!(resolve(&rule, both.clone(), "member").as_deref(), Ok("member"));
        assert_eq!(resolve(&rule, both.clone(), "admin").as_deref(), Ok("admin"));
        let expected = AuthError::RoleNotChosen {
            permitted: vec!["admin".into(), "member".into()],
        };
        assert_eq!(
            resolve(&rule, both.clone(), "offline_access"),
            Err(expected.clone())
        );
        assert_eq!(resolve(&rule, both, "somebody"), Err(expected));
    }

    #[test]
    fn the_default_is_for_tokens_that_name_none() {
        for claim in [Value::Null, json!([])] {
            assert_eq!(
                resolve(&rule(Some("anon")), claim.clone(), "x").as_deref(),
                Ok("anon")
            );
            let expected = AuthError::NoRole("$.role".to_owned());
            assert_eq!(resolve(&rule(None), claim, "x"), Err(expected));
        }
        assert_eq!(
            rule(Some("anon")).resolve(&Object::new(), None),
            Ok("anon".into())
        );
    }

    #[test]
    fn what_is_not_listed_is_refused_and_never_falls_back() {
        let rule = rule(Some("anon"));
        for name in [
            "none",
            "NONE",
            "",
            "Member",
            " member",
            "authenticator",
            "member\0",
            "\"member\"",
        ] {
            for claim in [json!(name), json!([name])] {
                let refused = resolve(&rule, claim, "x");
                assert!(
                    matches!(refused, Err(AuthError::RoleNotAllowed { .. })),
                    "{name}: {refused:?}"
                );
            }
        }
    }

    #[test]
    fn a_role_of_another_type_is_refused() {
        let rule = rule(Some("anon"));
        for claim in [
            json!(1),
            json!(true),
            json!({"role": "member"}),
            json!(["member", 1]),
            json!([["member"]]),
        ] {
            let expected = AuthError::RoleType("$.role".to_owned());
            assert_eq!(resolve(&rule, claim.clone(), "member"), Err(expected), "{claim}");
        }
    }

    #[test]
    fn a_refusal_repeats_little_of_the_token() {
        let names = vec!["x".repeat(5_000); 2_000];
        let Err(error) = resolve(&rule(None), json!(names), "x") else {
            panic!("let in");
        };
        assert!(error.hint().len() < 1_000);
    }

    #[test]
    fn tenants_are_names_integers_or_lists_of_them() {
        let claim = ClaimPath::parse("$.t").unwrap();
        let read = |value: Value| {
            let mut claims = Object::new();
            claims.insert("t".to_owned(), value.into());
            tenants(&claim, &claims)
                .map(|names| names.iter().map(|n| n.as_str().to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(read(json!("acme")), Ok(vec!["acme".to_owned()]));
        assert_eq!(read(json!(42)), Ok(vec!["42".to_owned()]));
        assert_eq!(
            read(json!(["b", "a", "b", 7])),
            Ok(vec!["b".to_owned(), "a".to_owned(), "7".to_owned()])
        );
        let number = |text: &str| {
            let claims = Object::from([("t".to_owned(), Json::parse(text).unwrap())]);
            tenants(&claim, &claims)
                .map(|names| names.iter().map(|n| n.as_str().to_owned()).collect::<Vec<_>>())
        };
        for text in ["110169484474386276334", "110169484474386276335", "-7", "0"] {
            assert_eq!(number(text), Ok(vec![text.to_owned()]));
        }
        for text in ["42.0", "4.2e1", "42e0", "-0", "1E400"] {
            assert_eq!(
                number(text),
                Err(AuthError::TenantType("$.t".to_owned())),
                "{text}"
            );
        }
        assert_eq!(read(json!(null)), Ok(vec![]));
        assert_eq!(read(json!([])), Ok(vec![]));
        let wrong = [
            json!(true),
            json!({"id": 1}),
            json!(1.5),
            json!([["a"]]),
            json!([null]),
            json!(""),
            json!("a\0b"),
            json!("a\n"),
        ];
        for value in wrong {
            assert_eq!(
                read(value.clone()),
                Err(AuthError::TenantType("$.t".to_owned())),
                "{value}"
            );
        }
        assert_eq!(tenants(&claim, &Object::new()), Ok(vec![]));
    }

    #[test]
    fn role_names_that_postgres_reads_otherwise_are_no_roles() {
        let long = "r".repeat(64);
        for name in ["none", "None", "", long.as_str(), "a\0"] {
            assert!(
                check_role_name(&RoleName::from(name), Place::Roles).is_err(),
                "{name:?}"
            );
        }
        assert!(check_role_name(&RoleName::from(&*"r".repeat(63)), Place::Roles).is_ok());
    }
}

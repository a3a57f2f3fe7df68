use serde_json::json;

use super::*;

const NOW: u64 = 1_000;

/// Accepts claims that are good but for `changes`; null takes one away.
fn accept(rules: &ClaimRules, changes: &Value) -> Result<Accepted, Unfit> {
    let mut claims = json!({"iss": "i", "sub": "s", "aud": "https://gw.test/mcp", "exp": NOW + 60});
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    accept_text(rules, &claims.to_string())
}

fn accept_text(rules: &ClaimRules, claims: &str) -> Result<Accepted, Unfit> {
    let claims: Claims = serde_json::from_str(claims).unwrap();
    let resource = "https://gw.test/mcp".parse().unwrap();
    claims.accept(&Wanted { issuer: "i", resource: &resource, rules, now: NOW, leeway_seconds: 30 })
}

fn names(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

#[test]
fn a_claim_of_another_type_is_refused_and_the_reason_names_it() {
    let rules = ClaimRules::default();
    for (changes, expected) in [
        (
            json!({"iss": ["i"]}),
            "expected `iss` to be a string with something in it, but found an array that does not fit",
        ),
        (
            json!({"sub": 7}),
            "expected `sub` to be a string with something in it, but found a number that does not fit",
        ),
        (json!({"sub": ""}), "expected `sub` to be a string with something in it, but found an empty string"),
        (json!({"sub": {"a": 1}}), "expected `sub` to be a string with something in it, but found an object"),
        (json!({"sub": null}), "expected `sub` to be a string, but found no such claim"),
        (
            json!({"aud": null}),
            "expected `aud` to be a string or an array of strings, but found no such claim",
        ),
        (json!({"aud": true}), "expected `aud` to be a string or an array of strings, but found a boolean"),
        (
            json!({"aud": ["https://gw.test/mcp", 1]}),
            "expected `aud` to be a string or an array of strings, but found an array that does not fit",
        ),
        (json!({"exp": null}), "expected `exp` to be a date after 1970, but found no such claim"),
        (json!({"exp": "2000"}), "expected `exp` to be a date after 1970, but found a string"),
        (json!({"exp": -1}), "expected `exp` to be a date after 1970, but found a number that does not fit"),
        (json!({"nbf": "x"}), "expected `nbf` to be a date after 1970, but found a string"),
        (json!({"iat": []}), "expected `iat` to be a date after 1970, but found an array that does not fit"),
        (
            json!({"jti": 1}),
            "expected `jti` to be a string with something in it, but found a number that does not fit",
        ),
        (
            json!({"client_id": 1}),
            "expected `client_id` to be a string with something in it, but found a number that does not fit",
        ),
        (
            json!({"azp": ["c"]}),
            "expected `azp` to be a string with something in it, but found an array that does not fit",
        ),
        (json!({"scope": ["a"]}), "expected `scope` to be a string, but found an array that does not fit"),
    ] {
        let refused = accept(&rules, &changes).unwrap_err();
        assert!(matches!(refused.why, InvalidToken::Untrusted(_)), "{changes}");
        assert_eq!(refused.detail, expected, "{changes}");
    }
    let with_null = r#"{"iss":"i","sub":"s","aud":"https://gw.test/mcp","exp":1060,"nbf":null}"#;
    let refused = accept_text(&rules, with_null).unwrap_err();
    assert_eq!(refused.detail, "expected `nbf` to be a date after 1970, but found null");
    let twice = r#"{"iss":"i","sub":"s","sub":"root","aud":"https://gw.test/mcp","exp":1060}"#;
    assert!(serde_json::from_str::<Claims>(twice).is_err());
}

#[test]
fn scopes_come_from_the_first_claim_that_is_there_in_the_form_of_that_claim() {
    let rules = |claims: &[&str]| ClaimRules { scope_claims: names(claims), ..ClaimRules::default() };
    for (claims, changes, expected) in [
        (&["scope"][..], json!({"scope": "b a"}), Some("a b")),
        (&["scope"], json!({"scope": ""}), Some("")),
        (&["scope"], json!({"scp": "a", "permissions": ["b"]}), Some("")),
        (&["scope"], json!({"scope": ["a"]}), None),
        (&["scope", "scp"], json!({"scope": ["a"], "scp": "a"}), None),
        (&["scp"], json!({"scp": "a b"}), Some("a b")),
        (&["scp"], json!({"scp": ["a", "b"]}), Some("a b")),
        (&["scp"], json!({"scp": []}), Some("")),
        (&["scp"], json!({"scp": ["a b"]}), None),
        (&["scp"], json!({"scp": [""]}), None),
        (&["scp"], json!({"scp": ["a", 1]}), None),
        (&["scp"], json!({"scp": {"a": true}}), None),
        (&["scp"], json!({"scp": 1}), None),
        (&["permissions"], json!({"permissions": ["a"]}), Some("a")),
        (&["permissions"], json!({"permissions": "a"}), None),
        // What the user may do is less than what was asked for: the two are never added up.
        (&["permissions", "scope"], json!({"permissions": ["a"], "scope": "a b"}), Some("a")),
        (&["permissions", "scope"], json!({"permissions": [], "scope": "a b"}), Some("")),
        (&["permissions", "scope"], json!({"scope": "a b"}), Some("a b")),
    ] {
        let scopes =
            accept(&rules(claims), &changes).ok().map(|accepted| accepted.token.scopes().to_string());
        assert_eq!(scopes.as_deref(), expected, "{claims:?} {changes}");
    }
}

#[test]
fn the_audience_is_one_that_is_configured_in_the_claim_that_is_configured() {
    let configured = |claim: &str, audiences: &[&str]| ClaimRules {
        audience_claim: claim.into(),
        audiences: (!audiences.is_empty()).then(|| names(audiences)),
        ..ClaimRules::default()
    };
    for (rules, changes, good) in [
        (configured("aud", &[]), json!({}), true),
        (configured("aud", &[]), json!({"aud": ["x", "https://gw.test/mcp"]}), true),
        (configured("aud", &[]), json!({"aud": "https://gw.test/other"}), false),
        (configured("aud", &[]), json!({"aud": []}), false),
        (configured("aud", &["a", "b"]), json!({"aud": "b"}), true),
        (configured("aud", &["a", "b"]), json!({"aud": ["x", "a"]}), true),
        // The resource is no audience unless it is listed, and what is listed is compared as it is.
        (configured("aud", &["a", "b"]), json!({}), false),
        (configured("aud", &["a", "b"]), json!({"aud": "A"}), false),
        (configured("aud", &["a", "b"]), json!({"aud": "a/"}), false),
        (configured("client_id", &["c"]), json!({"aud": null, "client_id": "c"}), true),
        (configured("client_id", &["c"]), json!({"aud": null, "client_id": "d"}), false),
        (configured("client_id", &["c"]), json!({"aud": "c", "client_id": "d"}), false),
    ] {
        let accepted = accept(&rules, &changes).map(drop).map_err(|unfit| unfit.why);
        assert_eq!(
            accepted,
            if good { Ok(()) } else { Err(InvalidToken::WrongAudience) },
            "{rules:?} {changes}"
        );
    }
    let refused = accept(&configured("aud", &["a", "b"]), &json!({"aud": ["x\n", "y"]})).unwrap_err();
    assert_eq!(refused.detail, r"expected `aud` to name `a` or `b`, but found `x\n y`");
    let refused = accept(&configured("client_id", &["c"]), &json!({"aud": "c"})).unwrap_err();
    assert!(refused.detail.ends_with("but found no such claim"), "{}", refused.detail);
}

#[test]
fn a_required_claim_is_there_with_its_value() {
    let rules = ClaimRules {
        required: vec![
            ("token_use".into(), Some("access".into())),
            ("verified".into(), Some(true.into())),
            ("version".into(), Some(2.into())),
            ("scp".into(), None),
        ],
        ..ClaimRules::default()
    };
    let good = json!({"token_use": "access", "verified": true, "version": 2, "scp": ""});
    assert!(accept(&rules, &good).is_ok());
    for (name, value) in [
        ("token_use", json!("id")),
        ("token_use", json!("Access")),
        ("token_use", json!(["access"])),
        ("token_use", Value::Null),
        ("verified", json!("true")),
        ("verified", json!(1)),
        ("version", json!("2")),
        ("version", json!(2.5)),
        ("scp", Value::Null),
    ] {
        let mut bad = good.clone();
        bad[name] = value.clone();
        let refused = accept(&rules, &bad).unwrap_err();
        assert!(refused.detail.contains(&format!("`{name}`")), "{name}: {value}: {}", refused.detail);
    }
}

#[test]
fn clients_come_from_the_first_claim_that_is_there() {
    let rules = ClaimRules::default();
    for (changes, expected) in [
        (json!({"client_id": "a", "azp": "b"}), Some("a")),
        (json!({"azp": "b", "cid": "c"}), Some("b")),
        (json!({"cid": "c"}), Some("c")),
        (json!({"appid": "d"}), Some("d")),
        (json!({}), None),
    ] {
        assert_eq!(accept(&rules, &changes).unwrap().token.client_id(), expected, "{changes}");
    }
    let other = ClaimRules { client_claims: names(&["azp"]), ..rules };
    assert_eq!(accept(&other, &json!({"client_id": "a", "azp": "b"})).unwrap().token.client_id(), Some("b"));
}

/// Whatever the claims, two tokens with one subject have the same value in the same claim.
#[test]
fn no_two_users_have_one_subject() {
    let rules = ClaimRules { subject_claims: names(&["oid", "sub", "uid"]), ..ClaimRules::default() };
    let subject = |changes: Value| {
        accept(&rules, &changes)
            .map(|accepted| accepted.token.subject().to_owned())
            .map_err(|unfit| unfit.why)
    };
    assert_eq!(subject(json!({"oid": "a"})), Ok("a".to_owned()));
    assert_eq!(subject(json!({"sub": "a"})), Ok("sub:a".to_owned()));
    assert_eq!(subject(json!({"sub": null, "uid": "a"})), Ok("uid:a".to_owned()));
    let mistakable = Err(InvalidToken::Untrusted("the subject could be mistaken for another one"));
    assert_eq!(subject(json!({"oid": "sub:a"})), mistakable);
    assert_eq!(subject(json!({"oid": "uid:"})), mistakable);
    assert_eq!(subject(json!({"oid": "oid:a"})), Ok("oid:a".to_owned()), "no subject is written so");
    assert!(subject(json!({"sub": null})).is_err());
    assert!(subject(json!({"oid": 1, "sub": "a"})).is_err(), "an ill-typed claim makes no way for the next");

    // Names of which one begins with another.
    let rules = ClaimRules { subject_claims: names(&["x", "a", "a:b"]), ..rules };
    let sub = |changes: Value| accept(&rules, &changes).map(|accepted| accepted.token.subject().to_owned());
    assert!(sub(json!({"a": "b:c"})).is_err() && sub(json!({"a:b": "c"})).is_err());
}

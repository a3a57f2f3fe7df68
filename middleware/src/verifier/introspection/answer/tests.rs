use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://as.test";
const RESOURCE: &str = "https://gw.test/mcp";

fn expected() -> Expected {
    Expected {
        issuer: ISSUER.into(),
        resource: RESOURCE.parse().unwrap(),
        leeway_seconds: 30,
        endpoint_is_for_this_resource: false,
        client_as_subject: false,
    }
}

/// An answer that is a plain yes, with changes; `null` takes a member away.
fn answer(changes: &Value) -> String {
    let mut answer = json!({
        "active": true, "iss": ISSUER, "sub": "alex", "aud": RESOURCE, "exp": NOW + 60, "client_id": "c",
        "scope": "b a", "token_type": "Bearer",
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            answer.as_object_mut().unwrap().remove(name);
        } else {
            answer[name] = value.clone();
        }
    }
    answer.to_string()
}

fn judged(changes: &Value) -> Result<VerifiedToken, VerifyError> {
    judge(answer(changes).as_bytes(), &expected(), NOW)
}

#[test]
fn only_active_true_is_a_yes_and_only_active_false_is_a_no() {
    assert!(judged(&json!({})).is_ok());
    assert!(matches!(
        judged(&json!({"active": false})),
        Err(VerifyError::Invalid(InvalidToken::Untrusted(_)))
    ));
    assert!(matches!(
        judge(br#"{"active":false}"#, &expected(), NOW),
        Err(VerifyError::Invalid(InvalidToken::Untrusted(_)))
    ));
    for active in [json!("true"), json!("false"), json!(1), json!(0), json!([true]), json!({}), Value::Null] {
        assert!(matches!(judged(&json!({ "active": active })), Err(VerifyError::Unavailable(_))), "{active}");
    }
    // `null` above takes the member away; here it is there.
    let null = answer(&json!({})).replace("\"active\":true", "\"active\":null");
    assert!(matches!(judge(null.as_bytes(), &expected(), NOW), Err(VerifyError::Unavailable(_))));
}

#[test]
fn an_answer_that_says_two_things_or_nothing_is_no_answer() {
    for body in [
        "",
        "null",
        "true",
        "active",
        "[{\"active\":true}]",
        "{\"active\":true",
        "{\"active\":true}}",
        "<html></html>",
        "eyJhbGciOiJFUzI1NiJ9.e30.c2ln",
    ] {
        assert!(
            matches!(judge(body.as_bytes(), &expected(), NOW), Err(VerifyError::Unavailable(_))),
            "{body}"
        );
    }
    for twice in [
        r#"{"active":false,"#,
        r#"{"\u0061ctive":false,"#,
        r#"{"aud":"https://gw.test/other","#,
        r#"{"sub":"blake","#,
        r#"{"x":{"y":1,"y":2},"#,
    ] {
        let body = answer(&json!({})).replacen('{', twice, 1);
        assert!(
            matches!(judge(body.as_bytes(), &expected(), NOW), Err(VerifyError::Unavailable(_))),
            "{body}"
        );
    }
    let not_utf8 = answer(&json!({})).replace("alex", "al\u{fffd}x").into_bytes();
    let not_utf8: Vec<u8> = not_utf8.into_iter().filter(|byte| *byte != 0xBF).collect();
    assert!(matches!(judge(&not_utf8, &expected(), NOW), Err(VerifyError::Unavailable(_))));
}

#[test]
fn a_member_of_another_type_makes_the_answer_unclear() {
    for changes in [
        json!({"iss": 1}),
        json!({"iss": [ISSUER]}),
        json!({"aud": 1}),
        json!({"aud": {"a": RESOURCE}}),
        json!({"aud": [RESOURCE, 1]}),
        json!({"exp": "1800000060"}),
        json!({"exp": -1}),
        json!({"exp": 1e300}),
        json!({"nbf": "x"}),
        json!({"sub": 7}),
        json!({"scope": ["a"]}),
        json!({"client_id": 1}),
        json!({"token_type": 1}),
        json!({"token_use": {}}),
    ] {
        assert!(matches!(judged(&changes), Err(VerifyError::Unavailable(_))), "{changes}");
    }
}

#[test]
fn a_token_of_another_issuer_is_refused() {
    for issuer in ["https://evil.test", "https://as.test/", "", "HTTPS://as.test"] {
        assert_eq!(
            judged(&json!({ "iss": issuer })),
            Err(VerifyError::Invalid(InvalidToken::UnknownIssuer)),
            "{issuer}"
        );
    }
    // RFC 7662 §2.2: `iss` is optional. The endpoint is the issuer's.
    let token = judged(&json!({"iss": null})).unwrap();
    assert_eq!((token.issuer(), token.claim("iss")), (ISSUER, Some(&json!(ISSUER))));
}

#[test]
fn a_token_that_is_not_for_this_resource_is_refused() {
    let wrong = Err(VerifyError::Invalid(InvalidToken::WrongAudience));
    for audience in [
        json!("https://gw.test/other"),
        json!("https://gw.test/mcp/"),
        json!("https://gw.test"),
        json!(""),
        json!([]),
        json!(["https://gw.test/other", "c"]),
        Value::Null,
    ] {
        assert_eq!(judged(&json!({ "aud": audience })), wrong, "{audience}");
    }
    assert!(judged(&json!({"aud": ["x", RESOURCE]})).is_ok());

    // An endpoint for this resource alone need not say so. Where it says something else, that counts.
    let only_here = Expected { endpoint_is_for_this_resource: true, ..expected() };
    let judged = |changes: &Value| judge(answer(changes).as_bytes(), &only_here, NOW);
    assert!(judged(&json!({"aud": null})).is_ok());
    assert_eq!(judged(&json!({"aud": "https://gw.test/other"})), wrong);
    assert_eq!(judged(&json!({"aud": []})), wrong);
}

#[test]
fn exp_and_nbf_are_judged_by_our_own_clock() {
    for (changes, why) in [
        (json!({"exp": NOW - 30}), InvalidToken::Expired),
        (json!({"exp": 0}), InvalidToken::Expired),
        (json!({"nbf": NOW + 31}), InvalidToken::NotYetValid),
    ] {
        assert_eq!(judged(&changes), Err(VerifyError::Invalid(why)), "{changes}");
    }
    for changes in [json!({"exp": NOW - 29}), json!({"nbf": NOW + 30}), json!({"exp": 1_800_000_060.7})] {
        assert!(judged(&changes).is_ok(), "{changes}");
    }
    // RFC 7662 §2.2: `exp` is optional. A stream is then good for five minutes.
    let undated = judged(&json!({"exp": null})).unwrap();
    assert_eq!((undated.expires_at(), undated.claim("exp")), (NOW + 300, None));
}

#[test]
fn a_refresh_token_or_an_id_token_is_no_access_token() {
    for changes in [
        json!({"token_type": "refresh_token"}),
        json!({"token_type": "Refresh"}),
        json!({"token_type": "N_A"}),
        json!({"token_type": "urn:ietf:params:oauth:token-type:refresh_token"}),
        json!({"token_type": ""}),
        json!({"token_use": "refresh_token"}),
        json!({"token_use": "id"}),
        json!({"typ": "Refresh"}),
        json!({"typ": "Offline"}),
        json!({"typ": "ID"}),
        json!({"token_type": "DPoP"}),
        json!({"token_type": "dpop", "cnf": null}),
    ] {
        assert!(
            matches!(judged(&changes), Err(VerifyError::Invalid(InvalidToken::Untrusted(_)))),
            "{changes}"
        );
    }
    for changes in [
        json!({"token_type": "bearer"}),
        json!({"token_type": "DPoP", "cnf": {"jkt": "x"}}),
        json!({"token_type": "access_token"}),
        json!({"token_type": null}),
        json!({"token_use": "access"}),
        json!({"typ": "Bearer"}),
    ] {
        assert!(judged(&changes).is_ok(), "{changes}");
    }
}

#[test]
fn a_token_without_subject_is_refused_unless_its_client_may_stand_for_it() {
    let none = |changes: &Value, expected: &Expected| {
        matches!(
            judge(answer(changes).as_bytes(), expected, NOW),
            Err(VerifyError::Invalid(InvalidToken::Untrusted(_)))
        )
    };
    assert!(none(&json!({"sub": null}), &expected()));
    assert!(none(&json!({"sub": ""}), &expected()));
    let clients = Expected { client_as_subject: true, ..expected() };
    assert!(none(&json!({"sub": null, "client_id": null}), &clients));
    assert!(none(&json!({"sub": null, "client_id": ""}), &clients));
    let token = judge(answer(&json!({"sub": null})).as_bytes(), &clients, NOW).unwrap();
    assert_eq!((token.subject(), token.claim("sub")), ("c", Some(&json!("c"))));
    let token = judge(answer(&json!({})).as_bytes(), &clients, NOW).unwrap();
    assert_eq!(token.subject(), "alex", "a user's token is the user's");
}

#[test]
fn an_active_token_is_who_the_answer_says_with_all_it_says() {
    let token = judged(&json!({"cnf": {"jkt": "thumbprint"}, "username": "Alex", "extra": [1, {"a": null}]}))
        .unwrap();
    assert_eq!((token.issuer(), token.subject(), token.client_id()), (ISSUER, "alex", Some("c")));
    assert_eq!((token.scopes().to_string().as_str(), token.expires_at()), ("a b", NOW + 60));
    assert_eq!(token.claim("cnf"), Some(&json!({"jkt": "thumbprint"})), "for the station that enforces it");
    assert_eq!(token.claim("extra"), Some(&json!([1, {"a": null}])));
    assert_eq!(token.claim("active"), None);
    let bare = judged(&json!({"scope": null, "client_id": null})).unwrap();
    assert_eq!((bare.scopes().is_empty(), bare.client_id()), (true, None));
}

#[test]
fn what_an_answer_says_about_a_user_is_not_in_the_error() {
    for body in [r#"{"active":true,"sub":"alex","sub":"alex"}"#, r#"{"active":"alex"}"#, "alex"] {
        let error = judge(body.as_bytes(), &expected(), NOW).unwrap_err().to_string();
        assert!(!error.contains("alex"), "{error}");
    }
}

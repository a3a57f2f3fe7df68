use serde_json::json;

use super::*;
use crate::policy::ScopeSet;

const NOW: u64 = 1_000;

fn token(issuer: &str, subject: &str, client: &str, jti: &str) -> Arc<VerifiedToken> {
    let claims = json!({"jti": jti, "padding": "x".repeat(1_000)}).as_object().unwrap().clone();
    let client = Some(client.into());
    Arc::new(VerifiedToken::assert_verified(issuer, subject, client, ScopeSet::default(), NOW + 60, claims))
}

fn remembered(token: &Arc<VerifiedToken>) -> Remembered {
    Remembered::new(Arc::clone(token), NOW, NOW + 60, None)
}

fn store(partition: &Partition, text: &str, token: &Arc<VerifiedToken>) {
    let (place, found) = partition.find(text, NOW);
    assert!(found.is_none(), "{text}");
    partition.remember(place, remembered(token));
}

fn holds(partition: &Partition, text: &str) -> bool {
    partition.find(text, NOW).1.is_some()
}

#[test]
fn a_token_is_served_from_nbf_to_exp_and_not_a_second_longer() {
    let partition = VerifiedTokens::default().partition();
    store(&partition, "t", &token("i", "s", "c", "1"));
    for (now, expected) in
        [(NOW - 1, false), (NOW, true), (NOW + 59, true), (NOW + 60, false), (NOW + 999, false)]
    {
        assert_eq!(partition.find("t", now).1.is_some(), expected, "{now}");
    }
    assert!(!holds(&partition, "T"), "another token");
}

#[test]
fn verifiers_that_share_a_handle_do_not_share_answers() {
    let tokens = VerifiedTokens::default();
    let (a, b) = (tokens.partition(), tokens.partition());
    store(&a, "t", &token("i", "s", "c", "1"));
    assert!(holds(&a, "t") && !holds(&b, "t"));
    drop(a);
    assert_eq!(tokens.evict_issuer("i"), 0, "a verifier that is gone leaves nothing");
}

#[test]
fn what_is_evicted_is_gone_and_nothing_else_is() {
    type Evict = fn(&VerifiedTokens) -> usize;
    let cases: [(&str, Evict, &[&str]); 7] = [
        ("subject", |tokens| tokens.evict_subject("i", "alex"), &["blake", "other"]),
        ("client", |tokens| tokens.evict_client("i", "c1"), &["blake", "alex2", "other"]),
        ("jti", |tokens| tokens.evict_jti("i", "1"), &["blake", "alex2", "other"]),
        ("issuer", |tokens| tokens.evict_issuer("i"), &["other"]),
        ("a stranger", |tokens| tokens.evict_subject("i", "c1"), &["alex", "alex2", "blake", "other"]),
        (
            "another issuer's",
            |tokens| tokens.evict_subject("x", "alex"),
            &["alex", "alex2", "blake", "other"],
        ),
        ("no jti", |tokens| tokens.evict_jti("i", ""), &["alex", "alex2", "blake", "other"]),
    ];
    for (name, evict, expected) in cases {
        let tokens = VerifiedTokens::default();
        // Evictions reach every verifier.
        let (a, b) = (tokens.partition(), tokens.partition());
        store(&a, "alex", &token("i", "alex", "c1", "1"));
        store(&b, "alex", &token("i", "alex", "c1", "1"));
        store(&a, "alex2", &token("i", "alex", "c2", "2"));
        store(&a, "blake", &token("i", "blake", "c2", "3"));
        store(&a, "other", &token("other", "alex", "c1", "1"));
        let evicted = evict(&tokens.clone());
        let left: Vec<&str> =
            ["alex", "alex2", "blake", "other"].into_iter().filter(|text| holds(&a, text)).collect();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(left, expected, "{name}");
        assert_eq!(holds(&b, "alex"), expected.contains(&"alex"), "{name}");
        let in_b = usize::from(!expected.contains(&"alex"));
        assert_eq!(evicted, 4 - left.len() + in_b, "{name}");
    }
}

/// Between asking an issuer about a token and remembering the answer, the token may be revoked.
#[test]
fn what_is_evicted_while_it_is_verified_is_not_remembered() {
    let tokens = VerifiedTokens::default();
    let partition = tokens.partition();
    let (place, _) = partition.find("t", NOW);
    tokens.evict_subject("i", "alex");
    partition.remember(place, remembered(&token("i", "alex", "c", "1")));
    assert!(!holds(&partition, "t"));
    store(&partition, "t", &token("i", "alex", "c", "1"));
    assert!(holds(&partition, "t"));
}

#[test]
fn it_holds_no_more_bytes_than_it_may() {
    let capacity = 100_000;
    let tokens = VerifiedTokens::with_capacity_bytes(capacity);
    let partition = tokens.partition();
    let token = token("i", "s", "c", "1");
    for number in 0..1_000 {
        store(&partition, &number.to_string(), &token);
        tokens.0.entries.run_pending_tasks();
        assert!(tokens.0.entries.weighted_size() <= capacity);
    }
    let held = (0..1_000).filter(|number| holds(&partition, &number.to_string())).count();
    // 1,000 bytes of padding, held at their double, and what is around them.
    assert!((20..90).contains(&held), "{held}");
    assert!(holds(&partition, "999"), "the newest is let in");

    let none = VerifiedTokens::with_capacity_bytes(0);
    let partition = none.partition();
    store(&partition, "t", &token);
    none.0.entries.run_pending_tasks();
    assert!(!holds(&partition, "t"));
}

#[test]
fn of_those_that_expired_it_knows_so_many_and_no_more() {
    let tokens = VerifiedTokens::default();
    let partition = tokens.partition();
    store(&partition, "good", &token("i", "s", "c", "1"));
    for number in 0..3 * EXPIRED_KEPT {
        let (place, _) = partition.find(&number.to_string(), NOW);
        partition.expire(place);
    }
    assert_eq!(tokens.held(), (1, EXPIRED_KEPT));
    let last = partition.find(&(3 * EXPIRED_KEPT - 1).to_string(), NOW).0;
    assert!(partition.has_expired(last) && holds(&partition, "good"));
    let (place, _) = partition.find("good", NOW);
    partition.expire(place);
    assert!(!holds(&partition, "good"));
    assert!(!tokens.partition().has_expired(tokens.partition().find("good", NOW).0), "another verifier's");
}

#[test]
fn an_entry_weighs_at_least_what_it_takes() {
    for (claims, at_least) in [
        (json!({}), 400),
        (json!({"a": "x".repeat(10_000)}), 10_000),
        (json!({"a": vec!["x"; 1_000]}), 1_000 * (size_of::<Value>() + 1)),
        (json!({"a": {"b": {"c": "x".repeat(5_000)}}}), 5_000),
        (json!({"a": vec![0; 1_000]}), 1_000 * size_of::<Value>()),
    ] {
        let claims = claims.as_object().unwrap().clone();
        let token = VerifiedToken::assert_verified("i", "s", None, ScopeSet::default(), NOW, claims);
        let weight = Remembered::new(Arc::new(token), 0, NOW, None).weight as usize;
        assert!(weight >= at_least, "{weight} < {at_least}");
    }
}

#[test]
fn nothing_of_a_token_is_shown() {
    let tokens = VerifiedTokens::default();
    let partition = tokens.partition();
    store(&partition, "secret", &token("i", "alex", "c", "1"));
    let shown = format!("{tokens:?} {partition:?}");
    assert!(!shown.contains("secret") && !shown.contains("alex"), "{shown}");
}

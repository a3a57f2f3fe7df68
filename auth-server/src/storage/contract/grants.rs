use super::*;
use crate::{
    model::grant::{Connected, Consent, Shown},
    storage::Which,
};

on_both!(
    codes_are_redeemed_once,
    refresh_tokens_rotate_once,
    tokens_are_found_where_they_belong,
    of_many_rotations_at_once_one_wins,
    revocation_ends_a_grant_with_all_its_tokens,
    revocations_reach_the_status_lists,
    grants_without_a_user,
    derived_grants_end_with_the_one_that_they_come_from,
    a_grant_is_bound_to_the_first_key,
    consents_add_up_until_redirects_change,
    removed_apps_must_ask_again,
    connected_apps_are_the_good_grants_of_a_user,
);

async fn codes_are_redeemed_once(storage: &Database) {
    with_a_grant(storage).await;
    let code = digest("code g");
    storage.count_code_failure(&code).await.unwrap();
    let (found, grant) = storage.code(&code).await.unwrap().unwrap();
    let stored = approval("g", client("c", NOW));
    assert_eq!(found, Code { failures: 1, ..stored.code.unwrap() });
    assert_eq!(grant, stored.grant);
    assert!(!storage.redeem_code(&code, "other", &issued("j0", None), &used()).await.unwrap());
    assert!(storage.redeem_code(&code, "g", &issued("j1", Some("r1")), &used()).await.unwrap());
    assert!(!storage.redeem_code(&code, "g", &issued("j2", Some("r2")), &used()).await.unwrap());
    assert!(is_active(storage, "j1").await);
    let (token, _) = storage.access_token(&access_name("j1")).await.unwrap().unwrap();
    assert_eq!(token, access("j1"));
    assert!(
        storage.access_token(&access_name("j2")).await.unwrap().is_none(),
        "nothing of the second is stored"
    );
    assert!(storage.refresh_token(&refresh_name("r2")).await.unwrap().is_none());
    assert_eq!(storage.code(&code).await.unwrap().unwrap().0.redeemed_at, Some(NOW));
}

async fn refresh_tokens_rotate_once(storage: &Database) {
    with_a_grant(storage).await;
    storage.redeem_code(&digest("code g"), "g", &issued("j1", Some("r1")), &used()).await.unwrap();
    let rotate = async |from: &str, salt: &str, issued: Issued| {
        storage.rotate(&digest(from), salt, "g", &issued, &used()).await.unwrap()
    };
    assert!(rotate("r1", "salt", issued("j3", Some("r3"))).await);
    assert!(!rotate("r1", "other", issued("j4", Some("r4"))).await);
    assert!(!rotate("unknown", "salt", issued("j5", Some("r5"))).await);
    let (old, _) = storage.refresh_token(&refresh_name("r1")).await.unwrap().unwrap();
    assert_eq!(old.rotation.map(|rotation| (rotation.at, rotation.salt)), Some((NOW, "salt".into())));
    let (new, grant) = storage.refresh_token(&refresh_name("r3")).await.unwrap().unwrap();
    assert_eq!((new.rotation, grant.id.as_str()), (None, "g"));
    for token in ["r4", "r5"] {
        assert!(storage.refresh_token(&refresh_name(token)).await.unwrap().is_none(), "{token}");
    }
}

/// Nobody's token is found in another grant, nor another second's in this one, whatever they say of themselves.
async fn tokens_are_found_where_they_belong(storage: &Database) {
    with_a_grant(storage).await;
    storage.approve(None, &approval("h", client("c", NOW))).await.unwrap();
    storage.redeem_code(&digest("code g"), "g", &issued("j1", Some("r1")), &used()).await.unwrap();
    for grant_id in [None, Some(String::new()), Some("h".to_owned()), Some("G".to_owned())] {
        let name = RefreshTokenName { grant_id, ..refresh_name("r1") };
        assert!(storage.refresh_token(&name).await.unwrap().is_none(), "{name:?}");
    }
    assert!(!storage.rotate(&digest("r1"), "s", "h", &issued("j2", Some("r2")), &used()).await.unwrap());
    for seconds in [-1, 1] {
        let name = AccessTokenName { issued_at: NOW.plus_seconds(seconds), ..access_name("j1") };
        assert!(storage.access_token(&name).await.unwrap().is_none());
        assert!(!storage.revoke_access_token(&name, "c", NOW).await.unwrap());
    }
    assert!(storage.refresh_token(&refresh_name("r1")).await.unwrap().is_some());
    assert!(is_active(storage, "j1").await);
}

async fn of_many_rotations_at_once_one_wins(storage: &Database) {
    with_a_grant(storage).await;
    storage.redeem_code(&digest("code g"), "g", &issued("j", Some("r")), &used()).await.unwrap();
    let attempts = (0..40).map(|number| async move {
        let tokens = issued(&format!("j{number}"), Some(&format!("r{number}")));
        storage.rotate(&digest("r"), "salt", "g", &tokens, &used()).await.unwrap()
    });
    let won = futures_util::future::join_all(attempts).await.into_iter().filter(|won| *won).count();
    assert_eq!(won, 1);
    let mut stored = 0;
    for number in 0..40 {
        let token = storage.refresh_token(&refresh_name(&format!("r{number}"))).await.unwrap();
        stored += usize::from(token.is_some());
    }
    assert_eq!(stored, 1);
}

async fn revocation_ends_a_grant_with_all_its_tokens(storage: &Database) {
    with_a_grant(storage).await;
    storage.redeem_code(&digest("code g"), "g", &issued("j1", Some("r1")), &used()).await.unwrap();
    assert!(storage.insert_access_token("g", &access("j3")).await.unwrap());
    assert!(!storage.revoke_access_token(&access_name("j3"), "another client", NOW).await.unwrap());
    assert!(is_active(storage, "j3").await);
    assert!(storage.revoke_access_token(&access_name("j3"), "c", NOW).await.unwrap());
    assert!(!is_active(storage, "j3").await);
    assert!(is_active(storage, "j1").await, "that token only");

    storage.approve(None, &approval("h", client("c", NOW))).await.unwrap();
    let one = Which::Grant("g".into());
    assert_eq!(storage.revoke_grants(&one, NOW).await.unwrap(), ["g"]);
    assert!(storage.revoke_grants(&one, NOW.plus_seconds(5)).await.unwrap().is_empty());
    assert!(!is_active(storage, "j1").await);
    let (token, grant) = storage.access_token(&access_name("j1")).await.unwrap().unwrap();
    assert_eq!((token.revoked_at, grant.revoked_at), (Some(NOW), Some(NOW)), "the first time counts");
    assert!(!storage.rotate(&digest("r1"), "s", "g", &issued("j6", Some("r6")), &used()).await.unwrap());
    assert!(!storage.insert_access_token("g", &access("j8")).await.unwrap());
    let both = Which::OfUserAndClient { user_id: "u".into(), client_id: "c".into() };
    assert_eq!(storage.revoke_grants(&both, NOW).await.unwrap(), ["h"]);
    assert!(!storage.redeem_code(&digest("code h"), "h", &issued("j7", None), &used()).await.unwrap());
    for jti in ["j6", "j7", "j8"] {
        assert!(storage.access_token(&access_name(jti)).await.unwrap().is_none(), "{jti}");
    }
    for (which, id) in [(Which::OfUser("u".into()), "i"), (Which::OfClient("c".into()), "k")] {
        storage.approve(None, &approval(id, client("c", NOW))).await.unwrap();
        assert_eq!(storage.revoke_grants(&which, NOW).await.unwrap(), [id]);
    }
    let unused = |since| Which::Unused { user_id: "u".into(), since };
    storage.approve(None, &approval("l", client("c", NOW))).await.unwrap();
    assert!(storage.revoke_grants(&unused(NOW.plus_seconds(-1)), NOW).await.unwrap().is_empty());
    assert_eq!(storage.revoke_grants(&unused(NOW), NOW).await.unwrap(), ["l"]);
}

async fn revocations_reach_the_status_lists(storage: &Database) {
    with_a_grant(storage).await;
    let at = |jti: &str, status_index| AccessToken { status_index, ..access(jti) };
    for (jti, place) in [("a", 9), ("b", 10), ("c", 19), ("d", 20)] {
        storage.insert_access_token("g", &at(jti, place)).await.unwrap();
    }
    let revoked = async |now| storage.revoked_statuses(10, 20, now).await.unwrap();
    assert!(revoked(NOW).await.is_empty());
    storage.revoke_access_token(&access_name("c"), "c", NOW).await.unwrap();
    assert_eq!(revoked(NOW).await, [19]);
    storage.revoke_grants(&Which::Grant("g".into()), NOW).await.unwrap();
    assert_eq!(revoked(NOW).await, [10, 19]);
    assert!(revoked(NOW.plus_seconds(100)).await.is_empty(), "what has expired needs no list");
}

async fn grants_without_a_user(storage: &Database) {
    let mut grant = approval("g", client("c", NOW)).grant;
    grant.kind = GrantKind::ClientCredentials;
    grant.user_id = None;
    grant.actor = Some("{\"sub\":\"x\"}".into());
    let shown = Shown::new(&client("c", NOW), None);
    assert!(storage.insert_grant(&grant, &shown, &issued("j", None), &used()).await.unwrap());
    assert!(is_active(storage, "j").await);
    assert_eq!(storage.grant("g").await.unwrap(), Some(grant));
}

async fn derived_grants_end_with_the_one_that_they_come_from(storage: &Database) {
    with_a_grant(storage).await;
    let shown = Shown::new(&client("c", NOW), None);
    let derive = async |id: &str, parent: &str| {
        let mut grant = approval(id, client("c", NOW)).grant;
        grant.parent_id = Some(parent.into());
        storage.insert_grant(&grant, &shown, &issued(id, None), &used()).await.unwrap()
    };
    assert!(derive("h", "g").await);
    assert!(derive("i", "h").await);
    assert!(is_active(storage, "i").await);
    let mut ended = storage.revoke_grants(&Which::Grant("g".into()), NOW).await.unwrap();
    ended.sort();
    assert_eq!(ended, ["g", "h", "i"]);
    assert!(!is_active(storage, "i").await);
    let (token, _) = storage.access_token(&access_name("i")).await.unwrap().unwrap();
    assert_eq!(token.revoked_at, Some(NOW), "for the status list");
    assert!(!derive("k", "g").await);
    assert!(storage.grant("k").await.unwrap().is_none(), "and nothing stored");
}

async fn a_grant_is_bound_to_the_first_key(storage: &Database) {
    with_a_grant(storage).await;
    storage.redeem_code(&digest("code g"), "g", &issued("j", Some("r")), &used()).await.unwrap();
    let other = crate::model::grant::Use { binds_to: Some("other".into()), ..used() };
    storage.rotate(&digest("r"), "s", "g", &issued("k", Some("q")), &other).await.unwrap();
    let (_, grant) = storage.refresh_token(&refresh_name("q")).await.unwrap().unwrap();
    assert_eq!(grant.key_thumbprint.as_deref(), Some("key"));
}

async fn consents_add_up_until_redirects_change(storage: &Database) {
    with_a_grant(storage).await;
    let scopes = async || {
        let consent: Option<Consent> = storage.consent("u", "c", "https://gw.test/mcp").await.unwrap();
        consent.map(|consent| consent.scopes.to_string())
    };
    assert_eq!(scopes().await.as_deref(), Some("a b"));
    assert!(storage.has_consented("u", "c").await.unwrap());
    assert!(!storage.has_consented("u", "d").await.unwrap());
    assert!(storage.consent("u", "c", "https://gw.test/third").await.unwrap().is_none());
    let mut more = approval("i", client("c", NOW));
    more.grant.scopes = ScopeSet::parse("c").unwrap();
    more.asked = Some(more.grant.scopes.clone());
    storage.approve(None, &more).await.unwrap();
    assert_eq!(scopes().await.as_deref(), Some("a b c"));
    let mut less = approval("j", client("c", NOW));
    less.grant.scopes = ScopeSet::parse("a").unwrap();
    storage.approve(None, &less).await.unwrap();
    assert_eq!(scopes().await.as_deref(), Some("a c"), "asked for a and b, and allowed a");
    let mut unasked = approval("l", client("c", NOW));
    unasked.grant.scopes = ScopeSet::parse("d").unwrap();
    unasked.asked = None;
    storage.approve(None, &unasked).await.unwrap();
    assert_eq!(scopes().await.as_deref(), Some("a c"), "nobody was asked");
    let mut moved = approval("k", client("c", NOW));
    moved.grant.scopes = ScopeSet::parse("d").unwrap();
    moved.client.redirect_uris = vec![RedirectUri::parse("https://moved.test/cb").unwrap()];
    assert!(!storage.approve(None, &moved).await.unwrap(), "it did not say so yet");
    assert_eq!(scopes().await.as_deref(), Some("a c"));
    let (next, current) = (digest("next"), digest("manages c"));
    assert!(storage.replace_client(&moved.client, &next, &current, true).await.unwrap());
    assert!(storage.approve(None, &moved).await.unwrap());
    assert_eq!(scopes().await.as_deref(), Some("d"));
}

async fn removed_apps_must_ask_again(storage: &Database) {
    with_a_grant(storage).await;
    for id in ["d", "e"] {
        storage.insert_client(&registered(id, NOW), ROOM, None).await.unwrap();
        assert!(storage.approve(None, &approval(&format!("of {id}"), client(id, NOW))).await.unwrap());
    }
    let asks = async |id: &str| !storage.has_consented("u", id).await.unwrap();
    let one = Which::Grant("g".into());
    assert_eq!(storage.remove_apps(&one, NOW).await.unwrap(), ["g"]);
    assert!(storage.grant("g").await.unwrap().unwrap().revoked_at.is_some());
    assert!(asks("c").await);
    assert!(!asks("d").await && !asks("e").await, "those alone");

    // revoked just before by somebody else, and meant all the same
    let other = Which::Grant("of d".into());
    storage.revoke_grants(&other, NOW).await.unwrap();
    assert!(!asks("d").await, "the revocation of a grant forgets nothing");
    assert_eq!(storage.remove_apps(&other, NOW).await.unwrap(), [] as [String; 0]);
    assert!(asks("d").await);

    let unused = |since| Which::Unused { user_id: "u".into(), since };
    assert_eq!(storage.remove_apps(&unused(LONG_AGO), NOW).await.unwrap(), [] as [String; 0]);
    assert!(!asks("e").await, "it was used since");
    assert_eq!(storage.remove_apps(&unused(NOW), NOW).await.unwrap(), ["of e"]);
    assert!(asks("e").await);
}

async fn connected_apps_are_the_good_grants_of_a_user(storage: &Database) {
    with_a_grant(storage).await;
    let document = Client {
        id: "https://app.test:8443/c.json".into(),
        origin: Origin::Document { host: "app.test:8443".into() },
        ..client("", NOW)
    };
    storage.approve(None, &approval("h", document.clone())).await.unwrap();
    storage.redeem_code(&digest("code h"), "h", &issued("j", None), &used()).await.unwrap();
    let connected = storage.connected("u", NOW).await.unwrap();
    let answered_to = RedirectUri::parse("https://a.test/cb").ok();
    assert_eq!(
        connected[1],
        Connected {
            grant: Grant { key_thumbprint: Some("key".into()), ..approval("h", document.clone()).grant },
            shown: Shown::new(&document, answered_to.as_ref()),
            last_used_at: Some(NOW),
            last_address: Some("203.0.113.1".into()),
        }
    );
    assert_eq!((connected[0].grant.id.as_str(), connected[0].last_used_at), ("g", None));
    // the document is kept as it was seen, used now
    let kept = storage.client(&document.id, NOW.plus_seconds(1_000_000)).await.unwrap().unwrap();
    assert_eq!(kept.client, document);
    storage.revoke_grants(&Which::Grant("h".into()), NOW).await.unwrap();
    assert_eq!(storage.connected("u", NOW).await.unwrap().len(), 1);
    assert!(storage.connected("u", NOW.plus_seconds(1000)).await.unwrap().is_empty(), "expired");
    assert!(storage.connected("v", NOW).await.unwrap().is_empty());
}

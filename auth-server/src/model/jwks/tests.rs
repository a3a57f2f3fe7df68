use std::sync::LazyLock;

use serde_json::json;

use super::*;
use crate::signer::{Signer, with};

static ES256: LazyLock<Signer> = LazyLock::new(|| Signer::es256("ec"));
static EDDSA: LazyLock<Signer> = LazyLock::new(|| Signer::eddsa("ed"));
static RS256: LazyLock<Signer> = LazyLock::new(|| Signer::rs256("rsa"));

fn read(keys: &[Value]) -> Result<PublicKeys, Unusable> {
    PublicKeys::read(&json!({ "keys": keys }))
}

fn encoded(bytes: &[u8]) -> Value {
    json!(URL_SAFE_NO_PAD.encode(bytes))
}

/// J7, K15
#[test]
fn a_set_that_is_none_or_not_public_is_refused_whole() {
    for set in [
        json!(null),
        json!([]),
        json!([ES256.jwk]),
        json!({}),
        json!({"keys": {}}),
        json!({"keys": [7]}),
        json!({"keys": [ES256.jwk, null]}),
        json!({"keys": vec![ES256.jwk.clone(); 65]}),
    ] {
        assert_eq!(PublicKeys::read(&set), Err(Unusable::NotASet), "{set}");
    }
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        let private = with(ES256.jwk.clone(), &json!({ member: "x" }));
        assert_eq!(read(&[RS256.jwk.clone(), private]), Err(Unusable::NotPublic), "{member}");
    }
    assert_eq!(read(&[json!({"kty": "oct"}), ES256.jwk.clone()]), Err(Unusable::NotPublic));
    for text in ["", "{", "{\"keys\":[}", "\u{0}"] {
        assert_eq!(PublicKeys::parse(text.as_bytes()), Err(Unusable::NotASet));
    }
    let deep = format!("{{\"keys\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(PublicKeys::parse(deep.as_bytes()), Err(Unusable::NotASet));
}

/// F11
#[test]
fn weak_and_foreign_keys_are_left_out() {
    let changed = |signer: &Signer, changes: Value| with(signer.jwk.clone(), &changes);
    let modulus = |bytes: usize, first: u8| {
        let mut modulus = vec![0x55; bytes];
        modulus[0] = first;
        encoded(&modulus)
    };
    for key in [
        changed(&RS256, json!({"n": modulus(128, 0xC5)})),
        // 2047 bits
        changed(&RS256, json!({"n": modulus(256, 0x7F)})),
        changed(&RS256, json!({"n": modulus(1025, 0xC5)})),
        changed(&RS256, json!({"n": modulus(257, 0)})),
        changed(&RS256, json!({"n": "***"})),
        changed(&RS256, json!({"n": ""})),
        changed(&RS256, json!({"e": encoded(&[1])})),
        changed(&RS256, json!({"e": encoded(&[2])})),
        changed(&RS256, json!({"e": encoded(&[0, 1])})),
        changed(&RS256, json!({"e": ""})),
        changed(&RS256, json!({"alg": "RS512"})),
        changed(&RS256, json!({"alg": "HS256"})),
        changed(&RS256, json!({"alg": "ES256"})),
        changed(&RS256, json!({"alg": "none"})),
        changed(&RS256, json!({"alg": 1})),
        changed(&RS256, json!({"use": "enc"})),
        changed(&RS256, json!({"key_ops": ["sign"]})),
        changed(&RS256, json!({"kty": "AKP"})),
        changed(&RS256, json!({"kty": null})),
        // not on the curve
        changed(&ES256, json!({"x": encoded(&[1; 32]), "y": encoded(&[1; 32])})),
        changed(&ES256, json!({"x": encoded(&[0; 32]), "y": encoded(&[0; 32])})),
        changed(&ES256, json!({"x": encoded(&[0; 64]), "y": ""})),
        changed(&ES256, json!({"crv": "P-384"})),
        changed(&ES256, json!({"crv": "secp256k1"})),
        changed(&ES256, json!({"alg": "ES384"})),
        changed(&EDDSA, json!({"crv": "Ed448"})),
        changed(&EDDSA, json!({"crv": "X25519"})),
        changed(&EDDSA, json!({"x": encoded(&[7; 31])})),
        changed(&EDDSA, json!({"x": encoded(&[0; 32])})),
    ] {
        assert_eq!(read(std::slice::from_ref(&key)), Err(Unusable::NoneUsable), "{key}");
        let beside = read(&[key.clone(), ES256.jwk.clone()]).unwrap();
        assert_eq!(beside, read(std::slice::from_ref(&ES256.jwk)).unwrap(), "{key}");
    }
    // a point that is one only if its halves are cut elsewhere
    let half = |member: &str| URL_SAFE_NO_PAD.decode(ES256.jwk[member].as_str().unwrap()).unwrap();
    let point = [half("x"), half("y")].concat();
    let (x, y) = point.split_at(31);
    let cut = changed(&ES256, json!({"x": encoded(x), "y": encoded(y)}));
    assert_eq!(read(&[cut]), Err(Unusable::NoneUsable));
    let accepted = changed(&RS256, json!({"n": modulus(256, 0xC5)}));
    assert!(read(&[accepted]).is_ok(), "2048 bits");
    assert_eq!(read(&[]), Err(Unusable::NoneUsable));
}

/// F11: for each of the points, somebody who knows no private key makes a signature that aws-lc takes; so no such key
/// may get as far.
#[test]
fn keys_that_anybody_signs_for_are_left_out() {
    let forged = [[1; 1].as_slice(), &[0; 63]].concat();
    let order_8 =
        ["JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU", "xxdqcD1N2E-6PAt2DRBnDyogU_osOczGTsf9d5KsA3o"];
    let mut points: Vec<Vec<u8>> =
        order_8.iter().map(|point| URL_SAFE_NO_PAD.decode(point).unwrap()).collect();
    for (first, rest, last) in [(0, 0, 0), (1, 0, 0), (0xEC, 0xFF, 0x7F)] {
        let mut point = vec![rest; 32];
        (point[0], point[31]) = (first, last);
        points.push(point);
    }
    for mut point in points {
        let takes = (0..1000_u32).any(|message| {
            ParsedPublicKey::new(&ED25519, &point)
                .unwrap()
                .verify_sig(&message.to_be_bytes(), &forged)
                .is_ok()
        });
        assert!(takes, "not a point of small order: {point:x?}");
        for _ in 0..2 {
            let key = with(EDDSA.jwk.clone(), &json!({"x": encoded(&point)}));
            assert_eq!(read(&[key]), Err(Unusable::NoneUsable), "{point:x?}");
            point[31] ^= 0x80;
        }
    }
}

/// F4, F6
#[test]
fn a_key_is_found_by_kid_and_algorithm_and_never_guessed() {
    let without_alg = with(RS256.jwk.clone(), &json!({"alg": null, "kid": "plain"}));
    let keys = read(&[ES256.jwk.clone(), EDDSA.jwk.clone(), RS256.jwk.clone(), without_alg]).unwrap();
    for (kid, algorithm, registered, found) in [
        (Some("ec"), Algorithm::ES256, None, true),
        (Some("ec"), Algorithm::ES256, Some(Algorithm::ES256), true),
        (Some("ec"), Algorithm::ES256, Some(Algorithm::RS256), false),
        (Some("ec"), Algorithm::RS256, None, false),
        (Some("ed"), Algorithm::EdDSA, None, true),
        (Some("rsa"), Algorithm::RS256, None, true),
        (Some("rsa"), Algorithm::PS256, None, false),
        (Some("rsa"), Algorithm::PS256, Some(Algorithm::PS256), false),
        (Some("plain"), Algorithm::RS256, None, true),
        (Some("plain"), Algorithm::PS256, None, false),
        (Some("plain"), Algorithm::PS256, Some(Algorithm::PS256), true),
        (Some("EC"), Algorithm::ES256, None, false),
        (Some(""), Algorithm::ES256, None, false),
        (None, Algorithm::ES256, None, true),
        // two keys could be meant
        (None, Algorithm::RS256, None, false),
        (None, Algorithm::PS256, Some(Algorithm::PS256), true),
    ] {
        assert_eq!(
            keys.find(kid, algorithm, registered).is_some(),
            found,
            "{kid:?} {algorithm:?} {registered:?}"
        );
    }
    let twice = read(&[ES256.jwk.clone(), with(Signer::es256("ec").jwk, &json!({}))]).unwrap();
    assert!(twice.find(Some("ec"), Algorithm::ES256, None).is_none(), "one kid on two keys");
}

#[test]
fn what_is_stored_is_read_again_as_it_was() {
    let renamed = with(EDDSA.jwk.clone(), &json!({"alg": "Ed25519"}));
    let keys = read(&[ES256.jwk.clone(), renamed, RS256.jwk.clone()]).unwrap();
    let stored = serde_json::to_string(&keys).unwrap();
    assert_eq!(serde_json::from_str::<PublicKeys>(&stored).unwrap(), keys);
    assert!(keys.find(Some("ed"), Algorithm::EdDSA, None).is_some());
}

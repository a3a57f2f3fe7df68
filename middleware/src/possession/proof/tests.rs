use std::sync::LazyLock;
use std::time::Duration;

use jsonwebtoken::{Algorithm as Jose, EncodingKey};
use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;
const WINDOW: u64 = 300;
const ATH: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";

struct Signer {
    alg: Jose,
    encoding: EncodingKey,
    jwk: Value,
}

static ES256: LazyLock<Signer> = LazyLock::new(|| signer(&rcgen::PKCS_ECDSA_P256_SHA256, Jose::ES256));
static OTHER: LazyLock<Signer> = LazyLock::new(|| signer(&rcgen::PKCS_ECDSA_P256_SHA256, Jose::ES256));
static EDDSA: LazyLock<Signer> = LazyLock::new(|| signer(&rcgen::PKCS_ED25519, Jose::EdDSA));
static RSA: LazyLock<Signer> = LazyLock::new(|| signer(&rcgen::PKCS_RSA_SHA256, Jose::RS256));

fn signer(kind: &'static rcgen::SignatureAlgorithm, alg: Jose) -> Signer {
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let pair = rcgen::KeyPair::generate_for(kind).unwrap();
    let pem = pair.serialize_pem();
    let encoding = match alg {
        Jose::ES256 => EncodingKey::from_ec_pem(pem.as_bytes()),
        Jose::EdDSA => EncodingKey::from_ed_pem(pem.as_bytes()),
        _ => EncodingKey::from_rsa_pem(pem.as_bytes()),
    }
    .unwrap();
    let jwk = match alg {
        Jose::EdDSA => {
            json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key_raw())})
        }
        alg => {
            let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&encoding, alg).unwrap()).unwrap();
            jwk.as_object_mut().unwrap().remove("alg");
            jwk
        }
    };
    Signer { alg, encoding, jwk }
}

fn thumbprint(jwk: &Value) -> String {
    serde_json::from_value::<Jwk>(jwk.clone()).unwrap().thumbprint(ThumbprintHash::SHA256).unwrap()
}

/// The members of `changes` instead of those of `object`; null takes one away.
fn with(mut object: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(name);
        } else {
            object[name] = value.clone();
        }
    }
    object
}

/// A proof that is good but for the changes, and signed over what it says.
fn proof_by(signer: &Signer, header: &Value, claims: &Value) -> String {
    let alg = format!("{:?}", signer.alg);
    let header = with(json!({"typ": "dpop+jwt", "alg": alg, "jwk": signer.jwk}), header);
    let claims = with(
        json!({"jti": "1", "htm": "POST", "htu": "https://gw.test/mcp", "iat": NOW, "ath": ATH}),
        claims,
    );
    sign(signer, signer.alg, &header.to_string(), &claims.to_string())
}

fn sign(signer: &Signer, alg: Jose, header: &str, claims: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &signer.encoding, alg).unwrap();
    format!("{message}.{signature}")
}

fn proof(header: &Value, claims: &Value) -> String {
    proof_by(&ES256, header, claims)
}

fn check_bound_to(jwk: &Value, proof: &str, nonces: Option<&DpopNonces>) -> Result<Checked, NotProven> {
    let expected = Expected {
        algorithms: &Algorithm::ALL,
        jkt: Some(&thumbprint(jwk)),
        method: "POST",
        target: &TargetUri::of(&"https://gw.test/mcp".parse().unwrap()),
        ath: Some(ATH),
        now: NOW,
        window_seconds: WINDOW,
        nonces,
    };
    check(proof, &expected)
}

/// The words of the refusal of a proof that came with a token of the same key.
fn refused(proof: &str) -> String {
    check_bound_to(&ES256.jwk, proof, None).expect_err(proof).to_string()
}

/// RFC 9449, figure 12: the proof and the token of the request to the resource, with the `jkt` of figure 8.
#[test]
fn the_example_of_the_rfc_verifies() {
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
    let target = TargetUri::of(&"https://resource.example.org/protectedresource".parse().unwrap());
    let expected = |now, jkt| Expected {
        algorithms: &[Algorithm::ES256],
        jkt: Some(jkt),
        method: "GET",
        target: &target,
        ath: Some(ATH),
        now,
        window_seconds: WINDOW,
        nonces: None,
    };
    let jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
    assert_eq!(
        check(proof, &expected(1_562_262_618 + 10, jkt)),
        Ok(Checked {
            jkt: jkt.to_owned(),
            jti: "e1j3V_bKic8-LAEB".to_owned(),
            made_at: 1_562_262_618,
            good_until: 1_562_262_618 + WINDOW,
            nonce_ages: false
        })
    );
    assert!(check(proof, &expected(NOW, jkt)).is_err(), "long past");
    // The first character of the signature is all that differs.
    let forged = proof.replace(".2oW9", ".3oW9");
    assert_eq!(
        check(&forged, &expected(1_562_262_618, jkt)),
        Err(NotProven::InvalidProof("The signature of the DPoP proof is not valid"))
    );
    // RFC 7638 §3.1: the thumbprint of another key.
    let other = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
    assert_eq!(check(proof, &expected(1_562_262_618, other)), Err(NotProven::OtherKey));
}

/// RFC 9449, figures 2 and 3: a proof for the token endpoint is none for a resource, for want of `ath`.
#[test]
fn the_proof_of_a_token_request_is_no_proof_here() {
    let proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
    let (message, signature) = proof.rsplit_once('.').unwrap();
    let header: JoseHeader = part(message.split_once('.').unwrap().0).unwrap();
    let key = public_key(header.jwk, Algorithm::ES256).unwrap();
    let decoding = DecodingKey::from_jwk(&key).unwrap();
    assert!(
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &decoding, Jose::ES256).unwrap(),
        "the example is copied wrongly"
    );
    assert_eq!(
        key.thumbprint(ThumbprintHash::SHA256).unwrap(),
        "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    );
    assert_eq!(refused(proof), "The DPoP proof is no JWT with the header and claims of a proof");
}

/// RFC 7638 §3.1.
#[test]
fn the_thumbprint_of_the_rfc() {
    let jwk = json!({
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    });
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    assert_eq!(thumbprint(&jwk), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

#[test]
fn every_accepted_algorithm_verifies() {
    for (signer, alg) in
        [(&*ES256, Jose::ES256), (&*EDDSA, Jose::EdDSA), (&*RSA, Jose::RS256), (&*RSA, Jose::PS256)]
    {
        let header = json!({"typ": "dpop+jwt", "alg": alg, "jwk": signer.jwk}).to_string();
        let claims = json!({"jti": "1", "htm": "POST", "htu": "https://gw.test/mcp", "iat": NOW, "ath": ATH, "more": [1]});
        let proof = sign(signer, alg, &header, &claims.to_string());
        let checked = check_bound_to(&signer.jwk, &proof, None);
        assert_eq!(checked.map(|checked| checked.jti), Ok("1".to_owned()), "{alg:?}");
        // The key's own word on its algorithm and use, where it has one, holds.
        for (member, fits) in [("alg", json!(alg)), ("use", json!("sig"))] {
            for (value, expected) in [(fits, true), (json!("other"), false), (json!(1), false)] {
                let jwk = with(signer.jwk.clone(), &json!({ member: value }));
                let header = json!({"typ": "dpop+jwt", "alg": alg, "jwk": jwk}).to_string();
                let proof = sign(signer, alg, &header, &claims.to_string());
                assert_eq!(
                    check_bound_to(&signer.jwk, &proof, None).is_ok(),
                    expected,
                    "{alg:?} {member} {value}"
                );
            }
        }
    }
}

/// RFC 9864 §2.2: the kind of EdDSA by its own name.
#[test]
fn the_newer_name_of_an_algorithm_is_accepted() {
    let newer = json!({"alg": "Ed25519"});
    let key = json!({"jwk": with(EDDSA.jwk.clone(), &newer)});
    for header in [newer.clone(), key.clone(), with(key, &newer)] {
        assert!(check_bound_to(&EDDSA.jwk, &proof_by(&EDDSA, &header, &json!({})), None).is_ok(), "{header}");
    }
    for other in ["Ed448", "ed25519", "ESP256"] {
        let proof = proof_by(&EDDSA, &json!({"alg": other}), &json!({}));
        assert!(check_bound_to(&EDDSA.jwk, &proof, None).is_err(), "{other}");
    }
    assert_eq!(
        refused(&proof(&newer, &json!({}))),
        "The key of the DPoP proof is for another algorithm or use",
        "of another kind"
    );
}

#[test]
fn what_is_no_proof_is_refused() {
    let good = proof(&json!({}), &json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let malformed = "The DPoP proof is no JWT with the header and claims of a proof";
    for proof in [
        String::new(),
        "x".to_owned(),
        "a.b.c".to_owned(),
        message.to_owned(),
        format!(".{claims}.{signature}"),
        format!("{header}..{signature}"),
        format!("{header}.{claims}.{signature}.{signature}"),
        format!("{good}, {good}"),
        format!("{header}=.{claims}.{signature}"),
        proof(&json!({"typ": null}), &json!({})),
        proof(&json!({"typ": 1}), &json!({})),
        proof(&json!({"alg": null}), &json!({})),
        proof(&json!({"jwk": null}), &json!({})),
        proof(&json!({"jwk": "x"}), &json!({})),
        proof(&json!({}), &json!({"jti": null})),
        proof(&json!({}), &json!({"jti": 1})),
        proof(&json!({}), &json!({"htm": null})),
        proof(&json!({}), &json!({"htm": ["POST"]})),
        proof(&json!({}), &json!({"htu": null})),
        proof(&json!({}), &json!({"iat": null})),
        proof(&json!({}), &json!({"iat": NOW.to_string()})),
        proof(&json!({}), &json!({"iat": -1})),
        proof(&json!({}), &json!({"iat": 1e300})),
        proof(&json!({}), &json!({"ath": null})),
        sign(
            &ES256,
            Jose::ES256,
            &json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": ES256.jwk}).to_string(),
            &format!(
                r#"{{"jti":"1","htm":"GET","htm":"POST","htu":"https://gw.test/mcp","iat":{NOW},"ath":"{ATH}"}}"#
            ),
        ),
    ] {
        assert_eq!(refused(&proof), malformed, "{proof}");
    }
    assert!(check_bound_to(&ES256.jwk, &good, None).is_ok());
}

#[test]
fn the_header_of_a_proof() {
    let kind = "The DPoP proof has not the type dpop+jwt";
    let crit = "The DPoP proof has a crit header";
    let algorithm = "The DPoP proof is signed with an algorithm that is not accepted";
    let private = "The key of the DPoP proof is not a public key";
    let misfit = "The key of the DPoP proof is for another algorithm or use";
    let jwk = |changes: Value| json!({ "jwk": with(ES256.jwk.clone(), &changes) });
    for (changes, expected) in [
        (json!({"typ": "JWT"}), kind),
        (json!({"typ": "at+jwt"}), kind),
        (json!({"typ": "DPOP+JWT"}), kind),
        (json!({"typ": "application/dpop+jwt"}), kind),
        (json!({"crit": ["exp"]}), crit),
        (json!({"crit": []}), crit),
        (json!({"alg": "none"}), algorithm),
        (json!({"alg": "HS256"}), algorithm),
        (json!({"alg": "ES384"}), algorithm),
        (json!({"alg": "es256"}), algorithm),
        (json!({"alg": "RS256"}), misfit),
        (json!({"alg": "EdDSA"}), misfit),
        (jwk(json!({"d": "x"})), private),
        (jwk(json!({"p": "x"})), private),
        (jwk(json!({"q": "x"})), private),
        (jwk(json!({"dp": "x"})), private),
        (jwk(json!({"dq": "x"})), private),
        (jwk(json!({"qi": "x"})), private),
        (jwk(json!({"oth": []})), private),
        (jwk(json!({"k": "x"})), private),
        (jwk(json!({"d": false})), private),
        (jwk(json!({"crv": "P-384"})), misfit),
        (jwk(json!({"kid": 1})), "The key of the DPoP proof is no JWK"),
        (jwk(json!({"kty": null})), misfit),
        (json!({"jwk": {"kty": "oct", "x": "x"}}), misfit),
        (json!({"jwk": {"kty": "AKP", "pub": "x"}}), misfit),
        (json!({"jwk": RSA.jwk}), misfit),
        (json!({"jwk": EDDSA.jwk}), misfit),
    ] {
        assert_eq!(refused(&proof(&changes, &json!({}))), expected, "{changes}");
    }
    // A `crit` that is null is there all the same.
    let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": ES256.jwk, "crit": null}).to_string();
    let claims = json!({"jti": "1", "htm": "POST", "htu": "https://gw.test/mcp", "iat": NOW, "ath": ATH});
    assert_eq!(refused(&sign(&ES256, Jose::ES256, &header, &claims.to_string())), crit);
}

#[test]
fn an_algorithm_that_is_not_configured_is_not_accepted() {
    let proof = proof_by(&RSA, &json!({}), &json!({}));
    assert!(check_bound_to(&RSA.jwk, &proof, None).is_ok());
    let target = TargetUri::of(&"https://gw.test/mcp".parse().unwrap());
    let expected = Expected {
        algorithms: &[Algorithm::ES256, Algorithm::PS256],
        jkt: Some(&thumbprint(&RSA.jwk)),
        method: "POST",
        target: &target,
        ath: Some(ATH),
        now: NOW,
        window_seconds: WINDOW,
        nonces: None,
    };
    assert!(check(&proof, &expected).is_err());
}

#[test]
fn the_key_is_that_of_the_token_and_has_signed() {
    // A proof by another key, good in itself.
    let other = proof_by(&OTHER, &json!({}), &json!({}));
    assert!(check_bound_to(&OTHER.jwk, &other, None).is_ok());
    assert_eq!(check_bound_to(&ES256.jwk, &other, None), Err(NotProven::OtherKey));
    // Another key's signature under the right key's name, and the right signature over something else.
    let swapped = proof_by(&OTHER, &json!({"jwk": ES256.jwk}), &json!({}));
    let good = proof(&json!({}), &json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let later = proof(&json!({}), &json!({"jti": "2"}));
    let (later, _) = later.rsplit_once('.').unwrap();
    for forged in [swapped, format!("{later}.{signature}"), format!("{message}."), format!("{message}.AA")] {
        assert_eq!(refused(&forged), "The signature of the DPoP proof is not valid", "{forged}");
    }
}

#[test]
fn the_claims_of_a_proof() {
    let jti = "The DPoP proof has a jti that is empty or too long";
    let method = "The DPoP proof is for another HTTP method";
    let uri = "The DPoP proof is for another URI";
    let token = "The DPoP proof is for another access token";
    let time = "The DPoP proof is too old, or from the future";
    for (changes, expected) in [
        (json!({"jti": ""}), jti),
        (json!({"jti": "x".repeat(257)}), jti),
        (json!({"htm": "GET"}), method),
        (json!({"htm": "post"}), method),
        (json!({"htm": ""}), method),
        (json!({"htu": "https://evil.test/mcp"}), uri),
        (json!({"htu": "https://gw.test/other"}), uri),
        (json!({"htu": "http://gw.test/mcp"}), uri),
        (json!({"htu": ""}), uri),
        (json!({"ath": ""}), token),
        (json!({"ath": ATH.to_lowercase()}), token),
        (json!({"ath": format!("{ATH}=")}), token),
        (json!({"iat": NOW - WINDOW - 1}), time),
        (json!({"iat": NOW + WINDOW + 1}), time),
        (json!({"iat": 0}), time),
        (json!({"iat": u64::MAX}), time),
    ] {
        assert_eq!(refused(&proof(&json!({}), &changes)), expected, "{changes}");
    }
    for (changes, good_until) in [
        (json!({"iat": NOW - WINDOW}), NOW),
        (json!({"iat": NOW + WINDOW}), NOW + 2 * WINDOW),
        (json!({"iat": 1_800_000_000.9}), NOW + WINDOW),
        (json!({"jti": "x".repeat(256)}), NOW + WINDOW),
        (json!({"htu": "HTTPS://gw.test:443/mcp?x#y"}), NOW + WINDOW),
        (json!({"nonce": "not asked for"}), NOW + WINDOW),
    ] {
        let checked = check_bound_to(&ES256.jwk, &proof(&json!({}), &changes), None);
        assert_eq!(checked.map(|checked| checked.good_until), Ok(good_until), "{changes}");
    }
}

#[test]
fn a_proof_that_is_too_long_is_not_read() {
    let padding = "x".repeat(LONGEST_PROOF);
    assert_eq!(refused(&proof(&json!({}), &json!({ "x": padding }))), "The DPoP proof is too long");
}

#[test]
fn a_nonce_is_wanted_where_there_are_nonces() {
    let nonces = DpopNonces::from_key(&[1; 32]).renewed_every(Duration::from_secs(100));
    let check = |claims: Value| check_bound_to(&ES256.jwk, &proof(&json!({}), &claims), Some(&nonces));
    for claims in [
        json!({}),
        json!({"nonce": 1}),
        json!({"nonce": ""}),
        json!({"nonce": "x"}),
        json!({"nonce": nonces.current(NOW - 200)}),
        json!({"nonce": DpopNonces::from_key(&[2; 32]).current(NOW)}),
    ] {
        assert_eq!(check(claims.clone()), Err(NotProven::NonceNeeded), "{claims}");
    }
    for (made_at, ages) in [(NOW, false), (NOW - 100, true)] {
        let checked = check(json!({"nonce": nonces.current(made_at)}));
        assert_eq!(checked.map(|checked| checked.nonce_ages), Ok(ages), "{made_at}");
    }
    // Whatever else is wrong, a nonce does not cure it.
    assert!(matches!(
        check(json!({"nonce": nonces.current(NOW), "htm": "GET"})),
        Err(NotProven::InvalidProof(_))
    ));
}

/// At a token endpoint there is no token yet: the proof says which key it will be, and needs no `ath`.
#[test]
fn without_a_token_the_proof_names_the_key() {
    use crate::possession::{DpopOptions, KeyProof};
    let check = |proof: &str, url: &str| KeyProof::check(proof, "POST", url, None, &DpopOptions::new(), NOW);
    let good = proof(&json!({}), &json!({"ath": null}));
    let checked = check(&good, "https://gw.test/mcp").unwrap();
    assert_eq!(checked.thumbprint(), thumbprint(&ES256.jwk));
    assert_eq!(checked.good_until(), NOW + 300);
    for (case, proof, url) in [
        ("another URL", good.as_str(), "https://gw.test/other"),
        ("no URL", good.as_str(), "gw.test"),
        ("another method", &proof(&json!({}), &json!({"htm": "GET"})), "https://gw.test/mcp"),
        ("too old", &proof(&json!({}), &json!({"iat": NOW - 301})), "https://gw.test/mcp"),
        ("another type", &proof(&json!({"typ": "JWT"}), &json!({})), "https://gw.test/mcp"),
        ("another's key", &proof_by(&OTHER, &json!({"jwk": ES256.jwk}), &json!({})), "https://gw.test/mcp"),
    ] {
        assert!(check(proof, url).is_err(), "{case}");
    }
}

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::*;
use crate::{model::jwks::PublicKeys, signer::Signer};

static SIGNER: LazyLock<Signer> = LazyLock::new(|| Signer::es256("k"));

#[derive(Debug, Deserialize)]
struct Claims {
    a: i64,
}

fn read(text: &str) -> Result<i64, Unfit> {
    let keys = PublicKeys::read(&SIGNER.jwks()).unwrap();
    let jws: Jws<'_, Claims> = Jws::parse(text)?;
    let key = keys.find(jws.kid(), jws.algorithm(), None).ok_or(Unfit("no key"))?;
    jws.verify(key).map(|claims| claims.a)
}

fn signed(header: &Value) -> String {
    SIGNER.sign(header, &json!({"a": 7}))
}

#[test]
fn a_signed_jwt_gives_its_claims() {
    assert_eq!(read(&signed(&json!({}))), Ok(7));
    assert_eq!(read(&signed(&json!({"kid": null, "typ": "x", "cty": "y", "unknown": {"b": [1]}}))), Ok(7));
}

/// F2, F5, F6, F7
#[test]
fn headers_that_ask_for_more_than_a_plain_signature_are_refused() {
    for (changes, words) in [
        (json!({"alg": "none"}), "algorithm"),
        (json!({"alg": "None"}), "algorithm"),
        (json!({"alg": "nOnE"}), "algorithm"),
        (json!({"alg": "HS256"}), "algorithm"),
        (json!({"alg": "RS512"}), "algorithm"),
        (json!({"alg": "es256"}), "algorithm"),
        (json!({"alg": ""}), "algorithm"),
        (json!({"alg": null}), "no signed JWT"),
        (json!({"alg": ["ES256"]}), "no signed JWT"),
        (json!({"jwk": SIGNER.jwk}), "key of its own"),
        (json!({"jku": "https://evil.test/jwks"}), "key of its own"),
        (json!({"x5u": "https://evil.test/x5u"}), "key of its own"),
        (json!({"x5c": ["MIIB"]}), "key of its own"),
        (json!({"crit": ["x"]}), "extension"),
        (json!({"crit": []}), "extension"),
        (json!({"b64": false}), "extension"),
        (json!({"b64": true}), "extension"),
        (json!({"enc": "A128GCM"}), "extension"),
        (json!({"zip": "DEF"}), "extension"),
        (json!({"kid": ""}), "kid"),
        (json!({"kid": "k".repeat(257)}), "kid"),
        (json!({"kid": 7}), "no signed JWT"),
        (json!({"kid": "other"}), "no key"),
    ] {
        let found = read(&signed(&changes)).unwrap_err().to_string();
        assert!(found.contains(words), "{changes}: {found}");
    }
    for member in ["crit", "jwk", "b64", "x5c"] {
        let header = format!(r#"{{"alg":"ES256","kid":"k","{member}":null}}"#);
        assert!(read(&SIGNER.sign_text(SIGNER.algorithm, &header, r#"{"a":7}"#)).is_err(), "{member}");
    }
}

/// F7
#[test]
fn only_the_canonical_compact_form_is_read() {
    let good = signed(&json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    let json_form = json!({"payload": claims, "protected": header, "signature": signature}).to_string();
    let text = |header: &str, claims: &str| SIGNER.sign_text(SIGNER.algorithm, header, claims);
    let plain = r#"{"alg":"ES256","kid":"k"}"#;
    // the last character of a signature of 64 bytes has four bits to spare
    let mut spare = good.clone().into_bytes();
    let last = spare.last_mut().unwrap();
    *last = match *last {
        b'A' => b'B',
        b'Q' => b'R',
        b'g' => b'h',
        _ => b'x',
    };
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        message.to_owned(),
        format!("{message}."),
        format!("{good}.{signature}"),
        format!("{header}.{claims}.{claims}.{claims}.{signature}"),
        format!(" {good}"),
        format!("{good} "),
        format!("{good}\n"),
        format!("{header} .{claims}.{signature}"),
        format!("{header}=.{claims}.{signature}"),
        format!("{good}="),
        json_form,
        String::from_utf8(spare).unwrap(),
        text("[\"ES256\",\"k\"]", r#"{"a":7}"#),
        text(plain, "[7]"),
        text(plain, "7"),
        text(plain, "{\"a\":7} {}"),
        text(plain, r#"{"a":7,"a":7}"#),
        text(r#"{"alg":"ES256","alg":"ES256","kid":"k"}"#, r#"{"a":7}"#),
        text(plain, r#"{"a":"7"}"#),
        text(plain, "{}"),
        text(plain, &format!(r#"{{"a":7,"b":"{}"}}"#, "x".repeat(16 * 1024))),
    ] {
        assert!(read(&bad).is_err(), "{bad}");
    }
}

/// F3: a public key is no secret.
#[test]
fn an_hmac_with_the_public_key_is_no_signature() {
    let jwk = SIGNER.jwk.to_string();
    let pem = SIGNER.pem.as_str();
    let der: Vec<u8> = base64::engine::general_purpose::STANDARD
        .decode(pem.lines().filter(|line| !line.starts_with("--")).collect::<String>())
        .unwrap();
    for secret in [jwk.as_bytes(), pem.as_bytes(), &der] {
        let mut header = jsonwebtoken::Header::new(Algorithm::HS256);
        header.kid = Some("k".to_owned());
        let key = jsonwebtoken::EncodingKey::from_secret(secret);
        let token = jsonwebtoken::encode(&header, &json!({"a": 7}), &key).unwrap();
        assert_eq!(read(&token), Err(Unfit("the algorithm is not accepted")));
        // and renamed, it is a signature that does not fit
        let (message, tag) = token.rsplit_once('.').unwrap();
        let renamed = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"k"}"#);
        let token = format!("{renamed}.{}.{tag}", message.split_once('.').unwrap().1);
        assert_eq!(read(&token), Err(Unfit("the signature is not valid")));
    }
}

/// F11
#[test]
fn degenerate_signatures_are_refused_and_a_high_s_is_not() {
    let good = signed(&json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let with_signature = |bytes: &[u8]| read(&format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes)));
    for bytes in [&[][..], &[0; 64], &[0xFF; 64], &[1; 64], &[0; 63], &[0; 65]] {
        assert!(with_signature(bytes).is_err(), "{bytes:?}");
    }
    let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert_eq!(with_signature(&[&raw[..32], &negated(&raw[32..])].concat()), Ok(7));
    assert!(with_signature(&[&[0; 32], &raw[32..]].concat()).is_err());
    assert!(with_signature(&[&raw[..32], &[0; 32]].concat()).is_err());
}

/// The order of P-256 less `s`: the other half of a signature with the same first one.
fn negated(s: &[u8]) -> Vec<u8> {
    const ORDER: [u8; 32] = [
        0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xBC,
        0xE6, 0xFA, 0xAD, 0xA7, 0x17, 0x9E, 0x84, 0xF3, 0xB9, 0xCA, 0xC2, 0xFC, 0x63, 0x25, 0x51,
    ];
    let mut borrow = 0;
    let mut negated: Vec<u8> = ORDER
        .iter()
        .zip(s)
        .rev()
        .map(|(order, s)| {
            let digit = i16::from(*order) - i16::from(*s) - borrow;
            borrow = i16::from(digit < 0);
            u8::try_from(digit.rem_euclid(256)).unwrap()
        })
        .collect();
    negated.reverse();
    negated
}

/// F9
#[test]
fn dates_are_numbers_of_seconds_after_1970() {
    for (text, wanted) in [
        ("0", Some(0)),
        ("1800000000", Some(1_800_000_000)),
        ("1800000000.9", Some(1_800_000_000)),
        ("1.8e9", Some(1_800_000_000)),
        ("-1", None),
        ("-0.5", None),
        ("1e400", None),
        ("1e300", None),
        ("\"1800000000\"", None),
        ("[1]", None),
        ("null", None),
        ("true", None),
    ] {
        let found = serde_json::from_str::<NumericDate>(text).ok().map(|date| date.0.unix_seconds());
        assert_eq!(found, wanted, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[A-Za-z0-9_.=-]{0,80}") {
        let _ = read(&text);
    }

    /// One changed character makes another token, or none.
    #[test]
    fn a_changed_token_is_refused(index in 0_usize..200, with in "[A-Za-z0-9_-]") {
        static GOOD: LazyLock<String> = LazyLock::new(|| signed(&json!({})));
        let mut changed = GOOD.clone();
        let index = index % changed.len();
        changed.replace_range(index..=index, &with);
        proptest::prop_assert!(changed == *GOOD || read(&changed).is_err());
    }
}

use proptest::prelude::*;

use super::*;

/// One `challenge` with `auth-param`s, read strictly by RFC 9110 §11.6.1 and §5.6.4: scheme, parameters, values
/// unescaped. `None` for anything else, a second challenge included.
fn parse(header: &HeaderValue) -> Option<(String, Vec<(String, String)>)> {
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let text = std::str::from_utf8(header.as_bytes()).ok()?;
    let Some((scheme, mut rest)) = text.split_once(' ') else {
        return is_token(text).then(|| (text.to_owned(), Vec::new()));
    };
    let mut parameters = Vec::new();
    loop {
        let (name, value) = rest.split_once('=')?;
        let mut value = value.strip_prefix('"')?.chars();
        let mut unescaped = String::new();
        loop {
            match value.next()? {
                '"' => break,
                '\\' => unescaped.push(value.next()?),
                c if c == '\t' || (' '..='~').contains(&c) => unescaped.push(c),
                _ => return None,
            }
        }
        if !is_token(scheme) || !is_token(name) || parameters.iter().any(|(earlier, _)| earlier == name) {
            return None;
        }
        parameters.push((name.to_owned(), unescaped));
        rest = match value.as_str() {
            "" => return Some((scheme.to_owned(), parameters)),
            more => more.strip_prefix(", ")?,
        };
    }
}

#[test]
fn a_challenge_without_parameters_is_its_scheme() {
    for (scheme, text) in [(Scheme::Bearer, "Bearer"), (Scheme::DPoP, "DPoP")] {
        assert_eq!(Challenge::new(scheme).scope(&ScopeSet::default()).to_header_value(), text);
    }
}

#[test]
fn nothing_breaks_out_of_a_value() {
    for hostile in
        ["a\"b", "a\\\"b", "a\\", "a\r\nSet-Cookie: x=y", "é", "\u{0}", "\u{7f}", "\t", "\", error=\"x"]
    {
        let header = Challenge::new(Scheme::Bearer).error("invalid_token", hostile).to_header_value();
        let text = header.to_str().unwrap();
        assert_eq!(text.matches('"').count(), 4, "{text}");
        assert!(text.starts_with("Bearer error=\"invalid_token\", error_description=\""), "{text}");
        assert_eq!(parse(&header).unwrap().1.len(), 2, "{text}");
    }
}

proptest! {
    /// Of any text, what is read is what was written, but for the characters that have no place in a value.
    #[test]
    fn what_is_written_is_what_is_read(dpop in any::<bool>(), url in any::<String>(), code in "[a-z_]{1,20}", description in any::<String>(), scope in "[!#-\\[\\]-~]{1,12}", hostile in "[\"\\\\,=\r\n a]{0,8}") {
        let scheme = if dpop { Scheme::DPoP } else { Scheme::Bearer };
        let challenge = Challenge::new(scheme)
            .resource_metadata(&url)
            .scope(&[scope.as_str()].into_iter().collect())
            .error(&code, &description)
            .algs(&["ES256", &hostile]);
        let kept = |text: &str| -> String {
            text.chars().map(|c| if (' '..='~').contains(&c) && c != '"' && c != '\\' { c } else { '?' }).collect()
        };
        let expected = [
            ("resource_metadata", kept(&url)),
            ("scope", scope),
            ("error", code),
            ("error_description", kept(&description)),
            ("algs", kept(&format!("ES256 {hostile}"))),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value)).to_vec();
        prop_assert_eq!(parse(&challenge.to_header_value()), Some((scheme.name().to_owned(), expected)));
        // The same text goes into tool results.
        prop_assert_eq!(challenge.to_header_value(), challenge.to_string());
    }
}

use http::Request;

use super::*;
use crate::challenge::DefaultChallenge;
use crate::clock::ManualClock;
use crate::policy::condition::ConditionFailure;
use crate::request::Malformed;

const METADATA: &str = "https://gw.test/.well-known/oauth-protected-resource/mcp";

fn body(method: &str, params: &str, modern: bool) -> (String, HeaderMap) {
    let mut headers = HeaderMap::new();
    let params = if modern {
        headers.insert("mcp-protocol-version", HeaderValue::from_static("2026-07-28"));
        headers.insert("mcp-method", method.parse().unwrap());
        headers.insert("mcp-name", HeaderValue::from_static("notes_list"));
        params
            .replacen('{', r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"#, 1)
            .replace(",}", "}")
    } else {
        params.to_owned()
    };
    (format!(r#"{{"jsonrpc":"2.0","id":"a\u0062","method":"{method}","params":{params}}}"#), headers)
}

/// Status, headers and body, as a client reads them.
fn print(response: &Response<Bytes>) -> String {
    let mut lines = vec![response.status().as_u16().to_string()];
    lines.extend(
        response.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())),
    );
    lines.push(String::new());
    lines.push(std::str::from_utf8(response.body()).unwrap().to_owned());
    lines.join("\n")
}

fn respond(
    refusal: Refusal,
    method: &str,
    params: &str,
    modern: bool,
    form: ChallengeForm,
    agent: &str,
) -> String {
    let (body, headers) = body(method, params, modern);
    let request = Classified::from_body(&headers, body.as_bytes()).unwrap();
    let sent = Request::builder().header(USER_AGENT, agent).body(()).unwrap();
    let to = Answering {
        resource_metadata: METADATA,
        request: Some(&request),
        headers: sent.headers(),
        form,
        possession: &Possession::new(&"https://gw.test/mcp".parse().unwrap()),
        clock: &ManualClock::at(0),
    };
    print(&refuse(refusal, &to, &DefaultChallenge))
}

fn scopes(text: &str) -> ScopeSet {
    ScopeSet::from_space_separated(text)
}

fn sign_in() -> Refusal {
    Refusal::SignIn { scopes: scopes("notes:read") }
}

fn step_up() -> Refusal {
    Refusal::InsufficientScope { scopes: scopes("notes:read notes:write"), needed: scopes("notes:write") }
}

const CALL: &str = r#"{"name":"notes_list"}"#;

#[test]
fn every_cell_of_the_challenge_table() {
    let mut printed = Vec::new();
    for (name, refusal) in [
        ("no token", sign_in()),
        (
            "invalid token",
            Refusal::InvalidToken {
                description: "The access token expired",
                cause: "",
                scopes: scopes("notes:read"),
            },
        ),
        ("scopes missing", step_up()),
        ("two tokens", Refusal::AmbiguousCredentials("the request carries two Authorization headers")),
    ] {
        for (form, agent, form_name) in [
            (ChallengeForm::Http, "openai-mcp/1.0", "http"),
            (ChallengeForm::ToolResult, "curl/8", "tool-result"),
            (ChallengeForm::Auto, "curl/8", "auto, curl"),
            (ChallengeForm::Auto, "Mozilla OpenAI-MCP/1.0.0 (+https://openai.com/bot)", "auto, ChatGPT"),
        ] {
            for (what, method, params, modern) in [
                ("tools/call", "tools/call", CALL, false),
                ("tools/call, modern", "tools/call", CALL, true),
                ("prompts/get", "prompts/get", CALL, false),
            ] {
                let response = respond(refusal.clone(), method, params, modern, form, agent);
                printed.push(format!("### {name} | {form_name} | {what}\n{response}"));
            }
        }
    }
    insta::assert_snapshot!(printed.join("\n\n"));
}

#[test]
fn what_does_not_exist_looks_so() {
    let mut printed = Vec::new();
    for (object, method, params) in [
        (UnknownObject::Object(ObjectKind::Tool), "tools/call", CALL),
        (UnknownObject::Object(ObjectKind::Prompt), "prompts/get", CALL),
        (UnknownObject::Object(ObjectKind::Resource), "resources/read", r#"{"uri":"notes_list"}"#),
        (UnknownObject::Method, "vendor/x", "{}"),
    ] {
        for modern in [false, true] {
            let response =
                respond(Refusal::Unknown(object), method, params, modern, ChallengeForm::Auto, "x");
            printed.push(format!("### {method} modern={modern}\n{response}"));
        }
    }
    insta::assert_snapshot!(printed.join("\n\n"));
}

#[test]
fn other_refusals_are_jsonrpc_errors() {
    let mut printed = Vec::new();
    for refusal in [
        Refusal::ForeignHost,
        Refusal::ForeignOrigin,
        Refusal::MethodNotAllowed,
        Refusal::Malformed(Malformed::bad_request(Malformed::PARSE_ERROR, "x \"y\"\n")),
        Refusal::VerifierUnavailable,
    ] {
        let to = Answering {
            resource_metadata: METADATA,
            request: None,
            headers: &HeaderMap::new(),
            form: ChallengeForm::ToolResult,
            possession: &Possession::new(&"https://gw.test/mcp".parse().unwrap()),
            clock: &ManualClock::at(0),
        };
        let response = refuse(refusal.clone(), &to, &DefaultChallenge);
        assert_eq!(response.extensions().get::<Refusal>(), Some(&refusal));
        printed.push(format!("### {}\n{}", refusal.code(), print(&response)));
    }
    insta::assert_snapshot!(printed.join("\n\n"));
}

#[test]
fn hostile_names_stay_inside_of_the_challenge() {
    let params = r#"{"name":"a\"b\\c\r\nSet-Cookie: x\u00e9"}"#;
    let response = respond(sign_in(), "tools/call", params, false, ChallengeForm::ToolResult, "x");
    let body: serde_json::Value = serde_json::from_str(response.split_once("\n\n").unwrap().1).unwrap();
    let challenge = body["result"]["_meta"]["mcp/www_authenticate"][0].as_str().unwrap();
    assert!(
        challenge.ends_with(r#"error_description="Sign in to use a?b?c??Set-Cookie: x?""#),
        "{challenge}"
    );
}

/// A proxy in front takes an answer with a header of megabytes for the fault of the server, and may take it out of use.
#[test]
fn a_name_of_any_length_makes_no_long_header() {
    let params = format!(r#"{{"name":"{}"}}"#, "\u{e9}".repeat(1_000_000));
    for (refusal, form) in [
        (sign_in(), ChallengeForm::Http),
        (step_up(), ChallengeForm::Http),
        (sign_in(), ChallengeForm::ToolResult),
        (step_up(), ChallengeForm::ToolResult),
    ] {
        let response = respond(refusal, "tools/call", &params, false, form, "x");
        assert!(response.len() < 2_000, "{form:?}: {}", response.len());
    }
}

#[test]
fn a_failed_condition_is_no_challenge_in_any_form() {
    let mut printed = Vec::new();
    for (name, failure) in [
        ("false", ConditionFailure::False),
        ("error", ConditionFailure::Error("no key `secret_threshold`".into())),
        ("ambiguous arguments", ConditionFailure::Arguments("the key `a\"b` is given twice".into())),
        ("long arguments", ConditionFailure::TooLong(65536)),
        ("too much work", ConditionFailure::TooMuchWork),
    ] {
        for form in [ChallengeForm::Http, ChallengeForm::ToolResult] {
            for (what, method, params, modern) in [
                ("tools/call", "tools/call", CALL, false),
                ("tools/call, modern", "tools/call", CALL, true),
                ("prompts/get", "prompts/get", CALL, false),
            ] {
                let refusal = Refusal::ConditionFailed(failure.clone());
                let response = respond(refusal, method, params, modern, form, "openai-mcp");
                printed.push(format!("### {name} | {form:?} | {what}\n{response}"));
            }
        }
    }
    let printed = printed.join("\n\n");
    assert!(!printed.contains("www-authenticate") && !printed.contains("secret_threshold"), "{printed}");
    insta::assert_snapshot!(printed);
}

/// Every refusal in every form, in the words of someone who would rather let it pass.
#[test]
fn words_of_ones_own_change_nothing_of_the_decision() {
    #[derive(Debug)]
    struct Meddler;
    impl ChallengeResponse for Meddler {
        fn words(&self, refusal: &Refusal, _: Option<&Classified<'_>>) -> Option<String> {
            Some(format!("\"}}}} in my words: {}\r\nx: y", refusal.code()))
        }
        fn headers(&self, _: &Refusal, headers: &mut HeaderMap) {
            for name in [
                "www-authenticate",
                "content-type",
                "content-length",
                "cache-control",
                "mcp-session-id",
                "allow",
                "x-mine",
            ] {
                headers.insert(name, HeaderValue::from_static("meddled"));
                headers.append(name, HeaderValue::from_static("twice"));
            }
        }
    }
    let unknown = UnknownObject::Object(ObjectKind::Tool);
    for (refusal, worded) in [
        (sign_in(), true),
        (step_up(), true),
        (
            Refusal::InvalidToken { description: "The access token expired", cause: "", scopes: scopes("a") },
            true,
        ),
        (Refusal::AmbiguousCredentials("two"), true),
        (Refusal::ConditionFailed(ConditionFailure::False), true),
        (Refusal::Unknown(unknown), false),
        (Refusal::VerifierUnavailable, false),
        (Refusal::MethodNotAllowed, false),
    ] {
        for (form, method) in [
            (ChallengeForm::Http, "tools/call"),
            (ChallengeForm::ToolResult, "tools/call"),
            (ChallengeForm::Http, "prompts/get"),
        ] {
            let (body, headers) = body(method, CALL, false);
            let request = Classified::from_body(&headers, body.as_bytes()).unwrap();
            let to = Answering {
                resource_metadata: METADATA,
                request: Some(&request),
                headers: &headers,
                form,
                possession: &Possession::new(&"https://gw.test/mcp".parse().unwrap()),
                clock: &ManualClock::at(0),
            };
            let (plain, mut meddled) =
                (refuse(refusal.clone(), &to, &DefaultChallenge), refuse(refusal.clone(), &to, &Meddler));
            let allow = meddled.headers_mut().remove("x-mine");
            assert_eq!(allow.unwrap(), "meddled");
            if !plain.headers().contains_key("allow") {
                meddled.headers_mut().remove("allow");
            }
            assert_eq!(
                (plain.status(), plain.headers()),
                (meddled.status(), meddled.headers()),
                "{refusal:?}"
            );
            let [plain, mut meddled] = [plain, meddled]
                .map(|response| serde_json::from_slice::<serde_json::Value>(response.body()).unwrap());
            let words = format!("\"}}}} in my words: {}\r\nx: y", refusal.code());
            let mut changed = 0;
            for place in ["/result/content/0/text", "/error/message", "/error_description"] {
                let Some(value) = meddled.pointer_mut(place).filter(|value| **value == words) else {
                    continue;
                };
                *value = plain.pointer(place).unwrap().clone();
                changed += 1;
            }
            assert_eq!((changed, &plain), (usize::from(worded), &meddled), "{refusal:?} {method}");
        }
    }
}

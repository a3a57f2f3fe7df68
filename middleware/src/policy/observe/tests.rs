use http::HeaderMap;

use super::*;
use crate::counts::recorder::Kept;
use crate::policy::PolicyHandle;
use crate::tasks::KnownTasks;

/// By rule, decision and mode; no series has a name out of a request.
#[test]
fn decisions_are_counted_by_what_the_file_names() {
    let policy = Policy::parse(
        "version = 1\n[tools.open]\nauth = \"public\"\n[tools.closed]\nauth = \"oauth2\"\n[tools.dark]\nauth = \"oauth2\"\nmode = \"shadow\"\n",
    )
    .unwrap();
    let kept = Kept::default();
    metrics::with_local_recorder(&kept, || {
        for tool in ["open", "open", "closed", "dark", "who", "knows", "what"] {
            let body =
                format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#);
            let request = Classified::from_body(&HeaderMap::new(), body.as_bytes()).unwrap();
            let _ = policy.decide_observed(&request, None, &KnownTasks::default());
        }
        refused_before_decision(&Refusal::VerifierUnavailable);
        refused_before_decision(&Refusal::ForeignHost);
        // This one is a rule's, and was counted there.
        refused_before_decision(&Refusal::SignIn { scopes: crate::policy::ScopeSet::default() });
    });
    let expected = [
        ("{rule=,decision=foreign-host,mode=enforce}", 1),
        ("{rule=,decision=verifier-unavailable,mode=enforce}", 1),
        ("{rule=defaults.tools,decision=unknown,mode=enforce}", 3),
        ("{rule=tools.closed,decision=sign-in,mode=enforce}", 1),
        ("{rule=tools.dark,decision=sign-in,mode=shadow}", 1),
        ("{rule=tools.open,decision=anonymously,mode=enforce}", 2),
    ]
    .map(|(labels, count)| (format!("mcp_auth_decisions_total{labels}"), count));
    assert_eq!(kept.read(), expected);
}

#[test]
fn the_version_in_force_is_the_one_that_is_one() {
    let kept = Kept::default();
    let [first, second] = ["version = 1\n", "version = 1\n\n"].map(|text| Policy::parse(text).unwrap());
    let series = |policy: &Policy| format!("mcp_auth_policy_info{{version={}}}", policy.version());
    let [first_series, second_series] = [series(&first), series(&second)];
    let value = |series: &str| {
        kept.read().into_iter().find(|(found, _)| found == series).map(|(_, bits)| f64::from_bits(bits))
    };
    metrics::with_local_recorder(&kept, || {
        let handle = PolicyHandle::new(first);
        assert_eq!((value(&first_series), value(&second_series)), (Some(1.0), None));
        handle.replace(second);
        assert_eq!((value(&first_series), value(&second_series)), (Some(0.0), Some(1.0)));
    });
}

//! When a user need not be asked: because an earlier answer stands, or because the administrator decided.

use super::{
    arrival::Arrival,
    client::{Client, Origin},
    redirect::Target,
    request::AuthorizationRequest,
    scope::ScopeSet,
};

/// `[[consent.auto]]`: what the administrator allows in the users' place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsentRule {
    pub(crate) clients: RuleClients,
    /// Canonical URLs. Every resource of a request must be among them.
    pub(crate) resources: Vec<String>,
    /// Every scope of a request must be among them, `offline_access` too.
    pub(crate) scopes: ScopeSet,
}

/// Whose requests a rule is for. Clients that registered themselves are not to be had here at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RuleClients {
    /// Every client of the administrator's.
    Administrators,
    /// One client: one of the administrator's, or a metadata document by its URL.
    Client(String),
    /// Every metadata document of a host.
    DocumentHost(String),
}

/// Why a code may be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// The user was asked and said yes.
    Asked,
    /// The user said yes to the same before.
    Earlier,
    /// The administrator's rule with this index.
    Rule(usize),
}

/// Whether a request needs no page, and why.
///
/// An earlier consent stands only for a request that the user went to directly. Whoever can send the browser here, a
/// hostile server that a client talks to among them, would otherwise get a code to that client made without anything
/// being shown. `earlier_covers`: whether the user allowed this client all of it before.
pub(crate) fn without_asking(
    client: &Client,
    request: &AuthorizationRequest,
    arrival: Arrival,
    earlier_covers: bool,
    rules: &[ConsentRule],
) -> Option<Basis> {
    // the client itself wants the user to be asked (OpenID Connect Core §3.1.2.1)
    if request.prompt.consent || !may_be_skipped(client, request) {
        return None;
    }
    if let Some(index) = rules.iter().position(|rule| rule.covers(client, request)) {
        return Some(Basis::Rule(index));
    }
    (earlier_covers && arrival == Arrival::Direct).then_some(Basis::Earlier)
}

/// Never for a client that nobody checked, and not where any program on the user's device may be the receiver (RFC 8252
/// §8.6): there, the user must see each request.
fn may_be_skipped(client: &Client, request: &AuthorizationRequest) -> bool {
    !matches!(client.origin, Origin::Registration) && matches!(request.redirect_uri.target(), Target::Web(_))
}

impl ConsentRule {
    fn covers(&self, client: &Client, request: &AuthorizationRequest) -> bool {
        self.clients.include(client)
            && request.resources.iter().all(|resource| self.resources.contains(resource))
            && request.scopes.is_subset(&self.scopes)
    }
}

impl RuleClients {
    fn include(&self, client: &Client) -> bool {
        match (self, &client.origin) {
            (_, Origin::Registration) | (Self::DocumentHost(_), Origin::Administrator) => false,
            (Self::Administrators, origin) => *origin == Origin::Administrator,
            (Self::Client(id), _) => *id == client.id,
            (Self::DocumentHost(host), Origin::Document { host: own }) => host == own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{
            client::{Authentication, Links, Restrictions},
            grant_type::interactive,
            pkce::CodeChallenge,
            redirect::RedirectUri,
            request::Prompt,
        },
        outside::Timestamp,
    };

    const DOCUMENT: &str = "https://claude.ai/client.json";
    const R1: &str = "https://gw.test/mcp";
    const R2: &str = "https://gw.test/other";

    fn client(id: &str, origin: Origin) -> Client {
        Client {
            id: id.to_owned(),
            name: "App".to_owned(),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            authentication: Authentication::None,
            grant_types: interactive(),
            restrictions: Restrictions::default(),
            service: super::super::client::Service::default(),
            origin,
            links: Links::default(),
            registered_at: Timestamp::from_unix_seconds(0),
        }
    }

    fn document(host: &str) -> Client {
        client(&format!("https://{host}/client.json"), Origin::Document { host: host.to_owned() })
    }

    fn administrators(id: &str) -> Client {
        client(id, Origin::Administrator)
    }

    fn request(redirect_uri: &str, scopes: &str, resources: &[&str]) -> AuthorizationRequest {
        AuthorizationRequest {
            key_thumbprint: None,
            nonce: None,
            redirect_uri: RedirectUri::parse(redirect_uri).unwrap(),
            state: None,
            scopes: ScopeSet::parse(scopes).unwrap(),
            resources: resources.iter().map(|url| (*url).to_owned()).collect(),
            code_challenge: CodeChallenge::from_request(Some(&"A".repeat(43)), Some("S256")).unwrap(),
            prompt: Prompt::default(),
            max_age: None,
            login_hint: None,
        }
    }

    fn rule(clients: RuleClients) -> ConsentRule {
        ConsentRule {
            clients,
            resources: vec![R1.to_owned()],
            scopes: ScopeSet::parse("read profile").unwrap(),
        }
    }

    fn every_kind_of_rule() -> [ConsentRule; 4] {
        [
            rule(RuleClients::Administrators),
            rule(RuleClients::Client("own".to_owned())),
            rule(RuleClients::Client(DOCUMENT.to_owned())),
            rule(RuleClients::DocumentHost("claude.ai".to_owned())),
        ]
    }

    fn plain() -> AuthorizationRequest {
        request("https://app.test/cb", "read", &[R1])
    }

    /// Neither a rule nor an earlier consent helps, however the user came.
    #[test]
    fn whoever_nobody_checked_and_whatever_listens_on_the_device_is_always_asked_about() {
        // even a registered client that got hold of a name in a rule
        let registered = [client("own", Origin::Registration), client(DOCUMENT, Origin::Registration)];
        let cases = registered
            .into_iter()
            .map(|client| (client, plain()))
            .chain(
                ["http://localhost:5/cb", "http://127.0.0.1/cb", "http://[::1]:5/cb", "cursor://x/cb"]
                    .into_iter()
                    .flat_map(|uri| {
                        [administrators("own"), document("claude.ai")]
                            .map(|client| (client, request(uri, "read", &[R1])))
                    }),
            )
            .chain([administrators("own"), document("claude.ai")].map(|client| {
                let mut asking = plain();
                asking.prompt.consent = true;
                (client, asking)
            }));
        for (client, request) in cases {
            for arrival in [Arrival::Direct, Arrival::Sent] {
                let basis = without_asking(&client, &request, arrival, true, &every_kind_of_rule());
                assert_eq!(basis, None, "{client:?} {request:?} {arrival:?}");
            }
        }
    }

    #[test]
    fn a_rule_covers_what_it_lists_and_nothing_else() {
        for (client, request) in [
            (administrators("other"), plain()),
            (document("evil.test"), plain()),
            (document("claude.ai.evil.test"), plain()),
            (document("claude.ai:8443"), plain()),
            (document("CLAUDE.ai"), plain()),
            (administrators("own"), request("https://app.test/cb", "read write", &[R1])),
            (administrators("own"), request("https://app.test/cb", "READ", &[R1])),
            (administrators("own"), request("https://app.test/cb", "offline_access read", &[R1])),
            (administrators("own"), request("https://app.test/cb", "read", &[R2])),
            (administrators("own"), request("https://app.test/cb", "read", &[R1, R2])),
            (administrators("own"), request("https://app.test/cb", "read", &["https://gw.test/mcp/"])),
        ] {
            let rules = every_kind_of_rule();
            let rules = rules.get(1..).unwrap();
            assert_eq!(
                without_asking(&client, &request, Arrival::Direct, false, rules),
                None,
                "{client:?} {request:?}"
            );
        }
        assert_eq!(
            without_asking(
                &document("claude.ai"),
                &plain(),
                Arrival::Direct,
                false,
                &[rule(RuleClients::Administrators)]
            ),
            None
        );
    }

    #[test]
    fn a_rule_holds_wherever_the_user_came_from() {
        for (client, index) in [(administrators("any"), 0), (document("claude.ai"), 2)] {
            for arrival in [Arrival::Direct, Arrival::Sent] {
                let basis = without_asking(&client, &plain(), arrival, false, &every_kind_of_rule());
                assert_eq!(basis, Some(Basis::Rule(index)), "{client:?}");
            }
        }
        let host = [rule(RuleClients::DocumentHost("claude.ai".to_owned()))];
        let basis = without_asking(&document("claude.ai"), &plain(), Arrival::Sent, false, &host);
        assert_eq!(basis, Some(Basis::Rule(0)));
    }

    #[test]
    fn an_earlier_consent_stands_only_for_who_came_directly() {
        let decide =
            |arrival, earlier| without_asking(&document("claude.ai"), &plain(), arrival, earlier, &[]);
        assert_eq!(decide(Arrival::Sent, true), None);
        assert_eq!(decide(Arrival::Direct, false), None);
        assert_eq!(decide(Arrival::Direct, true), Some(Basis::Earlier));
    }
}

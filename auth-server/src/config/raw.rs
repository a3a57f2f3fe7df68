//! `auth-server.toml` as written. The doc comments are the reference text of the keys.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The whole file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) server: Server,
    pub(super) database: Database,
    pub(super) resources: Vec<Resource>,
    pub(super) clients: Clients,
    pub(super) tokens: Tokens,
    pub(super) keys: Keys,
    pub(super) sessions: Sessions,
    pub(super) metrics: Metrics,
    pub(super) limits: Limits,
    pub(super) consent: Consent,
    pub(super) dpop: Dpop,
    pub(super) assertion_issuers: Vec<AssertionIssuer>,
}

/// `[server]`
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Server {
    /// Addresses to listen on. Anything but loopback needs `tls` or `behind_proxy`.
    pub(super) listen: Vec<String>,
    /// `{ certificate = "FILE", key = "FILE" }`: https instead of http. Files that change are taken over without a restart.
    pub(super) tls: Option<Tls>,
    /// That a proxy with TLS is in front: plain HTTP is then allowed on addresses that are not loopback.
    pub(super) behind_proxy: bool,
    /// The issuer identifier, without trailing slash. Everything published derives from it, never from a header. http
    /// only on loopback.
    pub(super) issuer: String,
    /// Addresses, or blocks such as `10.0.0.0/8`, of the proxies in front, whose `X-Forwarded-For` is believed. Limits
    /// are counted for the address behind them; without this, for the proxy's own.
    pub(super) trusted_proxies: Vec<String>,
    /// Logs as JSON, one object a line, or as text; to standard error, level by `RUST_LOG`.
    pub(super) log_json: bool,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:4000".to_owned()],
            tls: None,
            behind_proxy: false,
            issuer: String::new(),
            trusted_proxies: Vec::new(),
            log_json: true,
        }
    }
}

/// `server.tls`
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tls {
    /// The certificate and those between it and the authority, in PEM, relative to this file; watched.
    pub(super) certificate: String,
    /// Its private key, in PEM, relative to this file; watched.
    pub(super) key: String,
}

/// `[database]`
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Database {
    /// `sqlite://FILE`, relative to the configuration's folder unless FILE begins with a slash; or
    /// `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full`, where there are several servers.
    pub(super) url: String,
    /// Whether `run` brings the tables up to date. Otherwise it refuses to start until `migrate` has.
    pub(super) migrate: bool,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: "sqlite://auth-server.db".to_owned(), migrate: true }
    }
}

/// `[[resources]]`: what tokens are issued for.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Resource {
    /// The resource's canonical URL, which becomes `aud`.
    pub(super) url: String,
    /// What users are shown. Default: the URL.
    pub(super) name: String,
    /// Whether requests without `resource` mean this one. Where there is a single resource, they mean that anyway.
    pub(super) default: bool,
    /// Which clients may ask for tokens: `administrator` (`[[clients.registered]]`), `document` (metadata documents),
    /// `registration` (those that registered themselves). Default: all.
    pub(super) provenance: Option<Vec<String>>,
    /// Instead of those in `[tokens]`.
    pub(super) access_token_ttl_seconds: Option<i64>,
    pub(super) refresh_token_idle_seconds: Option<i64>,
    pub(super) refresh_token_max_seconds: Option<i64>,
    /// What access tokens tell the resource about users, by the name of the claim.
    pub(super) claims: BTreeMap<String, Claim>,
    /// The policy file that the gateway enforces, relative to this file; watched. Its scopes are the ones offered.
    pub(super) policy: String,
    /// The scopes, where there is no policy file.
    pub(super) scopes: BTreeMap<String, Scope>,
    /// What a request without `scope` gets, where there is no policy file. Default: every scope.
    pub(super) baseline_scopes: Vec<String>,
}

/// `[resources.claims."NAME"]`
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Claim {
    /// `email` (once it is verified), `preferred_username` or `attributes.NAME`. Default: what the name of the claim says,
    /// else the attribute of the same name.
    pub(super) from: String,
    /// What the consent page calls it.
    pub(super) description: String,
}

/// `[resources.scopes."NAME"]`
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Scope {
    /// What the consent page says.
    pub(super) description: String,
    /// What holding it is as good as holding: other scopes of this resource.
    pub(super) implies: Vec<String>,
}

/// `[clients]`
#[expect(clippy::struct_excessive_bools, reason = "keys of a file, each of which is on or off")]
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Clients {
    /// Whether clients may register themselves (RFC 7591).
    pub(super) dynamic_registration: bool,
    /// Whether such a client gets a token to look at its registration, to change it and to end it (RFC 7592).
    pub(super) registration_management: bool,
    /// Whether only who has an initial access token may register a client; `client token` makes them.
    pub(super) require_initial_access_token: bool,
    /// Whether a client that registered itself can sign nobody in until `client approve`.
    pub(super) require_approval: bool,
    /// Registrations a minute from one address; the ones beyond get 429.
    pub(super) registrations_per_minute: u32,
    /// Registrations a minute from all addresses together, but for those of `trusted_egress`.
    pub(super) registrations_per_minute_in_all: u32,
    /// `[[clients.trusted_egress]]`
    pub(super) trusted_egress: Vec<TrustedEgress>,
    /// Registered clients that nobody ever signed in with; beyond this number the oldest go.
    pub(super) max_unused: u32,
    /// Registered clients in all. Beyond this number the oldest go that nobody ever signed in with; where there is none, no
    /// other client is registered.
    pub(super) max_registered: u32,
    /// Redirect URIs that clients may register; a port of a loopback URI counts for nothing. Empty: any https or
    /// loopback URI. URIs of another scheme must be listed.
    pub(super) allowed_redirect_uris: Vec<String>,
    /// Redirect URIs of native apps that clients may register besides: of other schemes than https and http. A `*` stands
    /// for one path segment.
    pub(super) allowed_native_redirect_uris: Vec<String>,
    /// Whether a client id may be the URL of a metadata document.
    pub(super) metadata_documents: bool,
    /// `[clients.document_hosts]`
    pub(super) document_hosts: DocumentHosts,
    /// `HOST:PORT` on loopback whose documents are fetched all the same. For tests only.
    pub(super) insecure_document_hosts: Vec<String>,
    /// PEM file with the roots that those hosts' certificates are checked against.
    pub(super) extra_ca_file: String,
    /// `[[clients.registered]]`
    pub(super) registered: Vec<RegisteredClient>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            dynamic_registration: true,
            registration_management: true,
            require_initial_access_token: false,
            require_approval: false,
            registrations_per_minute: 60,
            registrations_per_minute_in_all: 600,
            trusted_egress: Vec::new(),
            max_unused: 10_000,
            max_registered: 100_000,
            allowed_redirect_uris: Vec::new(),
            allowed_native_redirect_uris: Vec::new(),
            metadata_documents: true,
            document_hosts: DocumentHosts::default(),
            insecure_document_hosts: Vec::new(),
            extra_ca_file: String::new(),
            registered: Vec::new(),
        }
    }
}

/// `[[clients.trusted_egress]]`: addresses that very many people register from, such as those of a hosted client. They
/// share a budget of their own.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TrustedEgress {
    /// Addresses, or blocks such as `203.0.113.0/24`.
    pub(super) addresses: Vec<String>,
    /// Registrations a minute from all of them together.
    pub(super) registrations_per_minute: u32,
}

/// `[clients.document_hosts]`: whose metadata documents count. `app.example.com` is that host, `*.example.com` all below.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DocumentHosts {
    /// Only these. Empty: all.
    pub(super) allow: Vec<String>,
    /// None of these, whatever `allow` says.
    pub(super) deny: Vec<String>,
}

/// `[[clients.registered]]`: a client that the administrator vouches for.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RegisteredClient {
    pub(super) id: String,
    /// What users are shown. Default: the id.
    pub(super) name: String,
    /// Where users are sent back to; needed for `authorization_code`.
    pub(super) redirect_uris: Vec<String>,
    /// Where users may be sent back to who sign out because the client asks for it.
    pub(super) post_logout_redirect_uris: Vec<String>,
    /// What the client may come to the token endpoint with. Default: `authorization_code` and `refresh_token`.
    pub(super) grant_types: Option<Vec<String>>,
    /// A file with the client's secret, relative to this file.
    pub(super) secret_file: String,
    /// A file with the client's public keys (a JSON Web Key Set), relative to this file.
    pub(super) jwks_file: String,
    /// An https URL where the client publishes its public keys.
    pub(super) jwks_uri: String,
    /// `none`, `client_secret_basic`, `client_secret_post` or `private_key_jwt`. Default: what fits: either way of
    /// sending a secret, the keys, or none.
    pub(super) token_endpoint_auth_method: String,
    /// The scopes that it may have for itself, with `client_credentials`.
    pub(super) service_scopes: Vec<String>,
    /// The resources that it serves: it may introspect tokens for them, and exchange these.
    pub(super) serves: Vec<String>,
    /// The resources that it may exchange such tokens for.
    pub(super) exchanges_for: Vec<String>,
    /// The one algorithm that the client signs with: `ES256`, `RS256`, `PS256` or `EdDSA`. Default: the key's own.
    pub(super) token_endpoint_auth_signing_alg: String,
    /// Whether the client's authorization requests count only if they were pushed (RFC 9126).
    pub(super) require_pushed_authorization_requests: bool,
    /// Whether the client gets tokens only with a DPoP proof (RFC 9449).
    pub(super) dpop_bound_access_tokens: bool,
}

/// `[dpop]`: proofs that a client holds a key (RFC 9449).
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Dpop {
    /// Whether proofs need a nonce of the server.
    pub(super) nonces: bool,
    /// A file with 32 bytes in base64 that nonces are made with, where several servers must know each other's. Default: a
    /// key of its own for each start.
    pub(super) nonce_key_file: String,
}

/// `[[assertion_issuers]]`: an identity provider whose identity assertions (ID-JAG) are taken.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AssertionIssuer {
    /// As its assertions name it.
    pub(super) issuer: String,
    /// An https URL with its public keys.
    pub(super) jwks_uri: String,
    /// Or a file with them, relative to this file.
    pub(super) jwks_file: String,
    /// Seconds that an assertion may live, 1 to 3600. Default: 300.
    pub(super) max_lifetime_seconds: Option<i64>,
    /// Whether an assertion may be presented again until it expires, as the draft lets clients do. Default: once.
    pub(super) reuse: bool,
    /// Domains of e-mail addresses that it speaks for: a subject that is new here is taken for the user whose verified
    /// address it has.
    pub(super) email_domains: Vec<String>,
    /// Whether such a user is created where there is none.
    pub(super) create_users: bool,
}

/// `[tokens]`
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Tokens {
    /// Seconds that an access token lives, 1 to 86400.
    pub(super) access_token_ttl_seconds: i64,
    /// Seconds that an authorization code lives, 1 to 600.
    pub(super) code_ttl_seconds: i64,
    /// Seconds after which an unused refresh token is dead.
    pub(super) refresh_token_idle_seconds: i64,
    /// Seconds after which the user must sign in again, however busy the client is.
    pub(super) refresh_token_max_seconds: i64,
    /// Seconds in which a used refresh token still gives its successor, for clients that lost the answer or refresh
    /// twice at once. 0 to 300.
    pub(super) refresh_retry_window_seconds: i64,
    /// Whether access tokens name a status list, by which gateways learn within seconds that one was revoked.
    pub(super) status_lists: bool,
    /// Seconds after which a gateway should fetch a status list again, 1 to 3600.
    pub(super) status_list_ttl_seconds: i64,
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            access_token_ttl_seconds: 900,
            code_ttl_seconds: 60,
            refresh_token_idle_seconds: 30 * 86_400,
            refresh_token_max_seconds: 180 * 86_400,
            refresh_retry_window_seconds: 30,
            status_lists: true,
            status_list_ttl_seconds: 3,
        }
    }
}

/// `[keys]`
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Keys {
    /// `ES256`, `RS256`, `EdDSA`: the first signs, and of each there is a published key, so that another can become the
    /// first.
    pub(super) algorithms: Vec<String>,
    /// Days after which a key is replaced; 0 for never.
    pub(super) rotate_after_days: u16,
    /// Seconds that a key is published before it signs, 10 to 30 days: others may keep a copy of the keys for half as long.
    pub(super) publish_before_seconds: i64,
    /// A file with the key that private keys are encrypted with in the database, 32 bytes in base64, relative to this file.
    /// Instead of the environment variable `MCP_AUTH_SERVER_KEY_ENCRYPTION_KEY`.
    pub(super) encryption_key_file: String,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            algorithms: vec!["ES256".to_owned()],
            rotate_after_days: 90,
            publish_before_seconds: 3600,
            encryption_key_file: String::new(),
        }
    }
}

/// `[sessions]`
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Sessions {
    /// Seconds that a browser stays signed in.
    pub(super) lifetime_seconds: i64,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { lifetime_seconds: 12 * 3600 }
    }
}

/// `[consent]`
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Consent {
    /// `[[consent.auto]]`
    pub(super) auto: Vec<AutoConsent>,
}

/// `[[consent.auto]]`: requests that need no consent page. Never those of a client that registered itself, nor where the
/// answer stays on the user's device, nor where the client wants the user to be asked (`prompt=consent`).
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AutoConsent {
    /// One client: the id of one of `[[clients.registered]]`, or the URL of a metadata document.
    pub(super) client_id: String,
    /// Instead: every metadata document of a host, such as `claude.ai`.
    pub(super) document_host: String,
    /// Instead: `administrator`, for every one of `[[clients.registered]]`.
    pub(super) provenance: String,
    /// URLs of `[[resources]]`. All resources of a request must be listed.
    pub(super) resources: Vec<String>,
    /// All scopes of a request must be listed, `offline_access` too where it is asked for.
    pub(super) scopes: Vec<String>,
}

/// `[metrics]`
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Metrics {
    /// An address of its own, such as `127.0.0.1:9401`, for `/metrics`, `/healthz` and `/readyz`. It has no
    /// authentication: whoever reaches it may ask. Empty: none.
    pub(super) listen: String,
    /// Values of `Host` that are answered beside IP addresses and `localhost`, such as `auth-server:9401`.
    pub(super) allowed_hosts: Vec<String>,
}

/// `[limits]`. The rates are requests a minute of one IPv4 address, or of the /64 of an
/// IPv6 address. Those of `clients.trusted_egress` are not counted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    /// Requests for authorization.
    pub(super) authorizations_per_minute: u32,
    /// Pages and their forms.
    pub(super) pages_per_minute: u32,
    /// Requests to the token endpoint.
    pub(super) token_requests_per_minute: u32,
    /// Introspections: a gateway may ask for each request.
    pub(super) introspections_per_minute: u32,
    /// Revocations.
    pub(super) revocations_per_minute: u32,
    /// Pushed authorization requests.
    pub(super) pushed_requests_per_minute: u32,
    /// Devices that ask for a code.
    pub(super) device_requests_per_minute: u32,
    /// Requests to the userinfo endpoint.
    pub(super) userinfo_requests_per_minute: u32,
    /// Clients that look at, change or end their registration.
    pub(super) registration_management_per_minute: u32,
    /// Documents and keys of clients that are fetched a minute, from all hosts together.
    pub(super) fetches_per_minute: u32,
    /// The same, from one host.
    pub(super) fetches_per_host_per_minute: u32,
    /// Connections at once; further ones wait.
    pub(super) max_connections: u32,
    /// Connections at once of one address; further ones are closed. Those of trusted proxies and of
    /// `clients.trusted_egress` are not counted.
    pub(super) max_connections_per_address: u32,
    /// Seconds that the body of a request has to come in.
    pub(super) body_timeout_seconds: u32,
    /// Passwords hashed at once: each takes 19 MiB and a core.
    pub(super) password_hashes_at_once: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            authorizations_per_minute: 300,
            pages_per_minute: 1200,
            token_requests_per_minute: 1200,
            introspections_per_minute: 12_000,
            revocations_per_minute: 600,
            pushed_requests_per_minute: 300,
            device_requests_per_minute: 120,
            userinfo_requests_per_minute: 1200,
            registration_management_per_minute: 300,
            fetches_per_minute: 120,
            fetches_per_host_per_minute: 30,
            max_connections: 4096,
            max_connections_per_address: 512,
            body_timeout_seconds: 10,
            password_hashes_at_once: 2,
        }
    }
}

//! Headers by which other proxies tell a server whom it serves: what reads them believes them, and a client that writes them
//! would be whoever it likes.
//!
//! `X-Auth-…` and `X-Forwarded-…` are the gateway's own already. An operator may set any of these by `credentials`.

/// What names begin with.
const BEGINNINGS: [&str; 8] = [
    "remote-",
    "ssl-",
    "tailscale-user-",
    "cf-access-",
    "cf-connecting-ip",
    "oidc-",
    "client-cert",
    "impersonate-",
];

/// The same behind `x-`.
const BEGINNINGS_BEHIND_X: [&str; 31] = [
    // servers that authenticate themselves: Apache, nginx, Kubernetes, Grafana, Rails and Django behind them
    "remote-",
    "authenticated-",
    "webauth-",
    "proxy-user",
    "proxy-remote-",
    // whom a client certificate is of: nginx, HAProxy, Traefik, Envoy, IIS
    "ssl-",
    "tls-",
    "client-cert",
    "client-dn",
    "client-verify",
    "client-subject",
    "arr-clientcert",
    "mtls-",
    // gateways: Google, AWS, Azure, Kong, APISIX, and those that sign people in
    "goog-authenticated-",
    "goog-iap-",
    "endpoint-api-userinfo",
    "apigateway-api-userinfo",
    "amzn-oidc-",
    "amzn-mtls-",
    "jwt-",
    "vouch-",
    "spiffe-",
    "hasura-",
    "token-",
    "scope-",
    "ms-client-principal",
    "ms-token-",
    "consumer-",
    "oidc-",
    "pomerium-",
    // and what their neighbours say of the request
    "envoy-original-",
];

/// Whole names behind `x-`.
fn is_one_behind_x(name: &str) -> bool {
    matches!(
        name,
        "user"
            | "users"
            | "username"
            | "user-id"
            | "userid"
            | "user-name"
            | "user-email"
            | "user-groups"
            | "user-roles"
            | "user-info"
            | "userinfo"
            | "uid"
            | "email"
            | "groups"
            | "roles"
            | "user-role"
            | "user-group"
            | "role"
            | "group"
            | "cluster-client-ip"
            | "original-uri"
            | "subject"
            | "principal"
            | "identity"
            | "id-token"
            | "access-token"
            | "anonymous-consumer"
            | "credential-identifier"
            | "authentik-jwt"
    ) || name.starts_with("authentik-")
}

/// Whether servers take this header for who the user is. Names are in lower case, and without `_`.
///
/// Nearly no name begins like one of these: the first byte tells.
pub(super) fn is_believed(name: &str) -> bool {
    match name.as_bytes() {
        [b'x', b'-', ..] => {
            let rest = name.get(2..).unwrap_or_default();
            is_one_behind_x(rest) || BEGINNINGS_BEHIND_X.iter().any(|beginning| rest.starts_with(beginning))
        }
        [b'r' | b's' | b't' | b'c' | b'o' | b'i', ..] => {
            BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        }
        _ => false,
    }
}

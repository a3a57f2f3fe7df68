//! `[[clients.registered]]`: the clients that the administrator vouches for.

use std::collections::BTreeMap;

use jsonwebtoken::Algorithm;
use mcp_auth::document::KeyPath;
use mcp_auth_runtime::{config::Report, files};

use super::{ConfiguredResource, clients::redirect_uris, raw};
use crate::{
    model::{
        client::{Authentication, Client, KeysAt, Links, Origin, Restrictions, Service},
        grant_type::{GrantType, GrantTypes, interactive},
        jwks::{self, PublicKeys},
        scope::{is_own, is_scope_token},
        secret::Digest,
        text,
    },
    outbound::url::{FetchUrl, InsecureHost},
    outside::Timestamp,
};

/// Shortest secret of a configured client, in bytes: only a digest of it is kept in memory, which protects nothing that
/// can be guessed.
const MIN_SECRET_BYTES: usize = 32;

pub(super) fn understand(
    raw: Vec<raw::RegisteredClient>,
    insecure_hosts: &[InsecureHost],
    resources: &[ConfiguredResource],
    path: &KeyPath,
    report: &mut Report,
) -> BTreeMap<String, Client> {
    let mut clients = BTreeMap::new();
    for (index, entry) in raw.into_iter().enumerate() {
        let path = path.index(index);
        let legal = !entry.id.is_empty()
            && entry.id.len() <= 256
            && entry.id.bytes().all(|b| matches!(b, 0x21..=0x7E));
        if !legal {
            report.unexpected(&path.key("id"), "a client id, in printable ASCII without spaces");
        } else if clients.contains_key(&entry.id) {
            report.unexpected(&path.key("id"), "an id that no client above has");
        }
        let proves_itself =
            [&entry.secret_file, &entry.jwks_file, &entry.jwks_uri].iter().any(|value| !value.is_empty());
        let at = path.key("grant_types");
        let grant_types = grant_types(entry.grant_types.as_deref(), proves_itself, &at, report);
        let post_logout_redirect_uris =
            redirect_uris(&entry.post_logout_redirect_uris, &path.key("post_logout_redirect_uris"), report);
        let redirect_uris = redirect_uris(&entry.redirect_uris, &path.key("redirect_uris"), report);
        if entry.redirect_uris.is_empty() && grant_types.contains(&GrantType::AuthorizationCode) {
            report.fault(&path, "expected `redirect_uris` with at least one URI, for `authorization_code`");
        }
        let authentication = authentication(&entry, insecure_hosts, &path, report);
        if !proves_itself
            && let Some(grant_type) = grant_types.iter().find(|grant_type| grant_type.needs_authentication())
        {
            report.fault(
                &path,
                format!(
                    "expected `secret_file`, `jwks_file` or `jwks_uri`, for the grant type `{}`",
                    grant_type.as_str()
                ),
            );
        } else if entry.service_scopes.is_empty() && grant_types.contains(&GrantType::ClientCredentials) {
            report
                .fault(&path, "expected `service_scopes` with at least one scope, for `client_credentials`");
        }
        let client = Client {
            id: entry.id.clone(),
            name: text::display_name(&entry.name).unwrap_or_else(|| entry.id.clone()),
            redirect_uris,
            post_logout_redirect_uris,
            authentication,
            grant_types,
            restrictions: Restrictions {
                pushed_requests: entry.require_pushed_authorization_requests,
                dpop: entry.dpop_bound_access_tokens,
            },
            service: service(&entry, resources, &path, report),
            origin: Origin::Administrator,
            links: Links::default(),
            registered_at: Timestamp::from_unix_seconds(0),
        };
        clients.insert(entry.id, client);
    }
    clients
}

fn service(
    entry: &raw::RegisteredClient,
    resources: &[ConfiguredResource],
    path: &KeyPath,
    report: &mut Report,
) -> Service {
    for (index, scope) in entry.service_scopes.iter().enumerate() {
        if !is_scope_token(scope) || is_own(scope) {
            report.unexpected(&path.key("service_scopes").index(index), "a scope of a resource");
        }
    }
    for (key, urls) in [("serves", &entry.serves), ("exchanges_for", &entry.exchanges_for)] {
        for (index, url) in urls.iter().enumerate() {
            // tokens have the canonical URL, and another spelling of it would match none
            if !resources.iter().any(|configured| configured.resource.url() == url) {
                report.unexpected(
                    &path.key(key).index(index),
                    "the `url` of one of `[[resources]]`, spelled as there",
                );
            }
        }
    }
    Service {
        scopes: entry.service_scopes.iter().map(String::as_str).collect(),
        serves: entry.serves.clone(),
        exchanges_for: entry.exchanges_for.clone(),
    }
}

/// A client that can prove itself needs none: it may be one that only introspects.
fn grant_types(
    listed: Option<&[String]>,
    proves_itself: bool,
    path: &KeyPath,
    report: &mut Report,
) -> GrantTypes {
    let Some(listed) = listed else { return interactive() };
    let unknown = listed.iter().position(|name| GrantType::parse(name).is_none());
    if let Some(index) = unknown {
        let known: Vec<_> = GrantType::ALL.iter().map(|known| known.as_str()).collect();
        report.unexpected(&path.index(index), format!("one of `{}`", known.join("`, `")));
    }
    let grant_types: GrantTypes = listed.iter().filter_map(|name| GrantType::parse(name)).collect();
    let begins = grant_types.iter().any(|grant_type| *grant_type != GrantType::RefreshToken);
    if unknown.is_none() && !begins && !(listed.is_empty() && proves_itself) {
        report.unexpected(
            path,
            "a grant type that a client can begin with, such as `authorization_code`, or none at all for a client with a \
             secret or keys that only introspects tokens",
        );
    }
    grant_types
}

fn authentication(
    entry: &raw::RegisteredClient,
    insecure_hosts: &[InsecureHost],
    path: &KeyPath,
    report: &mut Report,
) -> Authentication {
    let given = [&entry.secret_file, &entry.jwks_file, &entry.jwks_uri];
    if given.iter().filter(|value| !value.is_empty()).count() > 1 {
        report.fault(path, "expected one of `secret_file`, `jwks_file` and `jwks_uri`, but found several");
    }
    let has_secret = !entry.secret_file.is_empty();
    let has_keys = !entry.jwks_file.is_empty() || !entry.jwks_uri.is_empty();
    let (basic, post) = match entry.token_endpoint_auth_method.as_str() {
        "" => (true, true),
        "client_secret_basic" if has_secret => (true, false),
        "client_secret_post" if has_secret => (false, true),
        "private_key_jwt" if has_keys => (false, false),
        "none" if !has_secret && !has_keys => (false, false),
        "client_secret_basic" | "client_secret_post" => {
            report.fault(path, "expected `secret_file` beside `token_endpoint_auth_method`");
            (false, false)
        }
        "private_key_jwt" => {
            report.fault(path, "expected `jwks_file` or `jwks_uri` beside `token_endpoint_auth_method`");
            (false, false)
        }
        "none" => {
            report
                .fault(path, "expected no secret and no keys beside `token_endpoint_auth_method = \"none\"`");
            (false, false)
        }
        _ => {
            report.unexpected(
                &path.key("token_endpoint_auth_method"),
                "`none`, `client_secret_basic`, `client_secret_post` or `private_key_jwt`",
            );
            (false, false)
        }
    };
    let algorithm = algorithm(&entry.token_endpoint_auth_signing_alg, has_keys, path, report);
    if has_secret {
        return secret(&entry.secret_file, &path.key("secret_file"), report)
            .map_or(Authentication::None, |digest| Authentication::Secret { digest, basic, post });
    }
    let keys = if !entry.jwks_file.is_empty() {
        keys(&entry.jwks_file, &path.key("jwks_file"), report).map(KeysAt::Hand)
    } else if !entry.jwks_uri.is_empty() {
        let url = FetchUrl::normalised(&entry.jwks_uri, insecure_hosts);
        if let Err(reason) = &url {
            report.unexpected(&path.key("jwks_uri"), format!("a public https URL ({reason})"));
        }
        url.ok().map(|url| KeysAt::Url(url.url().to_string()))
    } else {
        None
    };
    keys.map_or(Authentication::None, |keys| Authentication::PrivateKeyJwt {
        keys,
        algorithm,
        or_none: false,
    })
}

fn algorithm(name: &str, has_keys: bool, path: &KeyPath, report: &mut Report) -> Option<Algorithm> {
    if name.is_empty() {
        return None;
    }
    let path = path.key("token_endpoint_auth_signing_alg");
    if !has_keys {
        report.fault(&path, "expected `jwks_file` or `jwks_uri` beside it");
    }
    let algorithm = jwks::algorithm(name);
    if algorithm.is_none() {
        report.unexpected(&path, "`ES256`, `RS256`, `PS256` or `EdDSA`");
    }
    algorithm
}

fn secret(file: &str, path: &KeyPath, report: &mut Report) -> Option<Digest> {
    let file = report.resolve(file);
    match files::read_to_string(&file).map(zeroize::Zeroizing::new) {
        Ok(text) if text.trim().len() >= MIN_SECRET_BYTES => Some(Digest::of(text.trim().as_bytes())),
        Ok(_) => {
            report.fault(
                path,
                format!("expected a secret of at least {MIN_SECRET_BYTES} bytes in `{}`", file.display()),
            );
            None
        }
        Err(reason) => {
            report.fault(path, format!("`{}` cannot be read: {reason}", file.display()));
            None
        }
    }
}

fn keys(file: &str, path: &KeyPath, report: &mut Report) -> Option<PublicKeys> {
    let file = report.resolve(file);
    let bytes = files::read(&file)
        .map_err(|reason| report.fault(path, format!("`{}` cannot be read: {reason}", file.display())))
        .ok()?;
    PublicKeys::parse(&bytes)
        .map_err(|reason| report.fault(path, format!("`{}` cannot be used: {reason}", file.display())))
        .ok()
}

//! `introspection` of an issuer.

use mcp_auth::document::KeyPath;
use mcp_auth::verifier::introspection::{ClientAuthentication, PrivateKeyJwt};
use mcp_auth_runtime::config::Report;
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::raw::IntrospectionTable;
use super::{http_url, is_https_or_local, is_local};

/// How the gateway asks an issuer about tokens.
#[derive(Clone, Debug)]
pub(crate) struct IntrospectionConfig {
    pub(crate) endpoint: Url,
    /// The client, with its secret or key; neither is printed.
    pub(crate) authentication: ClientAuthentication,
    pub(crate) cache_seconds: u64,
    /// Whether JWTs are introspected as well.
    pub(crate) jwts: bool,
    pub(crate) endpoint_is_for_this_resource: bool,
    pub(crate) client_as_subject: bool,
    /// As it was written, and the secret or key that it names: what two of them are compared by.
    written: IntrospectionTable,
    credential: SecretString,
}

impl PartialEq for IntrospectionConfig {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written && self.credential.expose_secret() == other.credential.expose_secret()
    }
}

impl IntrospectionConfig {
    pub(crate) fn is_on_this_machine(&self) -> bool {
        is_local(&self.endpoint)
    }
}

pub(super) fn understand(
    raw: &IntrospectionTable,
    path: &KeyPath,
    report: &mut Report,
) -> Option<IntrospectionConfig> {
    let endpoint = raw.endpoint.as_deref().and_then(http_url);
    let endpoint = endpoint.filter(|url| is_https_or_local(url) && url.fragment().is_none());
    if endpoint.is_none() {
        report.unexpected(&path.key("endpoint"), "an https URL, or an http one of this machine");
    }
    let client_id = raw.client_id.as_deref().filter(|client_id| !client_id.is_empty());
    if client_id.is_none() {
        report.unexpected(&path.key("client_id"), "the identifier of the gateway as a client of the issuer");
    }
    let authentication = authentication(raw, client_id.unwrap_or_default(), path, report);
    let (authentication, credential) = authentication?;
    Some(IntrospectionConfig {
        endpoint: endpoint?,
        authentication,
        written: raw.clone(),
        credential,
        cache_seconds: raw.cache_seconds.into(),
        jwts: raw.jwts,
        endpoint_is_for_this_resource: raw.endpoint_is_for_this_resource,
        client_as_subject: raw.client_as_subject,
    })
}

fn authentication(
    raw: &IntrospectionTable,
    client_id: &str,
    path: &KeyPath,
    report: &mut Report,
) -> Option<(ClientAuthentication, SecretString)> {
    let by_key = raw.auth == "private_key_jwt";
    if !by_key && !matches!(raw.auth.as_str(), "basic" | "post") {
        report.unexpected(&path.key("auth"), "one of `basic`, `post`, `private_key_jwt`");
        return None;
    }
    // what another way of authenticating would use is a sign that this one was not meant
    let misplaced: &[(&str, bool)] = if by_key {
        &[
            ("client_secret_env", raw.client_secret_env.is_some()),
            ("client_secret_file", raw.client_secret_file.is_some()),
        ]
    } else {
        &[
            ("private_key_file", raw.private_key_file.is_some()),
            ("private_key_id", raw.private_key_id.is_some()),
            ("assertion_audience", raw.assertion_audience.is_some()),
        ]
    };
    for (key, _) in misplaced.iter().filter(|(_, is_there)| *is_there) {
        report.fault(
            &path.key(key),
            format!("expected no `{key}` with `auth = \"{}\"`, but found one", raw.auth),
        );
    }
    if by_key {
        let (key, pem) = key(raw, path, report)?;
        return Some((ClientAuthentication::private_key_jwt(client_id, key), pem));
    }
    let secret = secret(raw, path, report)?;
    let exposed = secret.expose_secret();
    let authentication = if raw.auth == "post" {
        ClientAuthentication::post(client_id, exposed)
    } else {
        ClientAuthentication::basic(client_id, exposed)
    };
    Some((authentication, secret))
}

fn key(
    raw: &IntrospectionTable,
    path: &KeyPath,
    report: &mut Report,
) -> Option<(PrivateKeyJwt, SecretString)> {
    let path = path.key("private_key_file");
    let Some(file) = &raw.private_key_file else {
        report.unexpected(&path, "the file with the client's private key");
        return None;
    };
    let file = report.resolve(file);
    let read = std::fs::read_to_string(&file)
        .map_err(|reason| format!("expected a private key, but the file cannot be read: {reason}"))
        .and_then(|pem| {
            let key = PrivateKeyJwt::from_pem(&pem).map_err(|reason| reason.to_string())?;
            Ok((key, SecretString::from(pem)))
        });
    match read {
        Ok((mut key, pem)) => {
            if let Some(kid) = &raw.private_key_id {
                key = key.key_id(kid.as_str());
            }
            if let Some(audience) = &raw.assertion_audience {
                key = key.audience(audience.as_str());
            }
            Some((key, pem))
        }
        Err(reason) => {
            report.fault(&path, format!("`{}`: {reason}", file.display()));
            None
        }
    }
}

fn secret(raw: &IntrospectionTable, path: &KeyPath, report: &mut Report) -> Option<SecretString> {
    let (path, found) = match (&raw.client_secret_env, &raw.client_secret_file) {
        (None, None) => {
            let path = path.key("client_secret_file");
            report.fault(&path, "expected `client_secret_env` or `client_secret_file`, but found neither");
            return None;
        }
        (Some(_), Some(_)) => {
            let path = path.key("client_secret_file");
            report.fault(&path, "expected `client_secret_env` or `client_secret_file`, but found both");
            return None;
        }
        (Some(variable), None) => {
            #[expect(clippy::disallowed_methods, reason = "this is part of the configuration loader")]
            let value = std::env::var(variable);
            // the reason of a failure quotes the value
            let found = value
                .map_err(|_| format!("expected the environment variable `{variable}` to be set, to text"));
            (path.key("client_secret_env"), found)
        }
        (None, Some(file)) => {
            let file = report.resolve(file);
            let found = std::fs::read_to_string(&file).map_err(|reason| {
                format!("expected a secret, but `{}` cannot be read: {reason}", file.display())
            });
            (path.key("client_secret_file"), found)
        }
    };
    let found = found.and_then(|text| {
        let text =
            text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
        if text.is_empty() {
            Err("expected a secret, but found nothing".to_owned())
        } else {
            Ok(text.to_owned())
        }
    });
    match found {
        Ok(secret) => Some(SecretString::from(secret)),
        Err(message) => {
            report.fault(&path, message);
            None
        }
    }
}

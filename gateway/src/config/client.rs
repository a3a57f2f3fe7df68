//! Who the gateway is to an authorization server, wherever it asks one something.

use mcp_auth::document::KeyPath;
use mcp_auth::verifier::introspection::{ClientAuthentication, PrivateKeyJwt};
use mcp_auth_runtime::config::Report;
use mcp_auth_runtime::files;

use super::secret::SecretSource;

/// The keys by which a table says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientKeys<'a> {
    pub(super) client_id: Option<&'a str>,
    pub(super) auth: &'a str,
    pub(super) client_secret_env: Option<&'a str>,
    pub(super) client_secret_file: Option<&'a str>,
    pub(super) private_key_file: Option<&'a str>,
    pub(super) private_key_id: Option<&'a str>,
    pub(super) assertion_audience: Option<&'a str>,
}

impl ClientKeys<'_> {
    /// The client, with its secret or key read.
    pub(super) fn understand(&self, path: &KeyPath, report: &mut Report) -> Option<ClientAuthentication> {
        let client_id = self.client_id.filter(|client_id| !client_id.is_empty());
        if client_id.is_none() {
            report.unexpected(
                &path.key("client_id"),
                "the identifier of the gateway as a client of the issuer",
            );
        }
        let authentication = self.authentication(client_id.unwrap_or_default(), path, report);
        client_id.and(authentication)
    }

    fn authentication(
        &self,
        client_id: &str,
        path: &KeyPath,
        report: &mut Report,
    ) -> Option<ClientAuthentication> {
        let by_key = self.auth == "private_key_jwt";
        if !by_key && !matches!(self.auth, "basic" | "post") {
            report.unexpected(&path.key("auth"), "one of `basic`, `post`, `private_key_jwt`");
            return None;
        }
        // what another way of authenticating would use is a sign that this one was not meant
        let misplaced: &[(&str, bool)] = if by_key {
            &[
                ("client_secret_env", self.client_secret_env.is_some()),
                ("client_secret_file", self.client_secret_file.is_some()),
            ]
        } else {
            &[
                ("private_key_file", self.private_key_file.is_some()),
                ("private_key_id", self.private_key_id.is_some()),
                ("assertion_audience", self.assertion_audience.is_some()),
            ]
        };
        for (key, _) in misplaced.iter().filter(|(_, is_there)| *is_there) {
            report.fault(
                &path.key(key),
                format!("expected no `{key}` with `auth = \"{}\"`, but found one", self.auth),
            );
        }
        if by_key {
            return self.key(path, report).map(|key| ClientAuthentication::private_key_jwt(client_id, key));
        }
        let from = SecretSource {
            environment: ("client_secret_env", self.client_secret_env),
            file: ("client_secret_file", self.client_secret_file),
        };
        let (secret, _) = from.read(path, report)?;
        let secret = secret.expose();
        Some(if self.auth == "post" {
            ClientAuthentication::post(client_id, secret)
        } else {
            ClientAuthentication::basic(client_id, secret)
        })
    }

    fn key(&self, path: &KeyPath, report: &mut Report) -> Option<PrivateKeyJwt> {
        let path = path.key("private_key_file");
        let Some(file) = &self.private_key_file else {
            report.unexpected(&path, "the file with the client's private key");
            return None;
        };
        let file = report.resolve(file);
        let read = files::read_to_string(&file)
            .map_err(|reason| format!("expected a private key, but the file cannot be read: {reason}"))
            .and_then(|pem| PrivateKeyJwt::from_pem(&pem).map_err(|reason| reason.to_string()));
        match read {
            Ok(mut key) => {
                if let Some(kid) = self.private_key_id {
                    key = key.key_id(kid);
                }
                if let Some(audience) = self.assertion_audience {
                    key = key.audience(audience);
                }
                Some(key)
            }
            Err(reason) => {
                report.fault(&path, format!("`{}`: {reason}", file.display()));
                None
            }
        }
    }
}

//! `[server.tls]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[server.tls]`: https instead of http, TLS 1.2 and 1.3.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["certificates"]))]
pub(crate) struct TlsTable {
    /// Certificates, chosen by the name that the client asks for; the first is for all other names. At least one.
    pub(crate) certificates: Vec<CertificateTable>,
    /// Certificate authorities (PEM) whose clients may authenticate by a certificate, relative to the configuration;
    /// watched. Default: clients are not asked for one.
    pub(crate) client_ca_file: Option<String>,
    /// Whether clients may (`optional`) or must (`required`) have a certificate of `client_ca_file`. Default:
    /// `optional`.
    pub(crate) client_certificates: ClientCertificates,
}

/// One certificate and its key.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["certificate_file", "key_file"]))]
pub(crate) struct CertificateTable {
    /// The certificate and those between it and the authority (PEM), relative to the configuration; watched. Required.
    pub(crate) certificate_file: Option<String>,
    /// Its private key (PEM), relative to the configuration; watched. Required.
    pub(crate) key_file: Option<String>,
}

/// Whether a client that has no certificate is let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClientCertificates {
    #[default]
    Optional,
    Required,
}

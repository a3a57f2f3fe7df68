//! [`StaticHeader`]: the same secret for every request.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::follow::{Following, follow};
use crate::config::{HeaderConfig, one_line};

/// A header with a secret. Where the secret comes from a file, the file is followed.
#[derive(Debug)]
pub(super) struct StaticHeader {
    name: HeaderName,
    prefix: String,
    value: ArcSwap<HeaderValue>,
    following: OnceLock<Following>,
}

impl StaticHeader {
    pub(super) fn new(config: &HeaderConfig) -> Arc<Self> {
        let header = Arc::new(Self {
            name: config.name.clone(),
            prefix: config.prefix.clone(),
            value: ArcSwap::from_pointee(config.value.clone()),
            following: OnceLock::new(),
        });
        if let Some(file) = &config.file {
            let known = Zeroizing::new(file.text.expose().to_owned());
            let _only_once = header.following.set(follow(&header, file.path.clone(), known, Self::take));
        }
        header
    }

    fn take(&self, text: &str) -> Result<(), String> {
        self.value.store(Arc::new(value(&self.prefix, one_line(text)?)?));
        Ok(())
    }

    /// Puts the header where no other spelling of it stands: servers that hand headers to programs as variables take
    /// `X_Api_Key` for `X-Api-Key`.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        let is_other = |name: &HeaderName| *name != self.name && reads_as(name, &self.name);
        if headers.keys().any(is_other) {
            let others: Vec<HeaderName> = headers.keys().filter(|name| is_other(name)).cloned().collect();
            for name in others {
                headers.remove(name);
            }
        }
        headers.insert(self.name.clone(), HeaderValue::clone(&self.value.load()));
    }
}

/// The value of a header with a secret.
///
/// # Errors
///
/// It has characters that no header can carry.
pub(crate) fn value(prefix: &str, secret: &str) -> Result<HeaderValue, String> {
    let text = Zeroizing::new(format!("{prefix}{secret}"));
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && *text == *text.trim_end();
    let value = HeaderValue::from_str(&text).ok().filter(|_| plain);
    let mut value =
        value.ok_or("expected a secret of visible ASCII characters, but found others in it".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a server may take the one for the other: some see no difference between characters that are no letter or digit.
fn reads_as(one: &HeaderName, other: &HeaderName) -> bool {
    let fold = |byte: u8| if byte.is_ascii_alphanumeric() { byte } else { b'-' };
    let (one, other) = (one.as_str().as_bytes(), other.as_str().as_bytes());
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| fold(*one) == fold(*other))
}

//! `application/x-www-form-urlencoded` parameters, read strictly.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Longest query or form that is read at all.
pub(crate) const MAX_BYTES: usize = 8 * 1024;
/// No endpoint knows more than about twenty parameters.
pub(crate) const MAX_PARAMS: usize = 64;

/// The parameters of one request, in order. An empty value is treated as absent (OAuth 2.1 §3.1).
pub(crate) struct Params(Vec<(String, String)>);

/// Text that is no form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAForm {
    #[error("the parameters are too long")]
    TooLong,
    #[error("there are too many parameters")]
    TooMany,
    #[error("the parameters are not valid UTF-8")]
    NotUtf8,
    #[error("the parameters contain a NUL character")]
    Nul,
}

/// A parameter that may be given once was given more than once (OAuth 2.1 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeated;

impl Params {
    pub(crate) fn parse(text: &str) -> Result<Self, NotAForm> {
        Self::parse_up_to(text, MAX_BYTES, MAX_PARAMS)
    }

    /// As [`Params::parse`], with other limits.
    pub(crate) fn parse_up_to(text: &str, max_bytes: usize, max_params: usize) -> Result<Self, NotAForm> {
        if text.len() > max_bytes {
            return Err(NotAForm::TooLong);
        }
        let mut params = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            if params.len() >= max_params {
                return Err(NotAForm::TooMany);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if name.contains('\0') || value.contains('\0') {
                return Err(NotAForm::Nul);
            }
            params.push((name, value));
        }
        Ok(Self(params))
    }

    /// The value of a parameter that may be given once.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Repeated> {
        let mut values = self.0.iter().filter(|(own, _)| own == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(Repeated);
        }
        Ok(first.filter(|value| !value.is_empty()))
    }

    /// Every value of a parameter that may be repeated.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(own, value)| own == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// What follows `prefix` in the names of the parameters that begin with it and have a value.
    pub(crate) fn names_after(&self, prefix: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .filter_map(move |(name, _)| name.strip_prefix(prefix))
    }

    /// The same parameters without what authenticates a client, for keeping them.
    pub(crate) fn without_credentials(&self) -> Self {
        let is_credential =
            |name: &str| matches!(name, "client_secret" | "client_assertion" | "client_assertion_type");
        Self(self.0.iter().filter(|(name, _)| !is_credential(name)).cloned().collect())
    }

    /// The same parameters and one more.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As a form.
    pub(crate) fn encoded(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }
}

fn decode(text: &str) -> Result<String, NotAForm> {
    let spaced: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned).map_err(|_| NotAForm::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_forms_are_refused() {
        for (text, wanted) in [
            ("a=%ff".to_owned(), NotAForm::NotUtf8),
            ("%ff=a".to_owned(), NotAForm::NotUtf8),
            ("a=%00".to_owned(), NotAForm::Nul),
            ("a=b&".repeat(MAX_PARAMS + 1), NotAForm::TooMany),
            ("a".repeat(MAX_BYTES + 1), NotAForm::TooLong),
        ] {
            assert_eq!(Params::parse(&text).err(), Some(wanted));
        }
    }

    proptest::proptest! {
        /// Whatever is encoded comes back, and nothing else makes it panic.
        #[test]
        fn encoded_parameters_come_back(pairs in proptest::collection::vec(("[^\0]{1,8}", "[^\0]{1,20}"), 0..20)) {
            let text = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            proptest::prop_assert_eq!(Params::parse(&text).unwrap().0, pairs);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = Params::parse(&text);
        }
    }

    #[test]
    fn repetition_is_seen_even_when_one_value_is_empty() {
        let params = Params::parse("a=1&a=&b=&c=x+y%2B").unwrap();
        assert_eq!(params.one("a"), Err(Repeated));
        assert_eq!(params.one("b"), Ok(None));
        assert_eq!(params.one("c"), Ok(Some("x y+")));
        assert_eq!(params.one("d"), Ok(None));
    }
}

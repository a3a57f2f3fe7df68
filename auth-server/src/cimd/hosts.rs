//! Whose metadata documents count: the operator's word, before anything is looked up or fetched.

use url::Url;

/// Which hosts may describe clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostPolicy {
    allow: Vec<HostPattern>,
    deny: Vec<HostPattern>,
}

/// A host, or all hosts below one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostPattern {
    Exact(String),
    /// With the dot in front.
    Below(String),
}

impl HostPolicy {
    /// An empty `allow` allows every host; `deny` comes first.
    pub(crate) const fn new(allow: Vec<HostPattern>, deny: Vec<HostPattern>) -> Self {
        Self { allow, deny }
    }

    pub(crate) fn admits(&self, host: &str) -> bool {
        let among = |patterns: &[HostPattern]| patterns.iter().any(|pattern| pattern.matches(host));
        !among(&self.deny) && (self.allow.is_empty() || among(&self.allow))
    }
}

impl HostPattern {
    /// Reads `app.example.com`, or `*.example.com` for everything below.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        // the one spelling that a URL parser gives a host; anything else would match nothing, silently
        let url = Url::parse(&format!("https://{name}/")).ok()?;
        let canonical = url.host_str() == Some(name) && url.as_str() == format!("https://{name}/");
        if !canonical || name.ends_with('.') || name.contains('*') {
            return None;
        }
        let is_name = url.domain().is_some();
        match text.starts_with("*.") {
            true if is_name => Some(Self::Below(format!(".{name}"))),
            true => None,
            false => Some(Self::Exact(name.to_owned())),
        }
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => host == name,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &[&str], deny: &[&str]) -> HostPolicy {
        let parse = |texts: &[&str]| texts.iter().map(|text| HostPattern::parse(text).unwrap()).collect();
        HostPolicy::new(parse(allow), parse(deny))
    }

    #[test]
    fn hosts_are_allowed_by_name_or_by_what_they_are_below() {
        for (allow, deny, host, admitted) in [
            (&[][..], &[][..], "a.test", true),
            (&["a.test"], &[], "a.test", true),
            (&["a.test"], &[], "b.test", false),
            (&["a.test"], &[], "x.a.test", false),
            (&["*.a.test"], &[], "x.a.test", true),
            (&["*.a.test"], &[], "x.y.a.test", true),
            (&["*.a.test"], &[], "a.test", false),
            (&["*.a.test"], &[], "evila.test", false),
            (&["*.a.test"], &[], ".a.test", false),
            (&["*.a.test"], &[], "x.a.test.evil", false),
            (&[], &["a.test"], "a.test", false),
            (&[], &["a.test"], "b.test", true),
            (&["*.a.test"], &["x.a.test"], "x.a.test", false),
            (&["*.a.test"], &["x.a.test"], "y.a.test", true),
            (&["x.a.test"], &["*.a.test"], "x.a.test", false),
            (&["8.8.8.8"], &[], "8.8.8.8", true),
        ] {
            assert_eq!(policy(allow, deny).admits(host), admitted, "{allow:?} {deny:?} {host}");
        }
    }

    #[test]
    fn patterns_have_one_spelling() {
        for text in [
            "",
            "*",
            "*.",
            "*.*.a.test",
            "a.*.test",
            "*a.test",
            "A.test",
            "b\u{fc}cher.test",
            "a.test.",
            "a.test:443",
            "a.test/x",
            "https://a.test",
            "user@a.test",
            "0x7f.1",
            "*.8.8.8.8",
        ] {
            assert_eq!(HostPattern::parse(text), None, "{text}");
        }
        assert!(HostPattern::parse("xn--bcher-kva.test").is_some());
    }
}

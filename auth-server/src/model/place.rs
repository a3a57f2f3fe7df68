//! Pages of this server that need somebody who is signed in, and that signing in may lead to.

/// One of them. What is not here, signing in does not lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Account,
    Password,
    /// Where the code of a device is typed.
    Device,
}

impl Place {
    const ALL: [Self; 3] = [Self::Account, Self::Password, Self::Device];

    /// Reads a path as [`Place::path`] writes it. There is nothing to parse, and so nothing to be led astray by.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|place| place.path() == text)
    }

    /// Below the issuer.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Account => "/account",
            Self::Password => "/account/password",
            Self::Device => "/device",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_pages_are_places() {
        for text in [
            "",
            "/",
            "//evil",
            "/\\evil",
            "https:evil",
            "https://evil.test/account",
            "%2f%2fevil",
            "javascript:alert(1)",
            "/ok?x=https://evil",
            "/account/",
            "/account?x=1",
            "/account#x",
            "/ACCOUNT",
            " /account",
            "/account\r\nX:y",
            "/login",
            "//account",
        ] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
        for place in Place::ALL {
            assert_eq!(Place::parse(place.path()), Some(place));
        }
    }
}

//! How a browser came to the authorization endpoint, as it tells by itself (W3C Fetch Metadata Request Headers).

use serde::{Deserialize, Serialize};

/// Whether the user went there, or was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Arrival {
    /// A page of this server, or nobody but the user: an address typed, or opened by an app on the device.
    Direct,
    /// Another site, a frame or a script had a part in it; or the browser does not say.
    #[default]
    Sent,
}

impl Arrival {
    /// Reads `Sec-Fetch-Site`, `Sec-Fetch-Mode` and `Sec-Fetch-Dest`. No page can set these, but redirects count: a chain
    /// that another site had a link of is `cross-site` to its end.
    pub(crate) fn read(site: Option<&str>, mode: Option<&str>, destination: Option<&str>) -> Self {
        match (site, mode, destination) {
            // a neighbour under the same domain is somebody else
            (Some("none" | "same-origin"), None | Some("navigate"), None | Some("document")) => Self::Direct,
            _ => Self::Sent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_navigation_that_nobody_else_had_a_part_in_is_direct() {
        for (site, mode, destination) in [
            (None, None, None),
            (None, Some("navigate"), Some("document")),
            (Some("cross-site"), None, None),
            (Some("cross-site"), Some("navigate"), Some("document")),
            (Some("same-site"), Some("navigate"), Some("document")),
            (Some(""), None, None),
            (Some("None"), None, None),
            (Some("none, none"), None, None),
            (Some("future"), None, None),
            (Some("none"), Some("no-cors"), None),
            (Some("none"), Some("cors"), Some("empty")),
            (Some("same-origin"), Some("navigate"), Some("iframe")),
            (Some("same-origin"), Some("navigate"), Some("embed")),
            (Some("same-origin"), Some("websocket"), None),
        ] {
            assert_eq!(
                Arrival::read(site, mode, destination),
                Arrival::Sent,
                "{site:?} {mode:?} {destination:?}"
            );
        }
        for (site, mode, destination) in [
            (Some("none"), Some("navigate"), Some("document")),
            (Some("same-origin"), Some("navigate"), Some("document")),
            (Some("none"), None, None),
        ] {
            assert_eq!(Arrival::read(site, mode, destination), Arrival::Direct);
        }
    }
}

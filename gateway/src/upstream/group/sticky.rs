//! Sessions that live in the memory of one of several servers, without anything shared between gateways.
//!
//! The id that a server gives a session goes to the layer with a tag of the server's address in front, and the layer seals
//! both for the client. What comes back is opened by the layer, so that nobody has forged the tag; it says where to send
//! the request, and is taken away. The tag is a hash of the address: every gateway with the same configuration knows it,
//! in whatever order the addresses are written.

use std::fmt;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

/// `Mcp-Session-Id`, of the revisions up to 2025-11-25.
const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// How many bytes of the hash are kept: two of 64 addresses are alike in one of 10¹¹ configurations.
const HASHED_BYTES: usize = 6;
/// Those bytes in base64, and a dot.
const TAG_LENGTH: usize = 9;

/// What a session id says about where it is from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag([u8; TAG_LENGTH]);

impl Tag {
    pub(super) fn of(address: &Uri) -> Self {
        let text = format!("mcp-auth-gateway upstream address 1\0{address}");
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        let hashed = digest.as_ref().first_chunk::<HASHED_BYTES>().copied().unwrap_or_default();
        let mut tag = [b'.'; TAG_LENGTH];
        // 6 bytes are 8 characters, and the array has room for one more
        let _eight = URL_SAFE_NO_PAD.encode_slice(hashed, &mut tag);
        Self(tag)
    }

    /// Whether an id is marked with it.
    pub(super) fn is_on(self, headers: &HeaderMap) -> bool {
        headers.get(SESSION_ID).is_some_and(|id| id.as_bytes().starts_with(&self.0))
    }

    /// Puts the tag in front of the ids that a server gives.
    pub(super) fn mark(self, headers: &mut HeaderMap) {
        let http::header::Entry::Occupied(mut ids) = headers.entry(SESSION_ID) else { return };
        for id in ids.iter_mut() {
            // characters of base64 and a dot before what is a legal value are a legal value
            if let Ok(marked) = HeaderValue::from_bytes(&[&self.0, id.as_bytes()].concat()) {
                *id = marked;
            }
        }
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({})", String::from_utf8_lossy(&self.0))
    }
}

/// Where a request has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    /// Wherever there is room.
    Nowhere,
    /// To the address of this index: its session lives there.
    To(usize),
    /// To an address that there is no more.
    Gone,
}

/// Reads where a request has to go, and leaves it the id that its server knows.
pub(super) fn take(headers: &mut HeaderMap, tags: impl IntoIterator<Item = Tag>) -> Bound {
    let Some(id) = headers.get_mut(SESSION_ID) else {
        return Bound::Nowhere;
    };
    let Some((tag, rest)) = id.as_bytes().split_first_chunk().filter(|(_, rest)| !rest.is_empty()) else {
        return Bound::Gone;
    };
    let Some(index) = tags.into_iter().position(|known| known.0 == *tag) else {
        return Bound::Gone;
    };
    match HeaderValue::from_bytes(rest) {
        Ok(own) => {
            *id = own;
            Bound::To(index)
        }
        Err(_) => Bound::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(addresses: &[&'static str]) -> Vec<Tag> {
        addresses.iter().map(|address| Tag::of(&Uri::from_static(address))).collect()
    }

    const ADDRESSES: [&str; 3] = ["http://a:1/mcp", "http://b:1/mcp", "http://b:2/mcp"];

    fn marked(tag: Tag, id: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(SESSION_ID, HeaderValue::from_str(id).unwrap());
        tag.mark(&mut headers);
        headers
    }

    #[test]
    fn an_id_finds_its_way_back_in_whatever_order_the_addresses_are() {
        let mut reversed = ADDRESSES;
        reversed.reverse();
        for (index, tag) in tags(&ADDRESSES).into_iter().enumerate() {
            let mut headers = marked(tag, "s-1");
            assert_eq!(headers[SESSION_ID].len(), TAG_LENGTH + 3);
            assert!(headers[SESSION_ID].as_bytes().iter().all(u8::is_ascii_graphic));
            let mut elsewhere = headers.clone();
            assert_eq!(take(&mut headers, tags(&ADDRESSES)), Bound::To(index));
            assert_eq!(take(&mut elsewhere, tags(&reversed)), Bound::To(2 - index));
            assert_eq!(headers[SESSION_ID], "s-1");
            assert_eq!(elsewhere[SESSION_ID], "s-1");
        }
    }

    #[test]
    fn an_id_of_an_address_that_is_gone_leads_nowhere() {
        let gone = marked(Tag::of(&Uri::from_static("http://c:1/mcp")), "s-1");
        let mut empty = HeaderMap::new();
        empty.insert(SESSION_ID, HeaderValue::from_bytes(&tags(&ADDRESSES)[0].0).unwrap());
        let mut untagged = HeaderMap::new();
        untagged.insert(SESSION_ID, HeaderValue::from_static("3f2c7e0a-5d4b-4a55-9e0f-0c8b1f1d6a77"));
        let mut short = HeaderMap::new();
        short.insert(SESSION_ID, HeaderValue::from_static("s"));
        for mut headers in [gone, empty, untagged, short] {
            let before = headers.clone();
            assert_eq!(take(&mut headers, tags(&ADDRESSES)), Bound::Gone, "{before:?}");
        }
    }

    #[test]
    fn a_request_without_a_session_goes_anywhere_and_an_answer_without_one_is_left_alone() {
        let mut headers = HeaderMap::new();
        assert_eq!(take(&mut headers, tags(&ADDRESSES)), Bound::Nowhere);
        tags(&ADDRESSES)[0].mark(&mut headers);
        assert!(headers.is_empty());
    }

    /// The layer refuses an answer with several, and must see them.
    #[test]
    fn several_ids_stay_several() {
        let mut headers = HeaderMap::new();
        headers.append(SESSION_ID, HeaderValue::from_static("a"));
        headers.append(SESSION_ID, HeaderValue::from_static("b"));
        tags(&ADDRESSES)[0].mark(&mut headers);
        let lengths: Vec<_> = headers.get_all(SESSION_ID).iter().map(HeaderValue::len).collect();
        assert_eq!(lengths, [10, 10]);
    }
}

//! The one bounded read of a request's body, and the headers that say whether it may be read as JSON at all.

use std::error::Error as StdError;
use std::io;
use std::pin::pin;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::malformed::Malformed;
use crate::coding::{self, Coding, DecodeError};

/// Reads the whole body, or refuses it: never a part of it.
///
/// - longer than `max_body_bytes`: 413
/// - it does not come in time, which the body says by an [`io::Error`] of that kind among the causes of its own: 408
/// - the connection breaks off: 400
pub(crate) async fn read<B>(body: B, max_body_bytes: usize) -> Result<Bytes, Malformed>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_large = || too_large(max_body_bytes);
    if body.size_hint().lower() > u64::try_from(max_body_bytes).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let mut body = pin!(Limited::new(body, max_body_bytes));
    // Most bodies come in one piece, which goes on as it is.
    let mut first = Bytes::new();
    let mut more = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<LengthLimitError>() {
                too_large()
            } else if is_too_late(&*error) {
                let code = i64::from(StatusCode::REQUEST_TIMEOUT.as_u16());
                Malformed::new(StatusCode::REQUEST_TIMEOUT, code, "the body took too long to come".to_owned())
            } else {
                Malformed::bad_request(Malformed::PARSE_ERROR, "the body broke off")
            }
        })?;
        // Trailers are dropped: no part of MCP is in them, and a policy that did not read them must not pass them.
        match frame.into_data() {
            Ok(data) if first.is_empty() => first = data,
            Ok(data) => more.push(data),
            Err(_) => {}
        }
    }
    if more.is_empty() {
        return Ok(first);
    }
    more.insert(0, first);
    Ok(more.concat().into())
}

fn is_too_late(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        next = error.source();
    }
    false
}

fn too_large(max_body_bytes: usize) -> Malformed {
    Malformed::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        i64::from(StatusCode::PAYLOAD_TOO_LARGE.as_u16()),
        format!("expected a body of at most {max_body_bytes} bytes, but found a longer one"),
    )
}

/// The body in clear: what is judged is what is forwarded, and a server must not be left to decode it in its own way.
///
/// - longer than `max_body_bytes` when decoded: 413
/// - not of the coding that it declares, cut off, or with more behind it: 400
pub(crate) fn decode(coding: Coding, coded: &[u8], max_body_bytes: usize) -> Result<Bytes, Malformed> {
    coding::decode(coding, coded, max_body_bytes).map(Bytes::from).map_err(|error| match error {
        DecodeError::TooLong(_) => too_large(max_body_bytes),
        DecodeError::Broken => Malformed::bad_request(Malformed::PARSE_ERROR, error.to_string()),
    })
}

/// Refuses any body at all: 400.
pub(crate) async fn read_none<B>(body: B) -> Result<Bytes, Malformed>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    read(body, 0).await.map_err(|_| {
        Malformed::bad_request(Malformed::INVALID_REQUEST, "expected no body with this HTTP method")
    })
}

/// Refuses a body that is not declared as JSON: 415. What is not refused has the coding that this gives, or none.
///
/// One `Content-Type`, `application/json` in any case, with any parameters but a `charset` that is not UTF-8; at most one
/// content coding, and one that can be undone, because what cannot be read cannot be judged.
pub(crate) fn check_headers(headers: &HeaderMap) -> Result<Option<Coding>, Malformed> {
    let unsupported = |message: &str| {
        Err(Malformed::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            i64::from(StatusCode::UNSUPPORTED_MEDIA_TYPE.as_u16()),
            message.to_owned(),
        ))
    };
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let Some(Ok(content_type)) = types.next().map(http::HeaderValue::to_str) else {
        return unsupported("expected a Content-Type of application/json");
    };
    if types.next().is_some() {
        return unsupported("expected one Content-Type, but found several");
    }
    let mut parts = content_type.split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return unsupported("expected a Content-Type of application/json");
    }
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset")
            && !value.eq_ignore_ascii_case("utf-8")
            && !value.eq_ignore_ascii_case("utf8")
        {
            return unsupported("expected a body in UTF-8, but the Content-Type names another charset");
        }
    }
    Coding::of(headers).or_else(|_| {
        unsupported(match coding::ACCEPTED {
            "identity" => "expected a body without content coding",
            _ => "expected a body without content coding, or with one of gzip, deflate and br",
        })
    })
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_ENCODING;
    use http_body_util::Full;

    use super::*;

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_plain_json_is_read() {
        for pairs in [
            &[][..],
            &[(CONTENT_TYPE, "text/plain")],
            &[(CONTENT_TYPE, "application/json-rpc")],
            &[(CONTENT_TYPE, "application/jsonx")],
            &[(CONTENT_TYPE, "application/json, text/plain")],
            &[(CONTENT_TYPE, "application/json"), (CONTENT_TYPE, "application/json")],
            &[(CONTENT_TYPE, "application/json; charset=utf-16")],
            &[(CONTENT_TYPE, "application/json; a=b; Charset=\"latin1\"")],
            &[(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, "zstd")],
            &[(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, "gzip, gzip")],
            &[(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, "identity, gzip")],
        ] {
            let refused = check_headers(&headers(pairs)).expect_err(&format!("{pairs:?}"));
            assert_eq!(refused.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{pairs:?}");
        }
        for pairs in [
            &[(CONTENT_TYPE, "application/json")][..],
            &[(CONTENT_TYPE, "Application/JSON ; charset=\"UTF-8\"; x=y")],
            &[(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, "Identity")],
        ] {
            assert_eq!(check_headers(&headers(pairs)), Ok(None), "{pairs:?}");
        }
    }

    #[tokio::test]
    async fn a_body_above_the_limit_is_refused_whole() {
        assert_eq!(read(Full::new(Bytes::from_static(b"1234")), 4).await.unwrap(), "1234");
        let declared = read(Full::new(Bytes::from_static(b"12345")), 4).await.unwrap_err();
        assert_eq!(declared.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let chunks = futures_chunks(["123", "45"]);
        assert_eq!(read(chunks, 4).await.unwrap_err().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_in_time_is_not_one_that_broke_off() {
        #[derive(Debug, thiserror::Error)]
        #[error("late")]
        struct Late(#[source] std::io::Error);
        for (kind, expected) in [
            (std::io::ErrorKind::TimedOut, StatusCode::REQUEST_TIMEOUT),
            (std::io::ErrorKind::ConnectionReset, StatusCode::BAD_REQUEST),
        ] {
            let failing = futures_util::stream::iter([Err::<http_body::Frame<Bytes>, _>(Late(kind.into()))]);
            let body = http_body_util::StreamBody::new(failing);
            assert_eq!(read(body, 4).await.unwrap_err().status(), expected);
        }
    }

    /// A body that does not say its length.
    fn futures_chunks<const N: usize>(
        chunks: [&'static str; N],
    ) -> impl Body<Data = Bytes, Error = std::convert::Infallible> + use<N> {
        let mut chunks = chunks.into_iter();
        http_body_util::StreamBody::new(futures_util::stream::iter(std::iter::from_fn(move || {
            chunks.next().map(|chunk| Ok(http_body::Frame::data(Bytes::from_static(chunk.as_bytes()))))
        })))
    }
}

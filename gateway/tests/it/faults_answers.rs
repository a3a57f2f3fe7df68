//! What a server answers is broken, in each of the ways that answers break: what the client sees, that the request is sent
//! once, and that beside it nobody gets through who may not.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::faults_upstreams::intrude;
use crate::harness::{Gateway, POLICY, body};
use crate::stub::{OK, Peer, Stub};

const HUGE: usize = 100 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The server ends with the request in its hands.
    Killed,
    Hangs,
    ByteByByte,
    /// An event stream that ends without its end.
    CutAmongEvents,
    /// A body that ends before its length.
    CutInBody,
    Garbage,
    /// An answer of 100 MB.
    Huge,
}

impl Fault {
    async fn answer(self, peer: &mut Peer) {
        match self {
            Self::Killed => {}
            Self::Hangs => peer.gone().await,
            Self::ByteByByte => {
                for byte in OK.bytes() {
                    peer.say([byte]).await;
                    tokio::task::yield_now().await;
                }
            }
            Self::CutAmongEvents => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                peer.say(format!("{head}9\r\ndata: 1\n\n\r\n7\r\ndata: ")).await;
            }
            Self::CutInBody => {
                peer.say("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{\"")
                    .await;
            }
            Self::Garbage => peer.say([0x16, 0x03, 0x01, 0xff, b'\r', b'\n', b'\r', b'\n', 0]).await,
            Self::Huge => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
                peer.say(format!("{head} {HUGE}\r\n\r\n")).await;
                let piece = vec![b' '; 1024 * 1024];
                for _ in 0..HUGE / piece.len() {
                    peer.say(&piece).await;
                }
            }
        }
    }

    /// What the client of a permitted call sees.
    async fn is_seen(self, response: reqwest::Result<reqwest::Response>) {
        // what breaks off at once may do so before its head has left
        let breaks = matches!(self, Self::CutAmongEvents | Self::CutInBody);
        let mut response = match response {
            Err(_) if breaks => return,
            response => response.unwrap_or_else(|reason| panic!("{self:?}: {reason}")),
        };
        let status = response.status().as_u16();
        let mut length = 0;
        match self {
            Self::Killed | Self::Garbage | Self::Hangs => {
                let wanted = if self == Self::Hangs { 504 } else { 502 };
                let answer = body(response).await;
                assert_eq!((status, &answer["error"]["code"]), (wanted, &json!(wanted)), "{self:?}");
                assert_eq!(answer["id"], 1, "{self:?}");
            }
            Self::ByteByByte => assert_eq!((status, response.text().await.unwrap().as_str()), (200, "{}")),
            // a clean end would tell it that it has everything
            Self::CutAmongEvents | Self::CutInBody => {
                assert_eq!(status, 200);
                let broken = loop {
                    match response.chunk().await {
                        Ok(Some(_)) => {}
                        Ok(None) => break false,
                        Err(_) => break true,
                    }
                };
                assert!(broken, "{self:?}");
            }
            Self::Huge => {
                assert_eq!(status, 200);
                while let Some(chunk) = response.chunk().await.unwrap() {
                    length += chunk.len();
                }
                assert_eq!(length, HUGE);
            }
        }
    }
}

#[tokio::test]
async fn whatever_a_server_answers_nobody_gets_through_who_may_not() {
    for fault in [
        Fault::Killed,
        Fault::Hangs,
        Fault::ByteByByte,
        Fault::CutAmongEvents,
        Fault::CutInBody,
        Fault::Garbage,
        Fault::Huge,
    ] {
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let notes = Arc::clone(&heard);
        let stub = Stub::start(move |_, mut peer| {
            let notes = Arc::clone(&notes);
            async move {
                if let Some(request) = peer.request().await {
                    notes.lock().unwrap().push(request);
                    fault.answer(&mut peer).await;
                }
            }
        })
        .await;
        let gateway = Gateway::with(&stub.url(), POLICY, "", "response_timeout_seconds = 1").await;
        let calls = if fault == Fault::Huge { 1 } else { 3 };
        for _ in 0..calls {
            let (response, ()) = tokio::join!(gateway.call("open").send(), intrude(&gateway));
            let ((), ()) = tokio::join!(fault.is_seen(response), intrude(&gateway));
        }
        let heard = heard.lock().unwrap();
        assert_eq!(heard.len(), calls, "{fault:?}: {heard:#?}");
        for request in heard.iter() {
            let (top, body) = request.split_once("\r\n\r\n").unwrap();
            let body: Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["params"]["name"], "open", "{fault:?}");
            assert!(!top.to_ascii_lowercase().contains("\nauthorization:"), "{fault:?}: {top}");
        }
    }
}

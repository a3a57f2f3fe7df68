use std::sync::Mutex;

use super::*;

#[test]
fn only_words_of_the_legacy_era_prove_it() {
    let legacy = Some(UpstreamEra::Legacy);
    let dual = Some(UpstreamEra::Dual);
    let error =
        |code: i64| format!(r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":{code},"message":"no"}}}}"#);
    let result = |versions: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":"gateway","result":{{"supportedVersions":{versions}}}}}"#)
    };
    let event = |message: &str| format!("event: message\ndata: {message}\n\n");
    let cases = [
        // the TypeScript SDK, the Python SDK, servers without sessions
        (400, error(-32000), legacy),
        (400, error(-32600), legacy),
        (404, error(-32001), legacy),
        (422, error(-32000), legacy),
        (200, error(-32601), legacy),
        (200, error(-32602), legacy),
        (200, event(&error(-32601)), legacy),
        // modern ones
        (200, result(r#"["2026-07-28"]"#), dual),
        (200, result(r#"["2025-11-25","2026-07-28"]"#), dual),
        (200, event(&result(r#"["2026-07-28"]"#)), dual),
        (200, result(r#"["2027-01-01"]"#), dual),
        (400, error(-32020), dual),
        (400, error(-32021), dual),
        (400, error(-32022), dual),
        (200, error(-32022), dual),
        // modern ones that answer oddly, and whatever else there is
        (404, error(-32601), None),
        (400, error(-32602), None),
        (400, error(-32603), None),
        (200, error(-32603), None),
        (200, result(r#"["2025-11-25"]"#), None),
        (200, result("[]"), None),
        (200, result("7"), None),
        (200, r#"{"result":{"supportedVersions":["2026-07-28"]}}"#.to_owned(), None),
        (200, "<html>welcome</html>".to_owned(), None),
        (200, String::new(), None),
        (202, String::new(), None),
        (301, String::new(), None),
        (400, "Bad Request".to_owned(), None),
        (401, error(-32000), None),
        (403, error(-32000), None),
        (404, "404 page not found".to_owned(), None),
        (405, "no".to_owned(), None),
        (429, error(-32000), None),
        (500, error(-32000), None),
        (502, "bad gateway".to_owned(), None),
        (503, error(-32601), None),
    ];
    for (status, body, expected) in cases {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(conclude(status, body.as_bytes()), expected, "{status} {body}");
    }
    assert_eq!(conclude(StatusCode::BAD_REQUEST, &[0xff]), None);
}

#[test]
fn the_question_is_a_sound_modern_request_without_credentials() {
    let request = question();
    assert_eq!(request.method(), "POST");
    let names: Vec<_> = request.headers().keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["content-type", "accept", "mcp-protocol-version", "mcp-method"]);
}

fn modern() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(MCP_PROTOCOL_VERSION, HeaderValue::from_static("2026-07-28"));
    headers
}

#[tokio::test(start_paused = true)]
async fn what_all_have_proven_counts_until_one_fails_or_is_doubted() {
    let eras = Eras::new(2);
    let asked = Mutex::new(Vec::new());
    let answers = Mutex::new([Some(UpstreamEra::Legacy), None]);
    let began = Instant::now();
    let ask = |address: usize| {
        asked.lock().unwrap().push((address, began.elapsed().as_secs()));
        let answer = answers.lock().unwrap()[address];
        async move { answer }
    };
    let seconds = |asked: &Mutex<Vec<(usize, u64)>>| -> Vec<u64> {
        asked.lock().unwrap().drain(..).filter(|(address, _)| *address == 0).map(|(_, at)| at).collect()
    };
    let script = async {
        tokio::time::sleep(Duration::from_millis(200_500)).await;
        assert_eq!(eras.handle().get(), UpstreamEra::Dual, "one is not known");
        assert!(!eras.may_doubt(&modern()));
        assert_eq!(seconds(&asked), [0, 1, 3, 7, 15, 31, 63, 123, 183], "ever more rarely");
        answers.lock().unwrap()[1] = Some(UpstreamEra::Legacy);
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(eras.handle().get(), UpstreamEra::Legacy);
        assert_eq!(seconds(&asked), [243]);

        // a failure: at once
        answers.lock().unwrap()[0] = None;
        eras.forget(0);
        assert_eq!(eras.handle().get(), UpstreamEra::Dual);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(seconds(&asked), [260]);
        answers.lock().unwrap()[0] = Some(UpstreamEra::Legacy);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(seconds(&asked), [261]);

        // a doubt: not at once, and only once
        assert!(eras.may_doubt(&modern()) && !eras.may_doubt(&HeaderMap::new()));
        answers.lock().unwrap()[0] = Some(UpstreamEra::Dual);
        for _ in 0..1000 {
            eras.doubt();
        }
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(seconds(&asked), [271]);
        assert_eq!(eras.handle().get(), UpstreamEra::Dual);

        // and else now and then
        tokio::time::sleep(Duration::from_secs(601)).await;
        assert_eq!(seconds(&asked), [571, 871]);
    };
    tokio::select! {
        () = eras.follow(ask) => {}
        () = script => {}
    }
}

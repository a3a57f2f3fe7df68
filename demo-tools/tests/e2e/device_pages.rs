//! The pages on which a person lets in a device, in a real browser.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::auth_server::{AuthServer, RESOURCE};
use crate::harness::chromium::Chromium;
use crate::harness::http;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const ALLOW: &str = "[name=decision][value=allow]";
const CODE: &str = "input[name=user_code]:not([type=hidden])";

struct Device {
    server: AuthServer,
    chromium: Chromium,
    asked: Value,
}

impl Device {
    /// A television that asks, and a person with a browser.
    async fn new() -> Self {
        let television = format!(
            "[[clients.registered]]\nid = \"television\"\nname = \"Television\"\n\
             grant_types = [\"{GRANT}\", \"refresh_token\"]\n"
        );
        let server = AuthServer::start(&television).await;
        let fields =
            [("client_id", "television"), ("scope", "notes:read notes:write"), ("resource", RESOURCE)];
        let url = format!("{}/oauth2/device", server.issuer);
        let asked = http().post(url).form(&fields).send().await.unwrap().json().await.unwrap();
        Self { server, chromium: Chromium::start().await, asked }
    }

    fn said(&self, name: &str) -> &str {
        self.asked[name].as_str().unwrap_or_else(|| panic!("no {name}: {}", self.asked))
    }

    async fn poll(&self) -> (StatusCode, Value) {
        let fields =
            [("grant_type", GRANT), ("client_id", "television"), ("device_code", self.said("device_code"))];
        let url = format!("{}/oauth2/token", self.server.issuer);
        let response = http().post(url).form(&fields).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    async fn type_code(&self, code: &str) {
        let field = self.chromium.element(CODE).await;
        field.clear().await.unwrap();
        field.send_keys(code).await.unwrap();
        self.chromium.click("form .primary").await;
    }

    async fn assert_shown(&self, words: &[&str]) {
        let page = self.chromium.text().await;
        for words in words {
            assert!(page.contains(words), "`{words}` is missing: {page}");
        }
    }
}

#[tokio::test]
async fn a_person_types_the_code_of_a_device_and_lets_it_in() {
    let device = Device::new().await;
    let chromium = &device.chromium;
    chromium.page.goto(device.said("verification_uri")).await.unwrap();
    chromium.element("input[name=password]").await;
    device.assert_shown(&["to connect a device"]).await;
    chromium.look("device-login").await;
    chromium.sign_in(&AuthServer::user("alex")).await;

    chromium.element(CODE).await;
    chromium.look("device-code").await;
    chromium.assert_quiet_console().await;
    device.type_code("BCDF-GHJK").await;
    chromium.element("[role=alert]").await;
    device.assert_shown(&["no device that waits with this code"]).await;
    chromium.look("device-wrong-code").await;
    chromium.assert_nothing_blocked().await;

    // as people type it
    device.type_code(&device.said("user_code").to_lowercase().replace('-', " ")).await;
    chromium.element("[name=with_me]").await;
    let code = device.said("user_code");
    device.assert_shown(&[code, "Television", "Notes", "Read your notes", "127.0.0.1", "alex"]).await;
    chromium.look("device").await;
    chromium.click(ALLOW).await;
    chromium.element("[role=alert]").await;
    device.assert_shown(&["Tick that you have the device with you", code]).await;
    chromium.look("device-not-ticked").await;
    chromium.assert_nothing_blocked().await;

    chromium.click("[name=with_me]").await;
    chromium.click(ALLOW).await;
    chromium.element("[role=status]").await;
    device.assert_shown(&["The device is connected"]).await;
    chromium.look("device-connected").await;
    chromium.assert_quiet_console().await;
    let (status, tokens) = device.poll().await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    assert_eq!(tokens["scope"], "notes:read notes:write");
}

/// By the link with the code in it, which a device shows as a picture to be photographed.
#[tokio::test]
async fn a_person_denies_a_device() {
    let device = Device::new().await;
    let chromium = &device.chromium;
    chromium.page.goto(device.said("verification_uri_complete")).await.unwrap();
    chromium.sign_in(&AuthServer::user("blake")).await;
    chromium.element("[name=with_me]").await;
    device.assert_shown(&[device.said("user_code"), "Television", "blake"]).await;
    chromium.click("[name=decision][value=deny]").await;
    chromium.element("[role=status]").await;
    device.assert_shown(&["The device was not let in"]).await;
    chromium.look("device-denied").await;
    chromium.assert_quiet_console().await;
    let (status, refused) = device.poll().await;
    assert_eq!((status, &refused["error"]), (StatusCode::BAD_REQUEST, &json!("access_denied")));
}

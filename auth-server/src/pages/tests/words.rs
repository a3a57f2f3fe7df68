//! The pages in their variants.

use insta::assert_snapshot;

use super::{
    super::{
        Frame,
        account::{AccountPage, ConnectedApp, GivenAccess, Notice, PasswordPage, ShownSession},
        consent::{ConsentPage, LeavePage, ShownResource, shown_groups},
        login::{LoginPage, SignInFor},
        parts::{Destination, Provenance, ShownClient},
    },
    read::read,
};
use crate::{
    model::{
        client::{Authentication, Client, Links, Origin, WebLink},
        consent,
        redirect::RedirectUri,
        scope::ScopeSet,
    },
    outside::Timestamp,
};

fn frame() -> Frame {
    Frame { style: "/assets/style.css".to_owned(), server: "as.test".to_owned() }
}

fn client(origin: Origin) -> Client {
    let link = |text| Some(WebLink::parse(text).unwrap());
    let links = match origin {
        Origin::Administrator => Links::default(),
        _ => Links {
            home: link("https://app.test/"),
            policy: link("https://app.test:8443/privacy"),
            terms: link("https://elsewhere.test/terms?a=1&b=2"),
        },
    };
    Client {
        id: "0123456789abcdefghij".to_owned(),
        name: "Claude".to_owned(),
        redirect_uris: Vec::new(),
        post_logout_redirect_uris: Vec::new(),
        authentication: Authentication::None,
        grant_types: crate::model::grant_type::interactive(),
        restrictions: crate::model::client::Restrictions::default(),
        service: crate::model::client::Service::default(),
        origin,
        links,
        registered_at: Timestamp::from_unix_seconds(1_800_000_000),
    }
}

fn document(host: &str) -> Client {
    client(Origin::Document { host: host.to_owned() })
}

fn consent_page(client: &Client, redirect_uri: &str, scopes: &str, earlier: Option<&str>) -> ConsentPage {
    let set = |text: &str| ScopeSet::parse(text).unwrap();
    let describe = |scope: &str| {
        let (words, includes) = match scope {
            "notes:read" => (Some("Read your notes"), vec![]),
            "notes:write" => (Some("Add notes for you"), vec!["Read your notes", "notes:count"]),
            _ => (None, vec![]),
        };
        consent::Described {
            words: words.map(str::to_owned),
            includes: includes.into_iter().map(str::to_owned).collect(),
        }
    };
    ConsentPage {
        frame: frame(),
        action: "/consent".to_owned(),
        transaction: "t".to_owned(),
        csrf: "c".to_owned(),
        client: ShownClient::new(client),
        destination: Destination::new(client, &RedirectUri::parse(redirect_uri).unwrap()),
        resources: vec![ShownResource {
            name: "Demo tools".to_owned(),
            url: "https://gw.test/mcp".to_owned(),
            learns: vec!["your e-mail address".to_owned(), "your plan".to_owned()],
        }],
        groups: shown_groups(consent::permissions(&set(scopes), earlier.map(set).as_ref(), describe)),
        stays_signed_in: Some("180 days".to_owned()),
        username: "alice".to_owned(),
        account: "https://as.test/account".to_owned(),
        problem: None,
    }
}

#[test]
fn consent_for_a_client_of_the_administrator() {
    let page = consent_page(&client(Origin::Administrator), "https://app.test/cb", "notes:read", None);
    assert_snapshot!(read(&page));
}

#[test]
fn consent_for_a_document() {
    let page = consent_page(
        &document("claude.ai"),
        "https://claude.ai/api/mcp/auth_callback",
        "notes:read notes:write",
        None,
    );
    assert_snapshot!(read(&page));
}

#[test]
fn consent_for_a_document_whose_answer_goes_elsewhere() {
    // I13: a homograph shows itself
    let page =
        consent_page(&document("xn--laude-3ve.ai"), "https://xn--pple-43d.test:8443/cb", "notes:read", None);
    assert_snapshot!(read(&page));
}

#[test]
fn consent_for_a_document_whose_answer_stays_on_this_computer() {
    let page = consent_page(&document("claude.ai"), "http://localhost:61234/callback", "notes:read", None);
    assert_snapshot!(read(&page));
}

#[test]
fn consent_for_a_client_that_registered_itself() {
    let page = consent_page(
        &client(Origin::Registration),
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "admin notes:read notes:write profile",
        Some("notes:read"),
    );
    assert_snapshot!(read(&page));
}

#[test]
fn consent_without_permissions() {
    let mut page = consent_page(&client(Origin::Administrator), "https://app.test/cb", "", None);
    page.stays_signed_in = None;
    assert_snapshot!(read(&page));
}

#[test]
fn consent_with_nothing_ticked() {
    let mut page = consent_page(&client(Origin::Administrator), "http://127.0.0.1/cb", "profile", None);
    page.problem = Some("Leave at least one permission ticked, or deny.");
    assert_snapshot!(read(&page));
}

#[test]
fn signing_in() {
    let page = |client: &Client, redirect_uri: &str, problem: Option<&str>| {
        read(&LoginPage {
            frame: frame(),
            action: "/login".to_owned(),
            field: ("transaction", "t".to_owned()),
            csrf: "c".to_owned(),
            purpose: SignInFor::App {
                client: ShownClient::new(client),
                destination: Destination::new(client, &RedirectUri::parse(redirect_uri).unwrap()),
            },
            username: "alice".to_owned(),
            problem: problem.map(str::to_owned),
        })
    };
    let pages = [
        page(&client(Origin::Administrator), "https://app.test/cb", None),
        page(
            &document("claude.ai"),
            "http://localhost:5/cb",
            Some("That user name or password is not right."),
        ),
        page(&client(Origin::Registration), "cursor://x/cb", None),
    ];
    assert_snapshot!(pages.join("\n\n"));
}

#[test]
fn leaving_with_an_error() {
    let page = |redirect_uri: &str| {
        let uri = RedirectUri::parse(redirect_uri).unwrap();
        read(&LeavePage {
            frame: frame(),
            client: ShownClient::new(&client(Origin::Registration)),
            description: "scope is not offered for this resource",
            error: "invalid_scope",
            href: uri.with_parameters(&[("error", "invalid_scope")]),
            target: uri.target(),
        })
    };
    let pages = ["https://app.test/cb", "http://127.0.0.1:5/cb", "cursor://x/cb"].map(page);
    assert_snapshot!(pages.join("\n\n"));
}

#[test]
fn the_account() {
    let access = |id: &str, answered_to: Option<&str>| GivenAccess {
        id: id.to_owned(),
        resources: vec![ShownResource {
            name: "Demo tools".to_owned(),
            url: "https://gw.test/mcp".to_owned(),
            learns: vec!["your e-mail address".to_owned(), "your plan".to_owned()],
        }],
        permissions: vec!["Read your notes".to_owned(), "notes:write".to_owned()],
        given: "2027-01-15".to_owned(),
        until: "2027-07-14".to_owned(),
        last_used: Some("2027-02-01 09:30 UTC".to_owned()),
        last_address: Some("203.0.113.1".to_owned()),
        is_device: answered_to.is_none(),
        answered_to: answered_to.map(|uri| RedirectUri::parse(uri).unwrap().target()),
    };
    let app = |origin: Origin, accesses: Vec<GivenAccess>| ConnectedApp {
        client_id: "0123456789abcdefghij".to_owned(),
        name: "Claude".to_owned(),
        origin: Provenance::of(&origin, "0123456789abcdefghij", None),
        accesses,
    };
    let session = |name: &str, is_this| ShownSession {
        name: name.to_owned(),
        browser: "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0".to_owned(),
        address: "203.0.113.1".to_owned(),
        since: "2027-02-01 09:30 UTC".to_owned(),
        is_this,
    };
    let mut page = AccountPage {
        frame: frame(),
        action: "/account".to_owned(),
        password: "/account/password".to_owned(),
        csrf: "c".to_owned(),
        username: "alice".to_owned(),
        notice: Some(Notice::Removed),
        apps: vec![
            app(
                Origin::Document { host: "claude.ai".to_owned() },
                vec![
                    access("a", Some("https://claude.ai/cb")),
                    GivenAccess {
                        last_used: None,
                        last_address: None,
                        ..access("b", Some("http://localhost:5/cb"))
                    },
                ],
            ),
            app(Origin::Registration, vec![access("c", Some("cursor://x/cb"))]),
            app(Origin::Administrator, vec![GivenAccess { permissions: Vec::new(), ..access("d", None) }]),
        ],
        unused: 2,
        sessions: vec![session("s", true), session("t", false)],
    };
    let full = read(&page);
    page.notice = None;
    page.apps.clear();
    page.unused = 0;
    page.sessions.truncate(1);
    assert_snapshot!([full, read(&page)].join("\n\n"));
}

#[test]
fn a_new_password() {
    let page = PasswordPage {
        frame: frame(),
        action: "/account/password".to_owned(),
        account: "/account".to_owned(),
        csrf: "c".to_owned(),
        username: "alice".to_owned(),
        min_chars: 8,
        max_chars: 128,
        problem: Some("The current password is not right.".to_owned()),
    };
    assert_snapshot!(read(&page));
}

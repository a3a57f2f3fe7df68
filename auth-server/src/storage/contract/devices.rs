use super::*;
use crate::model::device::{Device, DeviceState};

on_both!(
    user_codes_are_taken_once,
    a_device_is_decided_once_and_redeemed_once,
    a_device_that_asks_too_often_waits_longer,
);

fn device(name: &str) -> Device {
    Device {
        digest: digest(name),
        user_code: digest(&format!("code of {name}")),
        client_id: "c".into(),
        content: "content".into(),
        created_at: NOW,
        expires_at: NOW.plus_seconds(600),
        poll_seconds: 5,
        state: DeviceState::Waiting,
    }
}

fn given(id: &str) -> Approval {
    Approval { code: None, ..approval(id, client("c", NOW)) }
}

async fn user_codes_are_taken_once(storage: &Database) {
    assert!(storage.insert_device(&device("d")).await.unwrap());
    let same_code = Device { digest: digest("e"), ..device("d") };
    assert!(!storage.insert_device(&same_code).await.unwrap());
    let found = async |code: &str, now| storage.device_by_user_code(&digest(code), now).await.unwrap();
    assert_eq!(found("code of d", NOW).await, Some(device("d")));
    assert_eq!(found("code of d", NOW.plus_seconds(600)).await, None, "expired");
    assert_eq!(found("code of e", NOW).await, None);
    assert!(storage.deny_device(&digest("d"), NOW).await.unwrap());
    assert_eq!(found("code of d", NOW).await, None, "decided");
}

async fn a_device_is_decided_once_and_redeemed_once(storage: &Database) {
    with_a_grant(storage).await;
    for name in ["d", "e"] {
        storage.insert_device(&device(name)).await.unwrap();
    }
    let poll = async |name: &str, client: &str| {
        storage.poll_device(&digest(name), client, NOW).await.unwrap().map(|polled| polled.device.state)
    };
    assert_eq!(poll("d", "other").await, None, "another client");
    let redeem = async |name: &str, grant: &str, jti: &str| {
        storage.redeem_device(&digest(name), grant, &issued(jti, None), &used()).await.unwrap()
    };
    assert!(!redeem("d", "g", "j1").await, "not approved");
    assert!(!storage.approve_device(&digest("d"), &given("late"), NOW.plus_seconds(600)).await.unwrap());
    assert!(storage.grant("late").await.unwrap().is_none(), "and nothing stored");
    assert!(storage.approve_device(&digest("d"), &given("h"), NOW).await.unwrap());
    assert!(!storage.approve_device(&digest("d"), &given("twice"), NOW).await.unwrap());
    assert!(!storage.deny_device(&digest("d"), NOW).await.unwrap());
    let polled = storage.poll_device(&digest("d"), "c", NOW.plus_seconds(60)).await.unwrap().unwrap();
    assert_eq!(polled.grant, Some(given("h").grant));
    assert_eq!((polled.device.state, polled.too_soon), (DeviceState::Approved, false));
    assert!(!redeem("d", "g", "j2").await, "a grant of something else");
    assert!(redeem("d", "h", "j3").await);
    assert!(!redeem("d", "h", "j4").await);
    assert!(is_active(storage, "j3").await && !is_active(storage, "j4").await);
    assert!(storage.deny_device(&digest("e"), NOW).await.unwrap());
    assert!(!storage.approve_device(&digest("e"), &given("i"), NOW).await.unwrap());
    assert_eq!(poll("e", "c").await, Some(DeviceState::Denied));
}

async fn a_device_that_asks_too_often_waits_longer(storage: &Database) {
    storage.insert_device(&device("d")).await.unwrap();
    let poll = async |second| {
        let at = NOW.plus_seconds(second);
        let polled = storage.poll_device(&digest("d"), "c", at).await.unwrap().unwrap();
        (polled.too_soon, polled.device.poll_seconds)
    };
    assert_eq!(poll(0).await, (false, 5));
    assert_eq!(poll(5).await, (false, 5));
    assert_eq!(poll(9).await, (true, 10));
    assert_eq!(poll(18).await, (true, 15));
    assert_eq!(poll(33).await, (false, 15));
}

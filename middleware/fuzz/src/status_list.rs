use mcp_auth::verifier::status_list::StatusList;
use serde_json::Value;

/// A status list, in JSON: what is read has a status of the stated width at every index within it, none beyond, and no
/// more bytes than are accepted.
pub fn status_list(data: &[u8]) {
    let Ok(list) = StatusList::decode(data) else {
        return;
    };
    assert!(list.size_bytes() <= StatusList::MOST_BYTES, "{} bytes", list.size_bytes());
    let json: Value = serde_json::from_slice(data).unwrap_or_default();
    let Some(bits) = json.get("bits").and_then(Value::as_u64) else {
        panic!("a list without a width was read");
    };
    let length = list.size_bytes() as u64 * 8 / bits;
    for index in [0, 1, 7, 8, length / 2, length.saturating_sub(1)] {
        let status = list.get(index);
        assert_eq!(status.is_some(), index < length, "{index} of {length}");
        assert!(status.is_none_or(|status| u64::from(status) < 1 << bits), "{status:?} in {bits} bits");
    }
    for index in [length, length.saturating_add(1), u64::MAX / bits, u64::MAX] {
        assert_eq!(list.get(index), None, "{index} of {length}");
    }
}

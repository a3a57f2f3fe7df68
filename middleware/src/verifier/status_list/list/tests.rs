use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use serde::Deserialize as _;
use serde_json::{Value, json};

use super::*;

pub(in crate::verifier::status_list) fn pack(bytes: &[u8]) -> String {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    URL_SAFE_NO_PAD.encode(encoder.finish().unwrap())
}

fn decode(list: &Value) -> Result<StatusList, StatusListError> {
    StatusList::decode(list.to_string().as_bytes())
}

#[test]
fn the_examples_of_the_draft_read_as_it_says() {
    // §4.1, and §4.2 for their JSON.
    let one = decode(&json!({"bits": 1, "lst": "eNrbuRgAAhcBXQ"})).unwrap();
    let statuses: Vec<u8> = (0..16).map(|index| one.get(index).unwrap()).collect();
    assert_eq!(statuses, [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]);
    let two = decode(&json!({"bits": 2, "lst": "eNo76fITAAPfAgc"})).unwrap();
    let statuses: Vec<u8> = (0..12).map(|index| two.get(index).unwrap()).collect();
    assert_eq!(statuses, [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]);
    assert_eq!((one.get(16), two.get(12)), (None, None));
}

/// Appendix "Test vectors for Status List encoding": 2^20 statuses each; those that are not named are 0.
#[test]
fn the_test_vectors_of_the_draft_read_as_it_says() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("vectors.json")).unwrap();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let list = decode(&vector).unwrap();
        let mut named = Vec::<(u64, u8)>::deserialize(&vector["statuses"]).unwrap();
        named.sort_unstable();
        let read: Vec<(u64, u8)> = (0..1 << 20)
            .map(|index| (index, list.get(index).unwrap()))
            .filter(|(_, status)| *status != 0)
            .collect();
        assert_eq!(read, named);
        assert_eq!(list.get(1 << 20), None);
    }
}

#[test]
fn what_is_no_list_is_refused() {
    for bits in [json!(0), json!(3), json!(16), json!(256), json!(-1), json!("1"), json!(1.0), Value::Null] {
        assert_eq!(decode(&json!({"bits": bits, "lst": pack(b"a")})), Err(StatusListError::Form), "{bits}");
    }
    for list in
        [json!({"bits": 1}), json!({"lst": pack(b"a")}), json!({"bits": 1, "lst": [1]}), json!([]), json!(1)]
    {
        assert_eq!(decode(&list), Err(StatusListError::Form), "{list}");
    }
    let twice = format!(r#"{{"bits":1,"bits":2,"lst":"{}"}}"#, pack(b"a"));
    assert_eq!(StatusList::decode(twice.as_bytes()), Err(StatusListError::Form));

    let good = pack(b"some statuses");
    let bytes = URL_SAFE_NO_PAD.decode(&good).unwrap();
    let mut checksum = bytes.clone();
    *checksum.last_mut().unwrap() ^= 1;
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::fast());
    deflate.write_all(b"some statuses").unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(b"some statuses").unwrap();
    for lst in [
        String::new(),
        format!("{good}="),
        good.replacen(|_: char| true, "+", 1),
        format!(" {good}"),
        URL_SAFE_NO_PAD.encode(&bytes[..bytes.len() - 5]),
        URL_SAFE_NO_PAD.encode(checksum),
        URL_SAFE_NO_PAD.encode([bytes.as_slice(), b"x"].concat()),
        URL_SAFE_NO_PAD.encode([bytes.as_slice(), bytes.as_slice()].concat()),
        URL_SAFE_NO_PAD.encode(deflate.finish().unwrap()),
        URL_SAFE_NO_PAD.encode(gzip.finish().unwrap()),
    ] {
        assert_eq!(decode(&json!({"bits": 1, "lst": lst})), Err(StatusListError::Encoding), "{lst}");
    }
}

#[test]
fn a_list_unpacks_to_what_is_accepted_and_to_no_byte_more() {
    for (length, most, expected) in
        [(0, 0, Ok(0)), (1000, 1000, Ok(1000)), (1001, 1000, Err(StatusListError::TooLong { most: 1000 }))]
    {
        let read = StatusList::from_parts(1, &pack(&vec![0; length]), most);
        assert_eq!(read.map(|list| list.size_bytes()), expected, "{length}");
    }
    // What goes on after the limit is not unpacked: here it would end amid the stream.
    let cut_off = URL_SAFE_NO_PAD.decode(pack(&vec![0; 1024 * 1024])).unwrap();
    let cut_off = URL_SAFE_NO_PAD.encode(&cut_off[..cut_off.len() - 100]);
    assert_eq!(StatusList::from_parts(1, &cut_off, 2 * 1024 * 1024), Err(StatusListError::Encoding));
    assert_eq!(StatusList::from_parts(1, &cut_off, 1024), Err(StatusListError::TooLong { most: 1024 }));
    let bomb = pack(&vec![0; 16 * 1024 * 1024]);
    assert!(bomb.len() < 400_000, "{}", bomb.len());
    assert_eq!(
        decode(&json!({"bits": 1, "lst": bomb})),
        Err(StatusListError::TooLong { most: StatusList::MOST_BYTES })
    );
    let largest = pack(&vec![0xFF; StatusList::MOST_BYTES]);
    let list = decode(&json!({"bits": 1, "lst": largest})).unwrap();
    assert_eq!((list.get(8 * 8 * 1024 * 1024 - 1), list.get(8 * 8 * 1024 * 1024)), (Some(1), None));
}

#[test]
fn no_index_is_too_large_to_be_looked_up() {
    for bits in [1, 2, 4, 8] {
        let list = StatusList::from_parts(bits, &pack(&[0xFF; 3]), 3).unwrap();
        let length = 24 / u64::from(bits);
        assert_eq!(list.get(length - 1), Some(u8::MAX >> (8 - bits)));
        for index in [length, length + 1, u64::MAX / 8, u64::MAX] {
            assert_eq!(list.get(index), None, "{bits} {index}");
        }
        assert_eq!(StatusList::from_parts(bits, &pack(b""), 3).unwrap().get(0), None);
    }
}

proptest! {
    /// The reader gives back what a writer put in, where the writer thinks in single bits: bit `n` of the list is bit
    /// `n % 8` of byte `n / 8`, and status `i` begins at bit `i * bits` (§4.1).
    #[test]
    fn what_was_written_bit_by_bit_is_read(width in 0_u32..4, statuses in prop::collection::vec(any::<u8>(), 0..200)) {
        let bits = 1_u8 << width;
        let statuses: Vec<u8> = statuses.into_iter().map(|status| status & (u8::MAX >> (8 - bits))).collect();
        let mut bytes = vec![0_u8; (statuses.len() * usize::from(bits)).div_ceil(8)];
        for (index, status) in statuses.iter().enumerate() {
            for bit in 0..usize::from(bits) {
                let at = index * usize::from(bits) + bit;
                bytes[at / 8] |= ((status >> bit) & 1) << (at % 8);
            }
        }
        let list = decode(&json!({"bits": bits, "lst": pack(&bytes)})).unwrap();
        for (index, status) in statuses.iter().enumerate() {
            prop_assert_eq!(list.get(index as u64), Some(*status));
        }
        prop_assert_eq!(list.get((bytes.len() * 8 / usize::from(bits)) as u64), None);
    }

    /// Whatever comes, the answer is a list or an error.
    #[test]
    fn no_bytes_make_it_panic(bits in any::<u8>(), packed in prop::collection::vec(any::<u8>(), 0..200), index in any::<u64>()) {
        let _ = StatusList::decode(&packed);
        if let Ok(list) = StatusList::from_parts(bits, &URL_SAFE_NO_PAD.encode(&packed), 1000) {
            let _ = list.get(index);
        }
    }
}

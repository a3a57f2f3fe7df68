//! Access tokens that end before they expire: status lists (draft-ietf-oauth-status-list), which whoever accepts the tokens
//! fetches every few seconds.
//!
//! A place is a number that one token has among all servers on the database. A list has [`LIST_SIZE`] places, one bit each,
//! and its number in its address.

mod lists;
mod places;

pub(crate) use self::{lists::StatusLists, places::Places};
use crate::{config::Issuer, endpoints::paths, wire::token::StatusReference};

/// Tokens in one list. As bits, 16 KiB before compression.
const LIST_SIZE: i64 = 131_072;
/// Seconds after which a list that could not be fetched again is worth nothing to anybody.
pub(crate) const LIST_LIFETIME_SECONDS: i64 = 300;

/// What a token says about its place.
pub(crate) fn reference(issuer: &Issuer, place: i64) -> StatusReference {
    StatusReference { idx: place.rem_euclid(LIST_SIZE), uri: uri(issuer, place.div_euclid(LIST_SIZE)) }
}

/// The address of a list, which is also its name.
fn uri(issuer: &Issuer, list: i64) -> String {
    issuer.endpoint(&format!("{}{list}", paths::STATUS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_in_the_list_that_has_its_number() {
        let issuer = Issuer::parse("https://as.test/x").unwrap();
        for (place, list, idx) in
            [(0, 0, 0), (LIST_SIZE - 1, 0, LIST_SIZE - 1), (LIST_SIZE, 1, 0), (3 * LIST_SIZE + 7, 3, 7)]
        {
            let StatusReference { idx: found, uri } = reference(&issuer, place);
            assert_eq!(found, idx, "{place}");
            assert_eq!(uri, issuer.endpoint(&format!("{}{list}", paths::STATUS)), "{place}");
        }
    }
}

//! Which key signs when, when there has to be a new one, and when an old one may go. Pure: servers that see the same keys
//! at the same time decide the same.

use std::cmp::Reverse;

use super::Algorithm;
use crate::{model::grant::MOST_LEEWAY_SECONDS, outside::Timestamp};

/// A key as far as its time goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) created_at: Timestamp,
    pub(crate) activates_at: Timestamp,
    /// When the last of what it has signed, or is sure to sign, has expired.
    pub(crate) needed_until: Timestamp,
}

/// What the operator wants.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    /// The first signs; of each there is a key. Never empty.
    pub(crate) algorithms: Vec<Algorithm>,
    /// Seconds that a key signs before the next one takes its place, if there is to be one at all.
    pub(crate) rotate_after: Option<i64>,
    /// Seconds that a key is published before it signs.
    pub(crate) publish_before: i64,
}

/// A key to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) algorithm: Algorithm,
    /// Another server's key serves as well if it was made after this.
    pub(crate) unless_after: Option<Timestamp>,
    pub(crate) activates_at: Timestamp,
}

/// What ranks highest signs.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank<'t> {
    /// Not yet to sign. It does only where there is no other: the clock was set back, or the others were deleted.
    Early(Reverse<Timestamp>, Reverse<usize>, &'t str),
    Active(Reverse<usize>, Timestamp, &'t str),
}

impl Schedule {
    /// How often each server looks at the keys in the database, in seconds.
    pub(crate) fn reload_seconds(&self) -> i64 {
        (self.publish_before / 2).clamp(1, 60)
    }

    /// How long anybody may keep a copy of the published keys, in seconds. With the time that a server takes to see a new
    /// key, it is no longer than a key is published before it signs: nobody then meets a signature by a key that was
    /// not there when they looked.
    pub(crate) fn published_max_age(&self) -> i64 {
        (self.publish_before / 2).clamp(1, 300)
    }

    /// Which key signs. During a change of algorithms, one that is no longer wanted does until the new one may.
    pub(crate) fn signer<'t>(
        &self,
        terms: impl Iterator<Item = &'t Term>,
        now: Timestamp,
    ) -> Option<&'t Term> {
        terms.max_by_key(|term| {
            let wanted = self.algorithms.iter().position(|algorithm| *algorithm == term.algorithm);
            let order = Reverse(wanted.unwrap_or(usize::MAX));
            if term.activates_at <= now {
                Rank::Active(order, term.activates_at, &term.kid)
            } else {
                Rank::Early(Reverse(term.activates_at), order, &term.kid)
            }
        })
    }

    /// The keys to be made now.
    pub(crate) fn due(&self, terms: &[Term], now: Timestamp) -> Vec<Due> {
        let due = self.algorithms.iter().filter(|algorithm| {
            let newest =
                terms.iter().filter(|term| term.algorithm == **algorithm).map(|term| term.activates_at).max();
            match (newest, self.rotate_after) {
                (None, _) => true,
                (Some(_), None) => false,
                // early enough that the new one is published in time
                (Some(newest), Some(after)) => now >= newest.plus_seconds(after - self.publish_before),
            }
        });
        due.map(|algorithm| self.next(*algorithm, terms, now)).collect()
    }

    /// The next key of an algorithm. The first of all signs at once, since nobody can have looked before.
    pub(crate) fn next(&self, algorithm: Algorithm, terms: &[Term], now: Timestamp) -> Due {
        let own = terms.iter().filter(|term| term.algorithm == algorithm);
        Due {
            algorithm,
            unless_after: own.map(|term| term.created_at).max(),
            activates_at: if terms.is_empty() { now } else { now.plus_seconds(self.publish_before) },
        }
    }

    /// The keys that nobody needs any more: not the one that signs, nor the one of its algorithm that would, nor one with
    /// something signed that may still be good somewhere.
    pub(crate) fn over<'t>(&self, terms: &'t [Term], now: Timestamp) -> Vec<&'t Term> {
        let signer = self.signer(terms.iter(), now);
        let is_spare = |term: &Term| {
            let own = terms.iter().filter(|other| other.algorithm == term.algorithm);
            self.algorithms.contains(&term.algorithm) && self.signer(own, now) == Some(term)
        };
        terms
            .iter()
            .filter(|term| signer != Some(*term) && !is_spare(term))
            .filter(|term| now > term.needed_until.plus_seconds(MOST_LEEWAY_SECONDS))
            .collect()
    }
}

#[cfg(test)]
mod tests;

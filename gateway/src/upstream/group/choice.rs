//! Which address gets the next request: the one with the least under way.
//!
//! All of them are looked at, rather than two at random: there are few, a look is one load from memory, and the choice is
//! then the best one. Among equals they take turns, so that a quiet upstream's requests are spread as well.

use super::standing::{FULL_WEIGHT, Service};

/// The most addresses of one upstream.
pub(crate) const MOST_ADDRESSES: usize = 64;

/// Addresses that a request has been to already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tried(u64);

impl Tried {
    pub(super) fn add(&mut self, index: usize) {
        self.0 |= bit(index);
    }

    fn contains(self, index: usize) -> bool {
        self.0 & bit(index) != 0
    }
}

fn bit(index: usize) -> u64 {
    u32::try_from(index).ok().and_then(|index| 1_u64.checked_shl(index)).unwrap_or(0)
}

/// The index of the best of so many addresses; `None` where all that were not tried are down. `look` says how much is under
/// way at one of them, and whether it may be chosen; `turn` is who is first among equals.
///
/// Addresses that are out are chosen where no other is left: what they did some time ago is all that speaks against them,
/// and somebody has to find out when they are back.
pub(super) fn choose(
    addresses: usize,
    tried: Tried,
    turn: usize,
    look: impl Fn(usize) -> Option<(u32, Service)>,
) -> Option<usize> {
    let mut best: Option<(u64, usize)> = None;
    let mut last_resort: Option<(u64, usize)> = None;
    for step in 0..addresses {
        let index = turn.wrapping_add(step) % addresses;
        if tried.contains(index) {
            continue;
        }
        let (under_way, chosen, weight) = match look(index) {
            Some((under_way, Service::In { weight })) => (under_way, &mut best, weight),
            Some((under_way, Service::Out { .. })) => (under_way, &mut last_resort, FULL_WEIGHT),
            Some((_, Service::Down)) | None => continue,
        };
        let share = (u64::from(under_way) + 1).saturating_mul(FULL_WEIGHT.into()) / u64::from(weight.max(1));
        if chosen.is_none_or(|(least, _)| share < least) {
            *chosen = Some((share, index));
        }
    }
    best.or(last_resort).map(|(_, index)| index)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const IN: Service = Service::In { weight: FULL_WEIGHT };
    const OUT: Service = Service::Out { left: Duration::from_secs(1) };

    fn chosen(addresses: &[(u32, Service)], tried: Tried, turn: usize) -> Option<usize> {
        choose(addresses.len(), tried, turn, |index| addresses.get(index).copied())
    }

    fn first(addresses: &[(u32, Service)]) -> Option<usize> {
        chosen(addresses, Tried::default(), 0)
    }

    #[test]
    fn the_least_loaded_is_chosen() {
        assert_eq!(first(&[(3, IN), (2, IN), (4, IN)]), Some(1));
    }

    #[test]
    fn equals_take_turns() {
        let turns: Vec<_> =
            (0..6).map(|turn| chosen(&[(0, IN); 3], Tried::default(), turn).unwrap()).collect();
        assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
        assert!(chosen(&[(0, IN); 3], Tried::default(), usize::MAX).is_some());
    }

    #[test]
    fn one_that_starts_gets_its_part_of_the_share() {
        let starting = Service::In { weight: 100 };
        assert_eq!(first(&[(0, starting), (8, IN)]), Some(1));
        assert_eq!(first(&[(0, starting), (10, IN)]), Some(0));
    }

    #[test]
    fn one_that_is_out_is_the_last_resort_and_one_that_is_down_is_none() {
        assert_eq!(first(&[(0, OUT), (99, IN)]), Some(1));
        assert_eq!(first(&[(1, OUT), (0, OUT)]), Some(1));
        assert_eq!(first(&[(0, Service::Down), (9, OUT)]), Some(1));
        assert_eq!(first(&[(0, Service::Down)]), None);
        assert_eq!(first(&[]), None);
    }

    #[test]
    fn nobody_is_tried_twice() {
        let addresses = [(0, IN); MOST_ADDRESSES];
        let mut tried = Tried::default();
        for _ in 0..MOST_ADDRESSES {
            let index = chosen(&addresses, tried, 7).unwrap();
            assert!(!tried.contains(index));
            tried.add(index);
        }
        assert_eq!(chosen(&addresses, tried, 7), None);
    }

    proptest! {
        #[test]
        fn no_one_in_service_has_less_to_do(
            addresses in prop::collection::vec((0_u32..50, 0_usize..3), 1..MOST_ADDRESSES),
            turn: usize,
        ) {
            let services = [IN, OUT, Service::Down];
            let addresses: Vec<_> =
                addresses.into_iter().map(|(under_way, service)| (under_way, services[service])).collect();
            let least = |service| {
                addresses.iter().filter(|other| other.1 == service).map(|other| other.0).min()
            };
            let expected = least(IN).or(least(OUT));
            let index = chosen(&addresses, Tried::default(), turn);
            prop_assert_eq!(index.map(|index| addresses[index].0), expected);
        }
    }
}

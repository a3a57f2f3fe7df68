use mcp_auth::random::RandomError;

use super::*;

/// Always the same byte.
#[derive(Debug)]
struct Fixed(u8);

impl Random for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        bytes.fill(self.0);
        Ok(())
    }
}

#[derive(Debug)]
struct Broken;

impl Random for Broken {
    fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
        Err(RandomError)
    }
}

const LONGEST: Fixed = Fixed(255);
const SLOW_START: Duration = Duration::from_secs(10);
const IN: Service = Service::In { weight: FULL_WEIGHT };

fn out(standing: &Standing, now: u64) -> bool {
    matches!(standing.service(|| now, SLOW_START), Service::Out { .. })
}

/// Fails to connect until it is out; for how long.
fn put_out(standing: &Standing, now: u64) -> Duration {
    (0..3).find_map(|_| standing.failed(Fault::Connect, now, &LONGEST)).expect("three failures")
}

#[test]
fn it_takes_failures_in_a_row() {
    for (fault, times) in [(Fault::Connect, 3), (Fault::Answer, 5)] {
        let standing = Standing::default();
        for _ in 0..10 {
            for _ in 1..times {
                assert_eq!(standing.failed(fault, 1, &LONGEST), None);
            }
            standing.succeeded();
        }
        for _ in 1..times {
            assert_eq!(standing.failed(fault, 1, &LONGEST), None);
            assert_eq!(standing.service(|| 1, SLOW_START), IN);
        }
        assert_eq!(standing.failed(fault, 1, &LONGEST), Some(FIRST_OUT), "{fault:?}");
        assert_eq!(standing.service(|| 1, SLOW_START), Service::Out { left: FIRST_OUT });
    }
}

#[test]
fn what_fails_again_is_out_for_longer_each_time_up_to_a_limit() {
    let standing = Standing::default();
    let mut now = 1;
    let mut seconds = Vec::new();
    for _ in 0..40 {
        let out_for = put_out(&standing, now);
        seconds.push(out_for.as_secs());
        now += millis(out_for);
        assert!(out(&standing, now - 1) && !out(&standing, now));
        // back: one failure is enough
        assert!(standing.failures.load(Ordering::Relaxed) + Fault::Connect.weight() >= OUT_AT);
    }
    assert_eq!(seconds[..6], [4, 8, 16, 32, 60, 60]);
    assert!(seconds[6..].iter().all(|seconds| *seconds == 60));
}

#[test]
fn what_was_in_for_long_starts_again_with_the_shortest() {
    let standing = Standing::default();
    let first = put_out(&standing, 1);
    let second = put_out(&standing, 1 + millis(first));
    assert_eq!(second, FIRST_OUT * 2);
    let back = 1 + millis(first) + millis(second);
    assert_eq!(put_out(&standing, back + millis(LONGEST_OUT)), FIRST_OUT);
}

#[test]
fn what_fails_while_it_is_out_does_not_stay_out_for_longer() {
    let standing = Standing::default();
    put_out(&standing, 1);
    for _ in 0..100 {
        assert_eq!(standing.failed(Fault::Connect, 2, &LONGEST), None);
    }
    assert!(!out(&standing, 1 + millis(FIRST_OUT)));
    assert_eq!(put_out(&standing, 1 + millis(FIRST_OUT)), FIRST_OUT * 2);
}

#[test]
fn who_goes_out_together_does_not_come_back_together() {
    for (random, expected) in [(0, FIRST_OUT / 2), (255, FIRST_OUT), (51, FIRST_OUT * 6 / 10)] {
        assert_eq!(spread(FIRST_OUT, &Fixed(random)), expected);
    }
    assert_eq!(spread(FIRST_OUT, &Broken), FIRST_OUT);
}

#[test]
fn who_comes_back_starts_slowly() {
    let standing = Standing::default();
    let back = 1 + millis(put_out(&standing, 1));
    let weight = |after: u64| match standing.service(|| back + after, SLOW_START) {
        Service::In { weight } => weight,
        other => panic!("{other:?}"),
    };
    assert_eq!([0, 1_000, 5_000, 9_999, 10_000, 99_000].map(weight), [100, 190, 550, 999, 1000, 1000]);
    assert_eq!(standing.service(|| back, Duration::ZERO), IN, "without a slow start");
}

#[test]
fn checks_take_down_and_bring_up() {
    let standing = Standing::default();
    assert!(!standing.brings_up(5), "it was never down");
    assert_eq!(standing.service(|| panic!("the time does not matter"), SLOW_START), IN);
    assert!(standing.takes_down());
    assert!(!standing.takes_down());
    assert_eq!(standing.service(|| 7, SLOW_START), Service::Down);
    assert!(standing.brings_up(7));
    assert_eq!(standing.service(|| 7, SLOW_START), Service::In { weight: FIRST_WEIGHT });
}

/// The check may ask for something else than what fails.
#[test]
fn a_check_that_succeeds_does_not_cut_short_what_requests_have_shown() {
    let standing = Standing::default();
    put_out(&standing, 1);
    standing.takes_down();
    assert!(standing.brings_up(2));
    assert!(out(&standing, 3));
}

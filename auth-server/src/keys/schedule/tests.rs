use super::{Algorithm::*, *};

const NOW: i64 = 1_000_000;
const DAY: i64 = 86_400;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_seconds(NOW + seconds)
}

/// A key that was made an hour before it signs.
fn term(kid: &str, algorithm: Algorithm, activates: i64) -> Term {
    Term {
        kid: kid.to_owned(),
        algorithm,
        created_at: at(activates - 3600),
        activates_at: at(activates),
        needed_until: at(activates + 900),
    }
}

fn schedule(algorithms: &[Algorithm]) -> Schedule {
    Schedule { algorithms: algorithms.to_vec(), rotate_after: Some(90 * DAY), publish_before: 3600 }
}

fn signer<'t>(schedule: &Schedule, terms: &'t [Term], now: i64) -> &'t str {
    &schedule.signer(terms.iter(), at(now)).unwrap().kid
}

#[test]
fn no_key_signs_before_its_time_while_another_can() {
    let terms = [term("old", Es256, -DAY), term("new", Es256, 10)];
    for (now, expected) in [(-DAY, "old"), (0, "old"), (9, "old"), (10, "new"), (DAY, "new")] {
        assert_eq!(signer(&schedule(&[Es256]), &terms, now), expected, "{now}");
        let turned: Vec<_> = terms.iter().rev().cloned().collect();
        assert_eq!(signer(&schedule(&[Es256]), &turned, now), expected, "{now}, in another order");
    }
    assert_eq!(schedule(&[Es256]).signer([].iter(), at(0)), None);
}

#[test]
fn a_clock_that_was_set_back_leaves_a_key_to_sign_with() {
    let terms = [term("first", Es256, 0), term("second", Es256, 100)];
    assert_eq!(signer(&schedule(&[Es256]), &terms, -600), "first");
}

#[test]
fn of_two_that_began_at_once_every_server_takes_the_same() {
    let (a, b) = (term("a", Es256, 0), term("b", Es256, 0));
    assert_eq!(signer(&schedule(&[Es256]), &[a.clone(), b.clone()], 0), "b");
    assert_eq!(signer(&schedule(&[Es256]), &[b, a], 0), "b");
}

#[test]
fn the_first_algorithm_signs_as_soon_as_it_has_a_key_that_may() {
    let terms = [term("es", Es256, -DAY), term("rs", Rs256, -DAY), term("ed", EdDsa, 10)];
    for (algorithms, now, expected) in [
        (&[Es256, Rs256][..], 0, "es"),
        (&[Rs256, Es256], 0, "rs"),
        (&[EdDsa], 9, "rs"),
        (&[EdDsa, Es256], 9, "es"),
        (&[EdDsa], 10, "ed"),
    ] {
        assert_eq!(signer(&schedule(algorithms), &terms, now), expected, "{algorithms:?} at {now}");
    }
}

#[test]
fn the_first_key_of_all_signs_at_once_and_every_other_is_published_before() {
    let es = Due { algorithm: Es256, unless_after: None, activates_at: at(0) };
    assert_eq!(schedule(&[Es256]).due(&[], at(0)), [es]);
    let there = [term("es", Es256, -DAY)];
    let ed = Due { algorithm: EdDsa, unless_after: None, activates_at: at(3600) };
    assert_eq!(schedule(&[EdDsa, Es256]).due(&there, at(0)), [ed]);
}

#[test]
fn a_key_is_replaced_on_schedule_once() {
    let first = term("first", Es256, 0);
    let terms = [first.clone()];
    let due = 90 * DAY - 3600;
    assert_eq!(schedule(&[Es256]).due(&terms, at(due - 1)), []);
    let next = Due { algorithm: Es256, unless_after: Some(first.created_at), activates_at: at(90 * DAY) };
    assert_eq!(schedule(&[Es256]).due(&terms, at(due)), [next]);
    // also long after, when no server ran at the time
    let late = schedule(&[Es256]).due(&terms, at(400 * DAY));
    assert_eq!(late, [Due { activates_at: at(400 * DAY + 3600), ..next }]);
    let terms = [first, term("second", Es256, 90 * DAY)];
    assert_eq!(schedule(&[Es256]).due(&terms, at(90 * DAY)), []);
    let never = Schedule { rotate_after: None, ..schedule(&[Es256]) };
    assert_eq!(never.due(&terms, at(4000 * DAY)), []);
}

#[test]
fn nothing_goes_that_somebody_may_need() {
    let over = |algorithms: &[Algorithm], terms: &[Term], now: i64| -> Vec<String> {
        schedule(algorithms).over(terms, at(now)).into_iter().map(|term| term.kid.clone()).collect()
    };
    // the one that signs, however old
    assert_eq!(over(&[Es256], &[term("only", Es256, 0)], 4000 * DAY), [""; 0]);
    // one that has signed, until the last of it has expired everywhere
    let mut terms = [term("old", Es256, 0), term("new", Es256, DAY)];
    terms[0].needed_until = at(DAY + 900);
    assert_eq!(over(&[Es256], &terms, DAY - 1), [""; 0]);
    assert_eq!(over(&[Es256], &terms, DAY + 900 + MOST_LEEWAY_SECONDS), [""; 0]);
    assert_eq!(over(&[Es256], &terms, DAY + 901 + MOST_LEEWAY_SECONDS), ["old"]);
    // the spare of an algorithm that is wanted; one that is not, only while it may be needed
    let terms = [term("es", Es256, 0), term("rs", Rs256, 0)];
    assert_eq!(over(&[Es256, Rs256], &terms, 4000 * DAY), [""; 0]);
    assert_eq!(over(&[Es256], &terms, 900 + MOST_LEEWAY_SECONDS), [""; 0]);
    assert_eq!(over(&[Es256], &terms, 901 + MOST_LEEWAY_SECONDS), ["rs"]);
    // one that waits for its time, also of an algorithm that another server wants and this one does not
    let terms = [term("es", Es256, 0), term("ed", EdDsa, DAY)];
    assert_eq!(over(&[Es256], &terms, 0), [""; 0]);
}

#[test]
fn copies_are_old_before_a_new_key_signs() {
    for publish_before in [10, 11, 60, 300, 599, 600, 3600, 30 * DAY] {
        let schedule = Schedule { publish_before, ..schedule(&[Es256]) };
        let longest = schedule.reload_seconds() + schedule.published_max_age();
        assert!(longest <= publish_before, "{publish_before}: {longest}");
        assert!(schedule.reload_seconds() >= 1 && schedule.published_max_age() >= 1);
    }
}

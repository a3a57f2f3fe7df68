use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt as _;

use super::*;

fn of(max_requests: usize, max_queue: usize, seconds: u64) -> Arc<Concurrency> {
    Arc::new(Concurrency::new(&ConcurrencyConfig {
        max_requests,
        max_queue,
        longest_wait: Duration::from_secs(seconds),
    }))
}

fn at_once(concurrency: &Arc<Concurrency>) -> Slot {
    concurrency.enter().now_or_never().expect("no need to wait").expect("a slot")
}

#[tokio::test(start_paused = true)]
async fn who_finds_the_queue_full_is_told_so_at_once() {
    let slots = of(2, 1, 5);
    let _held = [at_once(&slots), at_once(&slots)];
    let mut waits = Box::pin(slots.enter());
    assert!((&mut waits).now_or_never().is_none());
    assert_eq!(slots.enter().now_or_never().expect("at once").unwrap_err(), Busy::QueueFull);
    assert_eq!((slots.running(), slots.waiting()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_too_long_is_told_so_and_has_left() {
    let slots = of(1, 9, 5);
    let held = at_once(&slots);
    let began = tokio::time::Instant::now();
    assert_eq!(slots.enter().await.unwrap_err(), Busy::WaitedTooLong);
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    assert_eq!((slots.running(), slots.waiting()), (1, 0));
    drop(held);
    assert_eq!((slots.running(), slots.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_came_first_is_served_first_and_nobody_passes() {
    let slots = of(1, 9, 60);
    let held = at_once(&slots);
    let mut waits: Vec<_> = (0..3).map(|_| Box::pin(slots.enter())).collect();
    for waiting in &mut waits {
        assert!(waiting.now_or_never().is_none());
    }
    drop(held);
    for index in 0..3 {
        for later in &mut waits[index + 1..] {
            assert!(later.now_or_never().is_none(), "somebody passed");
        }
        let mut newcomer = Box::pin(slots.enter());
        assert!((&mut newcomer).now_or_never().is_none(), "somebody passed");
        drop(newcomer);
        drop((&mut waits[index]).now_or_never().expect("its turn").unwrap());
    }
    assert_eq!((slots.running(), slots.waiting()), (0, 0));
}

/// Wherever it is when it goes: waiting, or with a slot that it has not seen yet.
#[tokio::test(start_paused = true)]
async fn who_goes_away_gives_the_place_back() {
    let slots = of(1, 1, 60);
    let held = at_once(&slots);
    for _ in 0..100 {
        let mut goes = Box::pin(slots.enter());
        assert!((&mut goes).now_or_never().is_none());
    }
    assert_eq!(slots.queue().len(), 0, "those who went still take room");
    let mut handed = Box::pin(slots.enter());
    assert!((&mut handed).now_or_never().is_none());
    drop(held);
    assert_eq!((slots.running(), slots.waiting()), (1, 0), "it was handed over");
    drop(handed);
    assert_eq!((slots.running(), slots.waiting()), (0, 0));
    drop(at_once(&slots));
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_is_handed_to_someone_who_goes_is_the_next_ones() {
    let slots = of(1, 9, 60);
    let held = at_once(&slots);
    let (mut first, mut second) = (Box::pin(slots.enter()), Box::pin(slots.enter()));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    drop(held);
    drop(first);
    let _slot = (&mut second).now_or_never().expect("its turn").unwrap();
    assert_eq!((slots.running(), slots.waiting()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_there_are_slots_or_none() {
    let slots = of(1, 0, 60);
    let held = at_once(&slots);
    assert_eq!(slots.enter().await.unwrap_err(), Busy::QueueFull);
    drop(held);
    at_once(&slots);
}

/// Many threads that enter, wait, go away and leave: never more than may at a time, and in the end nobody is left.
#[test]
fn however_many_come_and_go_the_count_is_right() {
    let slots = of(3, 5, 600);
    let inside = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..4_u32)
        .map(|thread| {
            let (slots, inside) = (Arc::clone(&slots), Arc::clone(&inside));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(async {
                    for round in 0..5_000_u32 {
                        let mut entering = pin!(slots.enter());
                        if (round + thread) % 3 == 0 {
                            // looks once, and goes
                            let mut cx = Context::from_waker(Waker::noop());
                            if let Poll::Ready(Ok(slot)) = entering.as_mut().poll(&mut cx) {
                                drop(slot);
                            }
                            continue;
                        }
                        if let Ok(slot) = entering.await {
                            assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                            tokio::task::yield_now().await;
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(slot);
                        }
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!((slots.running(), slots.waiting(), slots.queue().len()), (0, 0, 0));
}

/// Between the moment in which a slot is given back and the one in which it is handed on, it is nobody's to take.
#[tokio::test(start_paused = true)]
async fn a_slot_on_its_way_to_who_waits_is_not_for_who_comes() {
    let slots = of(1, 9, 60);
    let mut held = at_once(&slots);
    let mut waits = Box::pin(slots.enter());
    assert!((&mut waits).now_or_never().is_none());
    // the first half of what dropping a slot does
    held.0 = None;
    slots.running.fetch_sub(1, Ordering::SeqCst);
    let mut newcomer = Box::pin(slots.enter());
    assert!((&mut newcomer).now_or_never().is_none(), "somebody passed");
    drop((&mut waits).now_or_never().expect("its turn").unwrap());
    drop((&mut newcomer).now_or_never().expect("its turn").unwrap());
    assert_eq!((slots.running(), slots.waiting()), (0, 0));
}

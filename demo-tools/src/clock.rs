//! Where the notes take their time from, so that a test can stand still.

use time::OffsetDateTime;

/// Tells the time of day.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present moment, in UTC.
    fn now(&self) -> OffsetDateTime;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

#[cfg(test)]
pub(crate) mod fixed {
    use time::OffsetDateTime;

    /// A clock that shows one moment for ever.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct FixedClock(pub(crate) OffsetDateTime);

    impl super::Clock for FixedClock {
        fn now(&self) -> OffsetDateTime {
            self.0
        }
    }
}

//! A clock that ticks at a rate, in nanoseconds: what polls wait for in milliseconds is too coarse to spread calls evenly.

use std::os::fd::AsRawFd as _;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::TICKER;

/// A timer of the kernel's that a poll can wait for, as [`TICKER`].
#[derive(Debug)]
pub struct Ticker(OwnedFd);

impl Ticker {
    /// A ticker that does not tick yet.
    ///
    /// # Errors
    ///
    /// If the kernel gives none.
    pub fn new(registry: &Registry) -> anyhow::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        registry.register(&mut SourceFd(&fd.as_raw_fd()), TICKER, Interest::READABLE)?;
        Ok(Self(fd))
    }

    /// Ticks so many times a second from now on; 0 stops it.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the interval.
    pub fn tick(&self, per_second: u32) -> anyhow::Result<()> {
        let interval = Duration::from_secs(1).checked_div(per_second).unwrap_or_default();
        let interval =
            Timespec { tv_sec: interval.as_secs().try_into()?, tv_nsec: interval.subsec_nanos().into() };
        timerfd_settime(
            &self.0,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: interval, it_value: interval },
        )?;
        Ok(())
    }

    /// How often it ticked since it was asked last.
    pub fn ticks(&self) -> u64 {
        let mut count = [0; 8];
        match rustix::io::read(&self.0, &mut count) {
            Ok(8) => u64::from_ne_bytes(count),
            // none yet
            _ => 0,
        }
    }
}

//! Hears when the wall clock is set, and when the machine wakes up: no timer that stands still in sleep would tell.

use std::io;
use std::os::fd::OwnedFd;
use std::thread;

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// When the timer would run out: in 2106.
const NEVER: Timespec = Timespec { tv_sec: u32::MAX as i64, tv_nsec: 0 };

/// What the thread needs, which only waits.
const STACK: usize = 128 << 10;

/// Calls `heard` after each step, on a thread of its own that ends with the process.
pub(super) fn watch(heard: impl Fn() + Send + 'static) -> io::Result<()> {
    let timer = timer()?;
    let wait = move || {
        loop {
            match rustix::io::read(&timer, &mut [0; 8]) {
                // It goes on, and is cancelled again at the next step.
                Err(Errno::CANCELED) => heard(),
                Err(Errno::INTR) => {}
                outcome => return tracing::warn!(?outcome, "steps of the clock go unnoticed from now on"),
            }
        }
    };
    thread::Builder::new().name("clock".to_owned()).stack_size(STACK).spawn(wait).map(drop)
}

/// A timer that never runs out, which the kernel cancels at each step of the clock (`TFD_TIMER_CANCEL_ON_SET` of
/// timerfd_create(2)).
fn timer() -> io::Result<OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC)?;
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: NEVER };
    timerfd_settime(&timer, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &once)?;
    Ok(timer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_waits_for_a_step() {
        let timer = timer().unwrap();
        let mut polled = [rustix::event::PollFd::new(&timer, rustix::event::PollFlags::IN)];
        assert_eq!(rustix::event::poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(0));
    }
}

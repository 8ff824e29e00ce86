//! The real clock, which can be moved forward: an hour of waiting passes at once, for all who share it.

use std::time::Duration;

use presence_exporter::domain::{Moment, Tick};
use presence_exporter::net::SystemClock;
use presence_exporter::ports::{BoxFuture, Clock};
use tokio::sync::watch;

/// A clock that leaps.
pub struct LeapClock {
    real: SystemClock,
    ahead: watch::Sender<Duration>,
}

impl LeapClock {
    /// A clock that shows the real time.
    pub fn start() -> Self {
        Self { real: SystemClock::start(), ahead: watch::Sender::new(Duration::ZERO) }
    }

    /// Moves forward and wakes whoever has slept long enough by that.
    pub fn leap(&self, by: Duration) {
        self.ahead.send_modify(|ahead| *ahead += by);
    }
}

impl Clock for LeapClock {
    fn now(&self) -> Moment {
        let ahead = *self.ahead.borrow();
        self.real.now().plus(ahead)
    }

    fn sleep_until(&self, tick: Tick) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut leaps = self.ahead.subscribe();
            loop {
                let ahead = *leaps.borrow_and_update();
                // What is left of the sleep in real time; a leap may come before it is over.
                tokio::select! {
                    () = self.real.sleep_until(tick.back(ahead)) => return,
                    changed = leaps.changed() => changed.expect("the sender is ours"),
                }
            }
        })
    }
}

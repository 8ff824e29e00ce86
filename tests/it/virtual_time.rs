//! A clock that jumps, and an executor for it: an hour of polling runs in a second, the same way every time.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use presence_exporter::domain::{Moment, Tick};
use presence_exporter::ports::{BoxFuture, Clock};

/// Time that stands still until everything waits, then jumps to the next alarm.
pub struct VirtualClock {
    state: Mutex<State>,
}

struct State {
    began: Moment,
    now: Moment,
    alarms: BTreeMap<(Tick, u64), Waker>,
    order: u64,
}

struct Alarm<'a> {
    clock: &'a VirtualClock,
    tick: Tick,
    set: Option<(Tick, u64)>,
}

struct Flag(AtomicBool);

impl VirtualClock {
    /// A clock that begins at this Unix time.
    pub fn new(unix_ms: i64) -> Arc<Self> {
        let now = Moment { tick: Tick::from_micros(1_000_000), unix_ms };
        Arc::new(Self { state: Mutex::new(State { began: now, now, alarms: BTreeMap::new(), order: 0 }) })
    }

    /// Drives a future until it is done, jumping from alarm to alarm; `None` when `limit` of virtual time has passed first.
    pub fn run<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let end = self.now().tick + limit;
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(flag.clone());
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            while flag.0.swap(false, Ordering::SeqCst) {
                if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                    return Some(value);
                }
            }
            self.jump(end)?;
        }
    }

    /// Moves to the next alarm and rings it; `None` when there is none before `end`.
    fn jump(&self, end: Tick) -> Option<()> {
        let waker = {
            let mut state = self.state.lock().unwrap();
            let ((tick, _), waker) = state.alarms.pop_first()?;
            if tick > end {
                return None;
            }
            // From the beginning, since each jump would lose its part of a millisecond.
            let passed = tick.since(state.began.tick);
            state.now = state.began.plus(passed.max(state.now.tick.since(state.began.tick)));
            waker
        };
        waker.wake();
        Some(())
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Moment {
        self.state.lock().unwrap().now
    }

    fn sleep_until(&self, tick: Tick) -> BoxFuture<'_, ()> {
        Box::pin(Alarm { clock: self, tick, set: None })
    }
}

impl Future for Alarm<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock;
        let mut state = clock.state.lock().unwrap();
        if state.now.tick >= self.tick {
            return Poll::Ready(());
        }
        state.order += 1;
        let order = state.order;
        let tick = self.tick;
        let key = *self.set.get_or_insert((tick, order));
        state.alarms.insert(key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Alarm<'_> {
    /// An alarm that nobody waits for any more must not ring.
    fn drop(&mut self) {
        if let Some(key) = self.set {
            self.clock.state.lock().unwrap().alarms.remove(&key);
        }
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn an_hour_passes_at_once_and_to_the_microsecond() {
    let clock = VirtualClock::new(1_700_000_000_000);
    let start = clock.now();
    let end = clock.run(Duration::from_secs(7200), async {
        for _ in 0..3600 {
            clock.sleep_until(clock.now().tick + Duration::from_secs(1)).await;
        }
        clock.now()
    });
    let end = end.expect("an hour is less than two");
    assert_eq!(end.tick.since(start.tick), Duration::from_secs(3600));
    assert_eq!(end.unix_ms - start.unix_ms, 3_600_000);
}

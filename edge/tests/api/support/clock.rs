//! Time that only passes when everybody waits: tests run at once, and in an order that never changes.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use async_trait::async_trait;
use edge::ports::system::Clock;

/// 2026-11-21, some time after noon.
const START_MS: u64 = 1_795_268_096_000;

#[derive(Default)]
struct Sleepers {
    now_ms: u64,
    next_number: u64,
    /// By the time they wake, then by the order they fell asleep in.
    waiting: BTreeMap<(u64, u64), Waker>,
}

/// A clock that [`FakeClock::run`] moves.
#[derive(Clone)]
pub struct FakeClock(Arc<Mutex<Sleepers>>);

impl Default for FakeClock {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Sleepers { now_ms: START_MS, ..Sleepers::default() })))
    }
}

impl FakeClock {
    /// Milliseconds since the test began.
    pub fn elapsed_ms(&self) -> u64 {
        self.now_ms() - START_MS
    }

    /// Lets time pass while nobody runs.
    pub fn advance_ms(&self, ms: u64) {
        self.0.lock().unwrap().now_ms += ms;
    }

    /// Runs `work` to its end; whenever it only waits, time jumps to the next moment somebody waits for.
    pub fn run<F: Future>(&self, work: F) -> F::Output {
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        let mut work = pin!(work);
        loop {
            if let Poll::Ready(output) = work.as_mut().poll(&mut context) {
                return output;
            }
            if !woken.0.swap(false, Ordering::SeqCst) {
                self.wake_next();
            }
        }
    }

    fn wake_next(&self) {
        let waker = {
            let mut sleepers = self.0.lock().unwrap();
            let ((wakes_ms, _), waker) =
                sleepers.waiting.pop_first().expect("somebody waits for what will never come");
            sleepers.now_ms = sleepers.now_ms.max(wakes_ms);
            waker
        };
        waker.wake();
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for FakeClock {
    fn now_ms(&self) -> u64 {
        self.0.lock().unwrap().now_ms
    }

    async fn sleep_ms(&self, ms: u64) {
        let key = {
            let mut sleepers = self.0.lock().unwrap();
            sleepers.next_number += 1;
            (sleepers.now_ms + ms, sleepers.next_number)
        };
        Sleep { clock: self.clone(), key }.await;
    }
}

struct Sleep {
    clock: FakeClock,
    key: (u64, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut sleepers = self.clock.0.lock().unwrap();
        if sleepers.now_ms >= self.key.0 {
            return Poll::Ready(());
        }
        sleepers.waiting.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.0.lock().unwrap().waiting.remove(&self.key);
    }
}

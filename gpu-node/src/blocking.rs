//! Work that computes for a while, kept away from the threads that serve requests.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// Runs it where it keeps no other request waiting.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let finished = tokio::task::spawn_blocking(work).await;
    finished.map_err(|error| Error::Internal { cause: error.to_string() })
}

/// The same in one of a few places. Who stops waiting does not free it, for the work goes on.
pub async fn blocking_in_turn<T: Send + 'static>(
    places: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let place = places.clone().acquire_owned().await;
    let place = place.map_err(|error| Error::Internal { cause: error.to_string() })?;
    blocking(move || {
        let _place = place;
        work()
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_place_stays_taken_while_the_work_goes_on_though_nobody_waits_for_it() {
        let places = Arc::new(Semaphore::new(1));
        let (has_begun, began) = oneshot::channel();
        let (let_go, gate) = mpsc::channel::<()>();
        let caller = tokio::spawn({
            let places = places.clone();
            let work = move || {
                has_begun.send(()).ok();
                gate.recv().ok();
            };
            async move { blocking_in_turn(&places, work).await }
        });
        began.await.expect("the work began");
        caller.abort();
        assert!(caller.await.is_err(), "the caller is gone");
        assert_eq!(places.available_permits(), 0);
        let_go.send(()).expect("the work goes on");
        blocking_in_turn(&places, || ()).await.expect("the place is free again");
    }
}

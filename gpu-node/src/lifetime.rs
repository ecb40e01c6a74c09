//! A node's life after its start: it serves until it is told to stop, drains, and closes the door behind it.

use std::{future::Future, io, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    time,
};

use crate::{app, fleet::Membership, jobs::JobBook, state::AppState, uploads::Uploads};

/// How long a stopped engine may take to its next `emit`.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long open connections may take to end once nothing runs.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often results that grew old are looked for, should nobody ask for any.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// How long a node that leaves waits.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the jobs that run.
    pub drain: Duration,
    /// For their results to be fetched.
    pub linger: Duration,
}

/// Serves until `stop`, then drains: nothing new, what runs ends, results are fetched, the door closes.
pub async fn serve_until(
    listener: TcpListener,
    state: AppState,
    membership: Option<Membership>,
    patience: Patience,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let leaving = state.clone();
    let (close_door, door_closes) = oneshot::channel::<()>();
    let mut server = tokio::spawn(app::serve(listener, state, async {
        let _ = door_closes.await;
    }));
    let sweeper = tokio::spawn(sweep(leaving.jobs.book.clone(), leaving.uploads.clone()));
    tracing::info!("listening on http://{address}");

    stop.await;
    drain(&leaving, membership, patience).await;

    // Nobody waits for the answer when the server is gone already.
    let _ = close_door.send(());
    if time::timeout(CLOSE_TIMEOUT, &mut server).await.is_err() {
        tracing::warn!("some connections were still open");
        server.abort();
    }
    sweeper.abort();
    tracing::info!("stopped");
    Ok(())
}

async fn drain(state: &AppState, membership: Option<Membership>, patience: Patience) {
    let (jobs, open_answers) = (&state.jobs, &state.open_answers);
    let idle =
        || async { tokio::join!(jobs.book.wait_until_idle(), open_answers.wait_until_idle()) };
    tracing::info!("draining");
    jobs.close();
    if let Some(membership) = &membership {
        membership.announce();
    }
    if time::timeout(patience.drain, idle()).await.is_err() {
        tracing::warn!("stopping what still runs");
        jobs.stop_running();
        if time::timeout(STOP_TIMEOUT, idle()).await.is_err() {
            tracing::error!("an engine does not stop");
        }
    }
    let fetched = jobs.book.wait_until_fetched(patience.linger);
    let told = async {
        if let Some(webhooks) = &state.webhooks {
            webhooks.wait_until_idle().await;
        }
    };
    if time::timeout(patience.linger, async { tokio::join!(fetched, told) }).await.is_err() {
        tracing::warn!("some results were not fetched, or some webhooks not taken");
    }
    if let Some(membership) = membership {
        membership.leave().await;
    }
}

async fn sweep(book: Arc<JobBook>, uploads: Arc<Uploads>) {
    let mut ticks = time::interval(SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        book.sweep();
        uploads.sweep();
    }
}

/// How many times this process was asked to stop, for whoever waits for the first and the second.
pub fn watch_signals() -> io::Result<(watch::Receiver<u32>, watch::Receiver<u32>)> {
    let (count, first) = watch::channel(0);
    let second = first.clone();
    let mut signals = Signals::listen()?;
    tokio::spawn(async move {
        loop {
            signals.next().await;
            count.send_modify(|count| *count += 1);
        }
    });
    Ok((first, second))
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // Without a handler there is no signal to wait for; the process ends as the system has it.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

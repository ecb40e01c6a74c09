//! What can be done with jobs, free of HTTP: create, find, follow, fetch, delete, and drain.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::Stream;
use shared::{
    errors::FieldError,
    ids::JobId,
    node::{
        image::ImageInput,
        jobs::{CreateNodeJob, NodeEvent, NodeJob},
    },
};
use tokio::{sync::Semaphore, time};

use super::{
    book::{JobBook, still_busy},
    observer::ImageObserver,
    order::KeptOrder,
    origin::Origin,
    run::{INVALID_INPUT, NumberedEvent, Run, StoredArtifact},
    view::{Phase, StopCause},
};
use crate::{
    blocking::blocking_in_turn,
    catalog::{Catalog, ServedModel, Unready},
    engines::image::{ImageEngine, ImageJob, ModelDefaults},
    error::{Error, RETRY_AFTER_DRAIN_MS, Result},
    scheduler::{Lane, LaneJob, Refused},
};

/// Orders whose pictures are read at once: each may take a core and 540 MB for a moment (8,000 × 8,000 pixels).
const PICTURE_READERS: usize = 2;
/// What is kept of the words on an order that was refused; they may name every field that its caller made up.
const REFUSAL_MAX_CHARS: usize = 2_000;
/// How long a retry waits for an engine that was told to stop. A step takes seconds at most where there is a card.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A job that was created, or found because it was created before.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    pub job: NodeJob,
    pub is_new: bool,
}

/// How busy the node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    pub running: u32,
    pub queued: u32,
}

type Served<'a> = (&'a ServedModel, &'a Lane<ImageEngine>);

/// The jobs of one node.
pub struct Jobs {
    pub catalog: Catalog,
    pub book: Arc<JobBook>,
    is_draining: AtomicBool,
    picture_readers: Arc<Semaphore>,
}

impl Jobs {
    /// No jobs yet.
    pub fn new(catalog: Catalog, book: Arc<JobBook>) -> Self {
        let (is_draining, picture_readers) =
            (AtomicBool::new(false), Arc::new(Semaphore::new(PICTURE_READERS)));
        Self { catalog, book, is_draining, picture_readers }
    }

    /// Queues the job; the same order sent again attaches to its run. Whoever stops waiting for it before its pictures
    /// are read has ordered nothing.
    pub async fn create_job(&self, order: CreateNodeJob) -> Result<Opened> {
        let (run, is_new) = self.open_job(order, Origin::native()).await?;
        Ok(Opened { job: self.describe(&run), is_new })
    }

    /// Queues the job that came with that origin; the flag says whether it is new.
    pub async fn open_job(&self, order: CreateNodeJob, origin: Origin) -> Result<(Arc<Run>, bool)> {
        let (served, order, input) = self.read(order).await?;
        self.book.open(order, origin, |run| self.submit(run, served, input))
    }

    /// A job whose order cannot be carried out: it failed before it began. Its input is not kept, for nothing bounds it.
    pub fn open_failed(
        &self,
        order: CreateNodeJob,
        origin: Origin,
        detail: String,
    ) -> Result<Arc<Run>> {
        if self.is_draining() {
            return Err(draining());
        }
        let origin = Origin { input: None, ..origin };
        let (run, _) = self.book.open(order.into(), origin, |_| Ok(()))?;
        self.book.settle(&run, refused(shortened(detail)), Vec::new());
        Ok(run)
    }

    /// Queues a job again that failed, with its input as it came, for a run keeps no pictures; what could not be read
    /// then cannot be now.
    pub async fn retry_job(&self, failed: &Run, image: Option<ImageInput>) -> Result<Arc<Run>> {
        let id = failed.order.id;
        if failed.phase() == Phase::TimedOut {
            let stopped = failed.wait_until(|standing| standing.is_over);
            time::timeout(STOP_PATIENCE, stopped).await.map_err(|_| still_busy())?;
        }
        if failed.is_data_removed() && !failed.was_refused() {
            return Err(Error::Conflict("the input of the job is gone: order it anew"));
        }
        let image = image.filter(|_| !failed.was_refused());
        let read = match image {
            Some(image) => self.read(CreateNodeJob { image, ..failed.order.clone() }).await,
            None => Err(Error::InvalidFields(Vec::new())),
        };
        match read {
            Ok((_, order, _)) if !failed.is_of(&order) => {
                Err(Error::Conflict("the pictures that came with the job are gone: order it anew"))
            }
            Ok((served, _, input)) => self.book.reopen(id, |run| self.submit(run, served, input)),
            Err(Error::InvalidFields(_)) => {
                let run = self.book.reopen(id, |_| Ok(()))?;
                let detail = failed.view().failure().unwrap_or_default().to_owned();
                self.book.settle(&run, refused(detail), Vec::new());
                Ok(run)
            }
            Err(error) => Err(error),
        }
    }

    /// Stops a job for that cause; one that ended is left alone.
    pub fn stop_job(&self, run: &Run, cause: StopCause) {
        if run.stop(cause)
            && let Some((_, lane)) = self.catalog.find_image(&run.order.model)
        {
            lane.cancel(run.order.id);
        }
    }

    /// Stops every job of that model that waits, and says how many they were.
    pub fn stop_waiting(&self, model: &str) -> usize {
        let Some((_, lane)) = self.catalog.find_image(model) else { return 0 };
        let runs = self.book.list();
        let stopped = runs
            .iter()
            .filter(|run| run.order.model == model && run.stop_waiting(StopCause::Asked));
        stopped.inspect(|run| lane.cancel(run.order.id)).count()
    }

    /// All results of a run; they count as fetched from now on.
    pub fn fetch_artifacts(&self, run: &Run) -> Vec<StoredArtifact> {
        let stored = run.fetch_all();
        self.book.note_fetched();
        stored
    }

    async fn read(&self, order: CreateNodeJob) -> Result<(Served<'_>, KeptOrder, ImageJob)> {
        let (model, lane) =
            self.catalog.find_image(&order.model).ok_or_else(|| unknown_model(&order.model))?;
        let defaults =
            model.manifest.defaults.image().ok_or_else(|| unknown_model(&order.model))?.clone();
        let (order, input) = if order.image.images.is_empty() {
            read_order(order, &defaults)?
        } else {
            blocking_in_turn(&self.picture_readers, move || read_order(order, &defaults)).await??
        };
        Ok(((model, lane), order, input))
    }

    /// Where the job stands.
    pub fn find_job(&self, id: JobId) -> Result<NodeJob> {
        Ok(self.describe(&*self.find_run(id)?))
    }

    /// The job's events after `last_seen`, up to the one that ends it.
    pub fn follow_job(
        &self,
        id: JobId,
        last_seen: Option<u64>,
    ) -> Result<impl Stream<Item = NumberedEvent> + use<>> {
        Ok(self.find_run(id)?.follow(last_seen))
    }

    /// One result of the job.
    pub fn find_artifact(&self, id: JobId, index: u32) -> Result<StoredArtifact> {
        let stored = self.find_run(id)?.fetch_artifact(index).ok_or(Error::NotFound("artifact"))?;
        self.book.note_fetched();
        Ok(stored)
    }

    /// Cancels a job under way; forgets one that ended.
    pub fn delete_job(&self, id: JobId) -> Result<()> {
        let run = self.find_run(id)?;
        if !self.book.forget_ended(id) {
            self.stop_job(&run, StopCause::Asked);
        }
        Ok(())
    }

    /// Takes nothing new from now on and hands back what waits.
    pub fn close(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        for model in self.catalog.models() {
            model.control().close();
        }
    }

    /// Stops what still runs: the drain has lasted long enough.
    pub fn stop_running(&self) {
        for model in self.catalog.models() {
            model.control().stop_running();
        }
    }

    /// Whether [`Jobs::close`] was called.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// How busy the lanes are.
    pub fn load(&self) -> Load {
        let mut load = Load { running: 0, queued: 0 };
        for lane in self.catalog.models().iter().map(ServedModel::control) {
            load.running += lane.running() as u32;
            load.queued += lane.status().waiting as u32;
        }
        load
    }

    /// Fails with the reason while no job should be sent here; all of it only for those who may call the node.
    pub fn check_ready(&self, may_call: bool) -> Result<()> {
        if self.is_draining() {
            return Err(draining());
        }
        let Some(Unready { reason, detail }) = self.catalog.unready() else { return Ok(()) };
        let detail = match detail.filter(|_| may_call) {
            Some(detail) => format!("{reason}: {detail}"),
            None => reason,
        };
        Err(Error::Unavailable { detail, retry_after_ms: 1_000 })
    }

    fn submit(&self, run: &Arc<Run>, (model, lane): Served<'_>, input: ImageJob) -> Result<()> {
        let pixels = f64::from(input.width) * f64::from(input.height);
        let observer = ImageObserver::new(
            run.clone(),
            self.book.clone(),
            model.manifest.revision.clone(),
            model.engine_version,
        );
        let job = LaneJob {
            id: run.order.id,
            weight: pixels * f64::from(input.steps) * f64::from(input.num_images),
            input,
            observer: Arc::new(observer),
        };
        lane.submit(job).map_err(|refused| match refused {
            Refused::Full { retry_after_ms } => Error::QueueFull { retry_after_ms },
            Refused::Draining => draining(),
        })
    }

    /// The run of that id.
    pub fn find_run(&self, id: JobId) -> Result<Arc<Run>> {
        self.book.find(id).ok_or(Error::NotFound("job"))
    }

    fn describe(&self, run: &Run) -> NodeJob {
        let id = run.order.id;
        let place = self.catalog.find_image(&run.order.model).and_then(|(_, lane)| lane.place(id));
        NodeJob {
            id,
            status: run.phase().into(),
            model: run.order.model.clone(),
            queue_position: place.map_or(0, |place| place.position),
            estimated_ms: place.and_then(|place| place.estimated_ms),
        }
    }
}

fn read_order(order: CreateNodeJob, defaults: &ModelDefaults) -> Result<(KeptOrder, ImageJob)> {
    // 53 bits: all that a JavaScript client keeps of a number.
    let seed = rand::random::<u64>() >> 11;
    let input = ImageJob::resolve(&order.image, defaults, seed)
        .map_err(|errors| Error::InvalidFields(below("/image", errors)))?;
    Ok((order.into(), input))
}

fn shortened(mut detail: String) -> String {
    if let Some((end, _)) = detail.char_indices().nth(REFUSAL_MAX_CHARS) {
        detail.truncate(end);
        detail.push('…');
        detail.shrink_to_fit();
    }
    detail
}

fn refused(detail: String) -> NodeEvent {
    NodeEvent::Failed { code: INVALID_INPUT.to_owned(), detail, is_retryable: false }
}

fn draining() -> Error {
    Error::Unavailable {
        detail: "the node is shutting down".to_owned(),
        retry_after_ms: RETRY_AFTER_DRAIN_MS,
    }
}

fn unknown_model(name: &str) -> Error {
    Error::InvalidFields(vec![FieldError {
        pointer: "/model".to_owned(),
        code: "choice".to_owned(),
        detail: format!("this node has no model {name}"),
    }])
}

fn below(prefix: &str, errors: Vec<FieldError>) -> Vec<FieldError> {
    errors
        .into_iter()
        .map(|error| FieldError { pointer: format!("{prefix}{}", error.pointer), ..error })
        .collect()
}

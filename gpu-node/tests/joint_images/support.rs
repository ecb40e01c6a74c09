//! A model whose batches are watched and may be spoilt on purpose, and what its jobs heard.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use candle_core::{DType, Device, Result, Tensor, bail};
use gpu_node::engines::{
    Engine, EngineError, Members, Sink, Stopped,
    image::{
        EncodedImage, ImageEvent, ImageJob,
        pipeline::{LatentModel, Noisy, Pipeline, PipelineOptions},
        schedulers::Scheduler,
    },
};
use shared::node::image::{ImageFormat, SchedulerKind};

/// What is wrong with a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// Runs get each other's outputs.
    SwapsOutputs,
    /// Runs are computed with each other's words.
    SwapsWords,
    /// A batch of more pictures does not fit into memory.
    HoldsAtMost(usize),
    /// The output of the run at this place is no number.
    LosesItsNumbers(usize),
}

/// What the model is to do wrong, and the pictures of its batches so far.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) fault: Fault,
    pub(crate) batches: Vec<usize>,
}

pub(crate) struct Watched<M> {
    model: M,
    watch: Arc<Mutex<Watch>>,
}

impl<M: LatentModel> LatentModel for Watched<M> {
    type Condition = M::Condition;

    fn size_multiple(&self) -> usize {
        self.model.size_multiple()
    }

    fn latent_dims(&self, height: usize, width: usize) -> [usize; 3] {
        self.model.latent_dims(height, width)
    }

    fn condition(
        &self,
        job: &ImageJob,
        native: [usize; 2],
    ) -> std::result::Result<M::Condition, EngineError> {
        self.model.condition(job, native)
    }

    fn is_guided_by(&self, guidance: f64) -> bool {
        self.model.is_guided_by(guidance)
    }

    fn has_negative_prompts(&self) -> bool {
        self.model.has_negative_prompts()
    }

    fn scheduler(&self, job: &ImageJob, latent: [usize; 3]) -> Result<Box<dyn Scheduler>> {
        self.model.scheduler(job, latent)
    }

    fn predict(&self, timestep: f64, runs: &[Noisy<'_, M::Condition>]) -> Result<Vec<Tensor>> {
        let mut watch = self.watch.lock().unwrap();
        let pictures = runs.iter().map(|run| run.latents.dim(0).unwrap()).sum();
        watch.batches.push(pictures);
        let mut runs = runs.to_vec();
        match watch.fault {
            Fault::HoldsAtMost(most) if pictures > most => bail!("out of memory"),
            Fault::SwapsWords => {
                let words: Vec<_> = runs.iter().rev().map(|run| run.condition).collect();
                runs.iter_mut().zip(words).for_each(|(run, words)| run.condition = words);
            }
            _ => {}
        }
        let mut outputs = self.model.predict(timestep, &runs)?;
        match watch.fault {
            Fault::SwapsOutputs => outputs.reverse(),
            Fault::LosesItsNumbers(place) => outputs[place] = (&outputs[place] * f64::NAN)?,
            _ => {}
        }
        Ok(outputs)
    }

    fn encode(&self, pictures: &Tensor, noise: &Tensor) -> Result<Tensor> {
        self.model.encode(pictures, noise)
    }

    fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        self.model.decode(latents)
    }

    fn device(&self) -> &Device {
        self.model.device()
    }

    fn fits(&self, job: &ImageJob, next: &ImageJob) -> bool {
        self.model.fits(job, next)
    }

    fn picture_bytes(&self, job: &ImageJob, latent: [usize; 3]) -> u64 {
        self.model.picture_bytes(job, latent)
    }

    fn starts_from_picture(&self) -> bool {
        self.model.starts_from_picture()
    }
}

/// A model under watch in its pipeline.
pub(crate) struct Bench<M> {
    pub(crate) pipeline: Pipeline<Watched<M>>,
    pub(crate) watch: Arc<Mutex<Watch>>,
}

impl<M: LatentModel> Bench<M> {
    pub(crate) fn new(folder: &Path, load: fn(&Path, &PipelineOptions) -> Result<M>) -> Self {
        let options = PipelineOptions {
            model: "tiny".into(),
            revision: "joint".into(),
            upscale: 1,
            input_images: 2,
            device: Device::Cpu,
            dtype: DType::F32,
        };
        let watch = Arc::<Mutex<Watch>>::default();
        let model = Watched { model: load(folder, &options).unwrap(), watch: watch.clone() };
        Self { pipeline: Pipeline::new(model, options), watch }
    }

    /// What each job gets by itself, and what it hears.
    pub(crate) fn alone(&mut self, jobs: &[ImageJob]) -> Vec<(Vec<EncodedImage>, Vec<ImageEvent>)> {
        jobs.iter()
            .map(|job| {
                let mut events = Events::default();
                (self.pipeline.run(job.clone(), &mut events).unwrap(), events.0)
            })
            .collect()
    }

    /// All jobs in one pass of a model with this fault.
    pub(crate) fn together(&mut self, jobs: &[ImageJob], fault: Fault, mut heard: Heard) -> Heard {
        *self.watch.lock().unwrap() = Watch { fault, batches: Vec::new() };
        heard.ends = jobs.iter().map(|_| None).collect();
        self.pipeline.run_together(jobs.to_vec(), &mut heard);
        self.watch.lock().unwrap().fault = Fault::None;
        heard
    }

    pub(crate) fn batches(&self) -> Vec<usize> {
        self.watch.lock().unwrap().batches.clone()
    }
}

#[derive(Default)]
struct Events(Vec<ImageEvent>);

impl Sink<ImageEvent> for Events {
    fn emit(&mut self, event: ImageEvent) -> std::result::Result<(), Stopped> {
        self.0.push(event);
        Ok(())
    }
}

/// What the jobs of a pass heard, in the order they heard it.
#[derive(Default)]
pub(crate) struct Heard {
    /// The place of a job, and its event; `None` for its end.
    pub(crate) log: Vec<(usize, Option<ImageEvent>)>,
    pub(crate) ends: Vec<Option<std::result::Result<Vec<EncodedImage>, EngineError>>>,
    /// Nobody wants that job's result any more after that step.
    pub(crate) stop: Option<(usize, u32)>,
}

impl Heard {
    pub(crate) fn pictures(&self, place: usize) -> &[EncodedImage] {
        self.ends[place].as_ref().unwrap().as_ref().unwrap()
    }

    pub(crate) fn failure(&self, place: usize) -> &EngineError {
        self.ends[place].as_ref().unwrap().as_ref().unwrap_err()
    }

    pub(crate) fn events(&self, place: usize) -> Vec<ImageEvent> {
        let of_place = self.log.iter().filter(|(other, _)| *other == place);
        of_place.filter_map(|(_, event)| event.clone()).collect()
    }
}

impl Members<ImageEvent, Vec<EncodedImage>> for Heard {
    fn emit(&mut self, place: usize, event: ImageEvent) -> std::result::Result<(), Stopped> {
        let stops = |(other, last): (usize, u32)| {
            let is_last = matches!(event, ImageEvent::Step { step, .. } if step == last);
            other == place && is_last
        };
        let stops = self.stop.is_some_and(stops);
        self.log.push((place, Some(event)));
        if stops { Err(Stopped) } else { Ok(()) }
    }

    fn ended(&mut self, place: usize, result: std::result::Result<Vec<EncodedImage>, EngineError>) {
        self.log.push((place, None));
        let before = self.ends[place].replace(result);
        assert!(before.is_none(), "job {place} ended twice");
    }
}

/// The folder of one tiny model.
pub(crate) fn tiny(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny").join(model)
}

/// Three steps to a picture without a word of how it was made: equal bytes are equal pixels.
pub(crate) fn job(prompt: &str, seed: u64) -> ImageJob {
    ImageJob {
        prompt: prompt.into(),
        negative_prompt: String::new(),
        width: 24,
        height: 16,
        steps: 3,
        guidance: 5.0,
        seed,
        scheduler: SchedulerKind::FlowMatchEuler,
        num_images: 1,
        format: ImageFormat::Png,
        quality: None,
        images: Vec::new(),
        strength: 1.0,
        previews: 0,
        metadata: false,
    }
}

//! Runs that go through a model in one batch, step by step: each keeps its words, its noise and its end.
//!
//! All but the model's own part is done for each run by itself, so a run that leaves takes nothing along.

use candle_core::{IndexOp, Tensor};

use super::{Denoising, LatentModel, Noisy, Pipeline, denoise::Run, pixels::to_picture};
use crate::engines::{
    EngineError, Members, Sink, Stopped,
    image::{ImageEvent, picture::encode_preview},
};

/// Runs that stand at the same moment, with their places among the members.
pub(super) struct Pass<'a, C> {
    runs: Vec<(usize, Run<'a, C>)>,
    /// Runs that are given to the model at once; fewer after a batch that failed.
    batch_max: usize,
}

impl<C> Default for Pass<'_, C> {
    fn default() -> Self {
        Self { runs: Vec::new(), batch_max: usize::MAX }
    }
}

impl<'a, C> Pass<'a, C> {
    /// Takes a run in, if it has the size and the steps of those that are in already.
    pub(super) fn add(&mut self, place: usize, run: Run<'a, C>) -> Result<(), EngineError> {
        if let Some((_, first)) = self.runs.first() {
            let same_size = first.latents.dims()[1..] == run.latents.dims()[1..];
            if !same_size || first.ahead() != run.ahead() {
                return Err(EngineError::Failed("this run takes other steps".to_owned()));
            }
        }
        self.runs.push((place, run));
        Ok(())
    }

    /// What is still in, in the order of the places.
    pub(super) fn into_runs(self) -> impl Iterator<Item = (usize, Run<'a, C>)> {
        self.runs.into_iter()
    }
}

impl<M: LatentModel> Pipeline<M> {
    /// From noise to scaled latents, as the only run of its pass.
    pub fn denoise(
        &self,
        denoising: &Denoising<'_, M::Condition>,
        sink: &mut dyn Sink<ImageEvent>,
    ) -> Result<Tensor, EngineError> {
        let mut alone = Alone::<Tensor>::new(sink);
        let mut pass = Pass::default();
        pass.add(0, Run::begin(&self.model, denoising)?)?;
        while self.step(&mut pass, &mut alone) {}
        if let Some(run) = pass.into_runs().next() {
            alone.ended(0, run.1.finish());
        }
        alone.into_end()
    }

    /// Does the next step of one run of a pass, and tells of it.
    fn advance<O>(
        &self,
        (place, run): (usize, &mut Run<'_, M::Condition>),
        output: &Tensor,
        members: &mut dyn Members<ImageEvent, O>,
    ) -> Result<(), EngineError> {
        let ([step, steps], original) = run.advance(output)?;
        members.emit(place, ImageEvent::Step { step, steps })?;
        let Some(original) = original else { return Ok(()) };
        for index in 0..original.dim(0)? {
            let pixels = self.model.decode(&original.narrow(0, index, 1)?)?;
            let jpeg = encode_preview(to_picture(&pixels.i(0)?)?)?;
            members.emit(place, ImageEvent::Preview { index: index as u32, step, jpeg })?;
        }
        Ok(())
    }

    /// One step of all runs; `false` when none is left to do. A run that is stopped or fails leaves the pass.
    pub(super) fn step<O>(
        &self,
        pass: &mut Pass<'_, M::Condition>,
        members: &mut dyn Members<ImageEvent, O>,
    ) -> bool {
        let Some(timestep) = pass.runs.first().and_then(|(_, run)| run.ahead().first()).copied()
        else {
            return false;
        };
        let mut outputs = self.predict(timestep, pass).into_iter();
        pass.runs.retain_mut(|(place, run)| {
            let output = outputs.next().unwrap_or_else(|| Err(missing()));
            let stepped = output.and_then(|output| self.advance((*place, run), &output, members));
            match stepped {
                Ok(()) => true,
                Err(error) => {
                    members.ended(*place, Err(error));
                    false
                }
            }
        });
        true
    }

    /// The model's output for each run, in batches. One that fails, for want of memory or by the fault of a single
    /// run, is tried again by halves.
    fn predict(
        &self,
        timestep: f64,
        pass: &mut Pass<'_, M::Condition>,
    ) -> Vec<Result<Tensor, EngineError>> {
        let (count, mut outputs) = (pass.runs.len(), Vec::with_capacity(pass.runs.len()));
        while outputs.len() < count {
            let size = pass.batch_max.min(count - outputs.len());
            let batch = &pass.runs[outputs.len()..outputs.len() + size];
            match self.predict_batch(timestep, batch) {
                Ok(found) => outputs.extend(found.into_iter().map(Ok)),
                Err(_) if size > 1 => pass.batch_max = size.div_ceil(2),
                Err(error) => {
                    outputs.push(Err(error));
                    // It was this run's fault: the others fit together as before.
                    pass.batch_max = usize::MAX;
                }
            }
        }
        outputs
    }

    fn predict_batch(
        &self,
        timestep: f64,
        batch: &[(usize, Run<'_, M::Condition>)],
    ) -> Result<Vec<Tensor>, EngineError> {
        let noisy = batch
            .iter()
            .map(|(_, run)| Ok(Noisy { latents: run.input()?, condition: run.condition }))
            .collect::<candle_core::Result<Vec<_>>>()?;
        let outputs = self.model.predict(timestep, &noisy)?;
        if outputs.len() == batch.len() { Ok(outputs) } else { Err(missing()) }
    }
}

fn missing() -> EngineError {
    EngineError::Failed("the model gave no output for a run".to_owned())
}

/// A run that is the only member of its pass.
pub(super) struct Alone<'a, O> {
    sink: &'a mut dyn Sink<ImageEvent>,
    end: Option<Result<O, EngineError>>,
}

impl<'a, O> Alone<'a, O> {
    pub(super) fn new(sink: &'a mut dyn Sink<ImageEvent>) -> Self {
        Self { sink, end: None }
    }

    /// How it ended.
    pub(super) fn into_end(self) -> Result<O, EngineError> {
        self.end.unwrap_or_else(|| Err(missing()))
    }
}

impl<O> Members<ImageEvent, O> for Alone<'_, O> {
    fn emit(&mut self, _place: usize, event: ImageEvent) -> Result<(), Stopped> {
        self.sink.emit(event)
    }

    fn ended(&mut self, _place: usize, result: Result<O, EngineError>) {
        self.end = Some(result);
    }
}

//! Latents of several runs as batches for a model, and its outputs apart again.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::Noisy;

/// Height times width of latents.
const SMALL_AREA: usize = 32 * 32;

/// Whether each thread takes runs of its own. On a CPU the products of small latents are too short to be shared by
/// threads; large ones need all threads, and memory for one at a time.
pub(super) fn are_for_one_thread(latents: &Tensor) -> bool {
    let area: usize = latents.dims().iter().skip(2).product();
    latents.device().is_cpu() && area <= SMALL_AREA
}

/// The outputs of all runs: from one batch, or from one of each thread where that is faster.
pub(in crate::engines::image) fn shared_out<C: Sync>(
    runs: &[Noisy<'_, C>],
    predict: impl Fn(&[Noisy<'_, C>]) -> Result<Vec<Tensor>> + Send + Sync,
) -> Result<Vec<Tensor>> {
    let is_small = runs.first().is_some_and(|run| are_for_one_thread(&run.latents));
    if !is_small || runs.len() == 1 {
        return predict(runs);
    }
    let share = runs.len().div_ceil(rayon::current_num_threads());
    Ok(runs.par_chunks(share).map(predict).collect::<Result<Vec<_>>>()?.concat())
}

/// All latents as one batch.
pub(in crate::engines::image) fn batch<C>(runs: &[Noisy<'_, C>]) -> Result<Tensor> {
    let latents: Vec<&Tensor> = runs.iter().map(|run| &run.latents).collect();
    Tensor::cat(&latents, 0)
}

/// What [`batch`] put together, apart again.
pub(in crate::engines::image) fn apart<C>(
    output: &Tensor,
    runs: &[Noisy<'_, C>],
) -> Result<Vec<Tensor>> {
    let mut first = 0;
    runs.iter()
        .map(|run| {
            let count = run.latents.dim(0)?;
            first += count;
            output.narrow(0, first - count, count)
        })
        .collect()
}

/// `away + guidance · (towards − away)` of each run that has a guidance, from one batch of all: such a run's
/// pictures are in it twice, first for what they steer away from.
pub(in crate::engines::image) fn guided<C>(
    runs: &[Noisy<'_, C>],
    guidance: impl Fn(&C) -> Option<f64>,
    forward: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let halves: Vec<Noisy<'_, C>> = runs
        .iter()
        .flat_map(|run| {
            let copies = if guidance(run.condition).is_some() { 2 } else { 1 };
            std::iter::repeat_n(run, copies).cloned()
        })
        .collect();
    let mut outputs = apart(&forward(&batch(&halves)?)?, &halves)?.into_iter();
    let mut next = || match outputs.next() {
        Some(output) => Ok(output),
        None => candle_core::bail!("a run has no output"),
    };
    runs.iter()
        .map(|run| {
            let first = next()?;
            let Some(guidance) = guidance(run.condition) else { return Ok(first) };
            let away = first;
            &away + ((next()? - &away)? * guidance)?
        })
        .collect()
}

/// Gives latents, each with what belongs to it, to a model in one batch for each key, and its outputs in their order.
/// `forward` also hears for how many pictures each belonging counts.
pub(in crate::engines::image) fn in_groups<T: Copy, K: PartialEq>(
    all: &[(&Tensor, T)],
    key: impl Fn(T) -> Result<K>,
    forward: impl Fn(&Tensor, &[(T, usize)]) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let keys = all.iter().map(|(_, with)| key(*with)).collect::<Result<Vec<_>>>()?;
    let mut outputs = vec![None; all.len()];
    for first in 0..all.len() {
        if outputs[first].is_some() {
            continue;
        }
        let group: Vec<usize> = (first..all.len()).filter(|at| keys[*at] == keys[first]).collect();
        let latents: Vec<&Tensor> = group.iter().map(|at| all[*at].0).collect();
        let with = group
            .iter()
            .map(|at| Ok((all[*at].1, all[*at].0.dim(0)?)))
            .collect::<Result<Vec<_>>>()?;
        let output = forward(&Tensor::cat(&latents, 0)?, &with)?;
        let mut row = 0;
        for (at, (_, pictures)) in group.into_iter().zip(with) {
            outputs[at] = Some(output.narrow(0, row, pictures)?);
            row += pictures;
        }
    }
    Ok(outputs.into_iter().flatten().collect())
}

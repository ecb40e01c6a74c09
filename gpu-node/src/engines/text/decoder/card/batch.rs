//! The rows of one pass, put in groups that attend together.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};

use super::BLOCK_TOKENS;
use crate::engines::text::{config::DecoderConfig, model::SequenceRows};

/// What all layers must know about a pass.
#[derive(Debug)]
pub(super) struct Batch {
    /// Where in the cache each row's keys and values go.
    pub(super) slots: Tensor,
    pub(super) cos: Tensor,
    pub(super) sin: Tensor,
    pub(super) groups: Vec<Group>,
    /// Brings the groups' rows back to the order of the pass.
    pub(super) order: Tensor,
}

/// Sequences with equally many new rows. Those with one, which go on, are a group; each prompt is one.
#[derive(Debug)]
pub(super) struct Group {
    /// The group's rows in the pass.
    pub(super) rows: Tensor,
    pub(super) sequences: usize,
    /// Blocks of all sequences, each filled up to the most that one has.
    pub(super) blocks: Tensor,
    /// Tokens of the longest sequence.
    pub(super) tokens: usize,
    /// Per window of the model's layers: 0 where a row sees a token, -∞ elsewhere.
    masks: Vec<(Option<usize>, Tensor)>,
}

impl Batch {
    pub(super) fn new(
        config: &DecoderConfig,
        sequences: &[SequenceRows<'_>],
        (dtype, device): (DType, &Device),
    ) -> Result<Self> {
        let (mut slots, mut cos, mut sin) = (Vec::new(), Vec::new(), Vec::new());
        for sequence in sequences {
            for position in new_positions(sequence) {
                let block = sequence.blocks[position / BLOCK_TOKENS] as usize;
                slots.push((block * BLOCK_TOKENS + position % BLOCK_TOKENS) as u32);
                let angles = config.rope.angles(position);
                cos.extend(angles.0);
                sin.extend(angles.1);
            }
        }
        let mut windows: Vec<Option<usize>> =
            config.layers.iter().map(|layer| layer.window).collect();
        windows.sort_unstable();
        windows.dedup();
        let (mut groups, mut order) = (Vec::new(), vec![0_u32; slots.len()]);
        let mut placed = 0;
        for members in grouped(sequences) {
            let rows: Vec<u32> = members
                .iter()
                .flat_map(|(first, sequence)| {
                    (*first..first + sequence.tokens.len()).map(|row| row as u32)
                })
                .collect();
            for row in &rows {
                order[*row as usize] = placed;
                placed += 1;
            }
            groups.push(Group::new(&members, rows, &windows, device)?);
        }
        let (count, pairs) = (slots.len(), config.rope.frequencies.len());
        let angles = |angles| Tensor::from_vec(angles, (count, pairs), device)?.to_dtype(dtype);
        Ok(Self {
            slots: Tensor::from_vec(slots, (count, 1), device)?,
            cos: angles(cos)?,
            sin: angles(sin)?,
            groups,
            order: Tensor::from_vec(order, count, device)?,
        })
    }
}

fn new_positions(sequence: &SequenceRows<'_>) -> Range<usize> {
    sequence.start..sequence.start + sequence.tokens.len()
}

/// Each sequence with its first row in the pass.
type Member<'a, 'b> = (usize, &'a SequenceRows<'b>);

fn grouped<'a, 'b>(sequences: &'a [SequenceRows<'b>]) -> Vec<Vec<Member<'a, 'b>>> {
    let (mut single, mut groups) = (Vec::new(), Vec::new());
    let mut first = 0;
    for sequence in sequences {
        match sequence.tokens.len() {
            0 => {}
            1 => single.push((first, sequence)),
            _ => groups.push(vec![(first, sequence)]),
        }
        first += sequence.tokens.len();
    }
    if !single.is_empty() {
        groups.push(single);
    }
    groups
}

impl Group {
    fn new(
        members: &[Member<'_, '_>],
        rows: Vec<u32>,
        windows: &[Option<usize>],
        device: &Device,
    ) -> Result<Self> {
        let ends = members.iter().map(|(_, sequence)| new_positions(sequence).end);
        let tokens = ends.max().unwrap_or(0);
        let most = tokens.div_ceil(BLOCK_TOKENS);
        let blocks: Vec<u32> = members
            .iter()
            .flat_map(|(_, sequence)| {
                (0..most).map(|index| sequence.blocks.get(index).copied().unwrap_or(0))
            })
            .collect();
        let rows_each = rows.len() / members.len();
        let mask = |window: Option<usize>| -> Result<Tensor> {
            let mut mask = vec![f32::NEG_INFINITY; rows.len() * tokens];
            let positions = members.iter().flat_map(|(_, sequence)| new_positions(sequence));
            for (position, row) in positions.zip(mask.chunks_mut(tokens)) {
                let start = window.map_or(0, |window| (position + 1).saturating_sub(window));
                row[start..=position].fill(0.0);
            }
            Tensor::from_vec(mask, (members.len(), 1, 1, rows_each, tokens), device)
        };
        let masks =
            windows.iter().map(|window| Ok((*window, mask(*window)?))).collect::<Result<_>>()?;
        let (row_count, block_count) = (rows.len(), blocks.len());
        Ok(Self {
            sequences: members.len(),
            blocks: Tensor::from_vec(blocks, block_count, device)?,
            tokens,
            masks,
            rows: Tensor::from_vec(rows, row_count, device)?,
        })
    }

    /// `(sequences, 1, 1, rows each, tokens)`.
    pub(super) fn mask(&self, window: Option<usize>) -> Option<&Tensor> {
        self.masks.iter().find(|(of, _)| *of == window).map(|(_, mask)| mask)
    }
}

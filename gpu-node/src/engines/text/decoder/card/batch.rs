//! The rows of one pass, put in groups that attend together.

use std::{iter::repeat, ops::Range};

use candle_core::{DType, Device, Result, Tensor};

use super::BLOCK_TOKENS;
use crate::engines::text::{config::DecoderConfig, decoder::pass::last_seen, model::SequenceRows};

/// Tokens whose keys and values one group copies out of the cache, those that fill up shorter sequences included.
const GATHERED_TOKENS: usize = 128 * 1024;

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

/// Sequences with equally many new rows. Those with one, which go on, are in few groups; each prompt is one.
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
    /// Sequences beyond the end of `padding` have none.
    pub(super) fn new(
        config: &DecoderConfig,
        (sequences, padding): (&[SequenceRows<'_>], &[usize]),
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
        for members in grouped(sequences, padding) {
            let rows: Vec<u32> = members
                .iter()
                .flat_map(|Member { first, sequence, .. }| {
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

/// A sequence, its first row in the pass and how much of it is padding.
struct Member<'a, 'b> {
    first: usize,
    sequence: &'a SequenceRows<'b>,
    padding: usize,
}

fn grouped<'a, 'b>(
    sequences: &'a [SequenceRows<'b>],
    padding: &[usize],
) -> Vec<Vec<Member<'a, 'b>>> {
    let (mut single, mut groups) = (Vec::new(), Vec::new());
    let mut first = 0;
    for (sequence, padding) in sequences.iter().zip(padding.iter().copied().chain(repeat(0))) {
        let member = Member { first, sequence, padding };
        match sequence.tokens.len() {
            0 => {}
            1 => single.push(member),
            _ => groups.push(vec![member]),
        }
        first += sequence.tokens.len();
    }
    // One long sequence would fill up all others: those of like length go together, as many as fit.
    single.sort_by_key(|member| new_positions(member.sequence).end);
    let mut group: Vec<Member<'a, 'b>> = Vec::new();
    for member in single {
        let longest = new_positions(member.sequence).end;
        if !group.is_empty() && (group.len() + 1) * longest > GATHERED_TOKENS {
            groups.push(std::mem::take(&mut group));
        }
        group.push(member);
    }
    if !group.is_empty() {
        groups.push(group);
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
        let ends = members.iter().map(|member| new_positions(member.sequence).end);
        let tokens = ends.max().unwrap_or(0);
        let most = tokens.div_ceil(BLOCK_TOKENS);
        let blocks: Vec<u32> = members
            .iter()
            .flat_map(|member| {
                (0..most).map(|index| member.sequence.blocks.get(index).copied().unwrap_or(0))
            })
            .collect();
        let rows_each = rows.len() / members.len();
        let mask = |window: Option<usize>| -> Result<Tensor> {
            let mut mask = vec![f32::NEG_INFINITY; rows.len() * tokens];
            let lasts = members.iter().flat_map(|member| {
                let Member { sequence, padding, .. } = *member;
                new_positions(sequence).map(move |at| last_seen(sequence, padding, at))
            });
            for (last, row) in lasts.zip(mask.chunks_mut(tokens)) {
                let start = window.map_or(0, |window| (last + 1).saturating_sub(window));
                row[start..=last].fill(0.0);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::text::model::WantedLogits;

    #[test]
    fn a_long_sequence_does_not_fill_up_the_short_ones() {
        let row =
            |start| SequenceRows { tokens: &[1], start, blocks: &[], wanted: WantedLogits::Last };
        let mut sequences: Vec<SequenceRows<'_>> = (0..100).map(|_| row(999)).collect();
        sequences.push(row(119_999));
        let groups = grouped(&sequences, &[]);
        let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
        assert_eq!(sizes, [100, 1]);
        let many: Vec<SequenceRows<'_>> = (0..3).map(|_| row(60_000)).collect();
        let sizes: Vec<usize> = grouped(&many, &[]).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 1]);
    }
}

//! Attention of each row to the cached tokens of its sequence, block by block in their order.
//!
//! A row's sums run over its own tokens alone, so neither other sequences nor the cut of a prompt change a bit.
#![allow(
    clippy::needless_range_loop,
    reason = "iterators over small arrays are not always inlined, and then lose the vector instructions"
)]

use rayon::prelude::*;

use super::{
    cache::{BLOCK_TOKENS, BlockShape, LayerCache},
    lanes::{LANES, LaneWork, Lanes, on_lanes},
};
use crate::engines::layers::vector::{exp, vectorised};

/// One row: where its sequence's tokens lie, and the last that it sees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) blocks: &'a [u32],
    pub(crate) position: usize,
}

/// Attention of one layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attention {
    pub(crate) heads: usize,
    pub(crate) shape: BlockShape,
    pub(crate) window: Option<usize>,
}

impl Attention {
    /// From queries of all heads to the mixed values of all heads, row by row.
    pub(crate) fn forward(
        &self,
        queries: &[f32],
        cache: &LayerCache,
        places: &[Place<'_>],
    ) -> Vec<f32> {
        let shape = self.shape;
        let group = self.heads / shape.kv_heads * shape.head_width;
        let mut out = vec![0_f32; queries.len()];
        // The heads that share keys lie side by side in a row.
        out.par_chunks_mut(group).zip(queries.par_chunks(group)).enumerate().for_each_init(
            Vec::new,
            |scores: &mut Vec<f32>, (index, (out, queries))| {
                let (row, kv_head) = (index / shape.kv_heads, index % shape.kv_heads);
                let place = places[row];
                let end = place.position + 1;
                let start = self.window.map_or(0, |window| end.saturating_sub(window));
                let first_block = start / BLOCK_TOKENS;
                let blocks = &place.blocks[first_block..end.div_ceil(BLOCK_TOKENS)];
                let heads = Heads {
                    cache,
                    shape,
                    kv_head,
                    blocks,
                    seen: start - first_block * BLOCK_TOKENS..end - first_block * BLOCK_TOKENS,
                };
                heads.mix(out, queries, scores);
            },
        );
        out
    }
}

/// The heads that share one head of keys and values, in one row.
struct Heads<'a> {
    cache: &'a LayerCache,
    shape: BlockShape,
    kv_head: usize,
    blocks: &'a [u32],
    /// Tokens that are seen, counted from the first block.
    seen: std::ops::Range<usize>,
}

impl Heads<'_> {
    fn mix(&self, out: &mut [f32], queries: &[f32], scores: &mut Vec<f32>) {
        let width = self.shape.head_width;
        let room = self.blocks.len() * BLOCK_TOKENS;
        scores.clear();
        scores.resize(queries.len() / width * room, 0.0);
        on_lanes(Scores { heads: self, queries, scores: scores.as_mut_slice() });
        vectorised(|| {
            for scores in scores.chunks_exact_mut(room) {
                softmax(&mut scores[self.seen.clone()]);
            }
        });
        on_lanes(Mix { heads: self, scores, out });
    }

    /// The numbers of this head in each block.
    fn part<'b>(&self, numbers: &'b [f32], block: u32) -> &'b [f32] {
        let start = block as usize * self.shape.block() + self.kv_head * self.shape.head();
        &numbers[start..start + self.shape.head()]
    }
}

/// Products of the queries with all keys of the blocks, those not seen too.
struct Scores<'a> {
    heads: &'a Heads<'a>,
    queries: &'a [f32],
    scores: &'a mut [f32],
}

impl LaneWork for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let width = self.heads.shape.head_width;
        let room = self.heads.blocks.len() * BLOCK_TOKENS;
        let scale = 1.0 / (width as f32).sqrt();
        for (index, block) in self.heads.blocks.iter().enumerate() {
            let keys = self.heads.part(&self.heads.cache.keys, *block);
            let at = index * BLOCK_TOKENS;
            let mut queries = self.queries.chunks(4 * width);
            let mut scores = self.scores.chunks_mut(4 * room);
            while let (Some(queries), Some(scores)) = (queries.next(), scores.next()) {
                if queries.len() == 4 * width {
                    score::<L, 4>(lanes, (queries, keys), width, (scores, room, at), scale);
                } else {
                    for (query, scores) in queries.chunks(width).zip(scores.chunks_mut(room)) {
                        score::<L, 1>(lanes, (query, keys), width, (scores, room, at), scale);
                    }
                }
            }
        }
    }
}

/// `Q` queries with the keys of one block.
#[inline(always)]
fn score<L: Lanes, const Q: usize>(
    lanes: L,
    (queries, keys): (&[f32], &[f32]),
    width: usize,
    (scores, room, at): (&mut [f32], usize, usize),
    scale: f32,
) {
    let mut of_query: [&[f32]; Q] = [&[]; Q];
    for query in 0..Q {
        of_query[query] = &queries[query * width..(query + 1) * width];
    }
    let keys = &keys.as_chunks::<BLOCK_TOKENS>().0[..width];
    let mut sums = [[lanes.splat(0.0); 2]; Q];
    for number in 0..width {
        let (halves, _) = keys[number].as_chunks::<LANES>();
        let (left, right) = (lanes.load(&halves[0]), lanes.load(&halves[1]));
        for query in 0..Q {
            let x = lanes.splat(of_query[query][number]);
            sums[query][0] = lanes.mul_add(x, left, sums[query][0]);
            sums[query][1] = lanes.mul_add(x, right, sums[query][1]);
        }
    }
    for query in 0..Q {
        let scores = &mut scores[query * room + at..query * room + at + BLOCK_TOKENS];
        for (scores, sum) in scores.chunks_exact_mut(LANES).zip(&sums[query]) {
            let sum = lanes.store(*sum);
            for lane in 0..LANES {
                scores[lane] = sum[lane] * scale;
            }
        }
    }
}

#[inline(always)]
fn softmax(scores: &mut [f32]) {
    let (chunks, rest) = scores.as_chunks_mut::<LANES>();
    let mut most = [f32::NEG_INFINITY; LANES];
    for chunk in chunks.iter() {
        for (most, score) in most.iter_mut().zip(chunk) {
            *most = if *score > *most { *score } else { *most };
        }
    }
    let max = most.iter().chain(rest.iter()).copied().fold(f32::NEG_INFINITY, f32::max);
    let mut parts = [0_f32; LANES];
    for chunk in chunks {
        for (score, part) in chunk.iter_mut().zip(&mut parts) {
            *score = exp(*score - max);
            *part += *score;
        }
    }
    for (score, part) in rest.iter_mut().zip(&mut parts) {
        *score = exp(*score - max);
        *part += *score;
    }
    let inverse = 1.0 / parts.iter().sum::<f32>();
    scores.iter_mut().for_each(|score| *score *= inverse);
}

/// Sums of the seen values, weighted by their scores.
struct Mix<'a> {
    heads: &'a Heads<'a>,
    scores: &'a [f32],
    out: &'a mut [f32],
}

impl LaneWork for Mix<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) {
        let width = self.heads.shape.head_width;
        let heads = self.out.len() / width;
        let mut head = 0;
        while head < heads {
            head += if heads - head >= 4 {
                self.heads_at::<L, 4>(lanes, head)
            } else {
                self.heads_at::<L, 1>(lanes, head)
            };
        }
    }
}

impl Mix<'_> {
    #[inline(always)]
    fn heads_at<L: Lanes, const Q: usize>(&mut self, lanes: L, head: usize) -> usize {
        let width = self.heads.shape.head_width;
        let mut column = 0;
        while column < width {
            column += match width - column {
                64.. if L::HAS_MANY_REGISTERS => self.columns::<L, Q, 4>(lanes, (head, column)),
                16.. => self.columns::<L, Q, 1>(lanes, (head, column)),
                rest => self.rest::<Q>((head, column), rest),
            };
        }
        Q
    }

    /// `C` vectors of `Q` heads' results.
    #[inline(always)]
    fn columns<L: Lanes, const Q: usize, const C: usize>(
        &mut self,
        lanes: L,
        (head, column): (usize, usize),
    ) -> usize {
        let (width, seen) = (self.heads.shape.head_width, &self.heads.seen);
        let room = self.heads.blocks.len() * BLOCK_TOKENS;
        let mut sums = [[lanes.splat(0.0); C]; Q];
        for (index, block) in self.heads.blocks.iter().enumerate() {
            let values = self.heads.part(&self.heads.cache.values, *block);
            let at = index * BLOCK_TOKENS;
            let mut scores: [&[f32]; Q] = [&[]; Q];
            for query in 0..Q {
                scores[query] = &self.scores[(head + query) * room + at..][..BLOCK_TOKENS];
            }
            for token in seen.start.saturating_sub(at)..(seen.end - at).min(BLOCK_TOKENS) {
                let values = &values[token * width + column..][..C * LANES];
                let values = &values.as_chunks::<LANES>().0[..C];
                for query in 0..Q {
                    let share = lanes.splat(scores[query][token]);
                    for at in 0..C {
                        let value = lanes.load(&values[at]);
                        sums[query][at] = lanes.mul_add(share, value, sums[query][at]);
                    }
                }
            }
        }
        for query in 0..Q {
            let out = &mut self.out[(head + query) * width + column..][..C * LANES];
            for (out, sum) in out.chunks_exact_mut(LANES).zip(&sums[query]) {
                out.copy_from_slice(&lanes.store(*sum));
            }
        }
        C * LANES
    }

    /// The last numbers of a head that is no multiple of a vector wide.
    #[inline(always)]
    fn rest<const Q: usize>(&mut self, (head, column): (usize, usize), count: usize) -> usize {
        let (width, seen) = (self.heads.shape.head_width, &self.heads.seen);
        let room = self.heads.blocks.len() * BLOCK_TOKENS;
        for query in head..head + Q {
            let out = &mut self.out[query * width + column..][..count];
            for token in seen.clone() {
                let block = self.heads.blocks[token / BLOCK_TOKENS];
                let values = self.heads.part(&self.heads.cache.values, block);
                let values = &values[token % BLOCK_TOKENS * width + column..][..count];
                let share = self.scores[query * room + token];
                for (out, value) in out.iter_mut().zip(values) {
                    *out += share * value;
                }
            }
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from -1 to 1 without a pattern.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|at| ((at * 7919 + seed * 331) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    /// One row and head as the definition says, in double precision.
    fn expected(query: &[f32], keys: &[&[f32]], values: &[&[f32]]) -> Vec<f64> {
        let dot = |key: &&[f32]| -> f64 {
            query.iter().zip(*key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum()
        };
        let root = (query.len() as f64).sqrt();
        let shares: Vec<f64> = keys.iter().map(|key| (dot(key) / root).exp()).collect();
        let whole: f64 = shares.iter().sum();
        let mixed = |at: usize| -> f64 {
            shares.iter().zip(values).map(|(share, value)| share * f64::from(value[at])).sum()
        };
        (0..query.len()).map(|at| mixed(at) / whole).collect()
    }

    #[test]
    fn any_heads_widths_and_windows_are_mixed_as_defined() {
        for (heads, kv_heads, width, window) in
            [(4, 2, 20, None), (6, 1, 64, Some(24)), (7, 1, 80, None), (4, 4, 16, Some(33))]
        {
            let shape = BlockShape { kv_heads, head_width: width };
            let (rows, blocks) = (75, [2, 0, 3]);
            let keys = numbers(rows * kv_heads * width, 1);
            let values = numbers(rows * kv_heads * width, 2);
            let queries = numbers(rows * heads * width, 3);
            let places: Vec<Place<'_>> =
                (0..rows).map(|position| Place { blocks: &blocks, position }).collect();
            let mut cache = LayerCache::new(4, shape);
            cache.store_all(shape, &places, (&keys, &values));
            let found = Attention { heads, shape, window }.forward(&queries, &cache, &places);
            for (index, (found, query)) in
                found.chunks(width).zip(queries.chunks(width)).enumerate()
            {
                let (row, kv_head) = (index / heads, index % heads / (heads / kv_heads));
                let first = window.map_or(0, |window| (row + 1_usize).saturating_sub(window));
                let seen = |numbers| -> Vec<&[f32]> {
                    let heads: Vec<&[f32]> = <[f32]>::chunks(numbers, width).collect();
                    (first..=row).map(|token| heads[token * kv_heads + kv_head]).collect()
                };
                let expected = expected(query, &seen(&keys), &seen(&values));
                for (found, expected) in found.iter().zip(expected) {
                    assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
                }
            }
        }
    }
}

//! Writing blocks into panels, and reading them back for the rows of an embedding.

use super::{
    format::{Block, Format},
    lanes::Line,
    layout::Panel,
};

/// Writes one output's block `index` into its panel of zeros; a block has `per_block` lines.
pub(super) fn write(
    format: Format,
    (lines, scales): (&mut [Line], &mut [[u8; 32]]),
    per_block: usize,
    (lane, index): (usize, usize),
    block: &Block,
) {
    let lines = &mut lines[index * per_block..][..per_block];
    for (group, codes) in block.codes.as_chunks::<4>().0.iter().enumerate() {
        for (i, &code) in codes.iter().enumerate() {
            let at = lane * 4 + i;
            if per_block == 8 {
                lines[group][at] = code;
                continue;
            }
            lines[group % 4][at] |= (code & 15) << (group / 4 * 4);
            let high = code >> 4;
            match per_block {
                5 => lines[4][at] |= high << group,
                6 => lines[4 + group / 4][at] |= high << (group % 4 * 2),
                _ => {}
            }
        }
    }
    let (around, part) = (index / 8, index % 8);
    let mut set = |at: usize, bytes: [u8; 2]| scales[at][2 * lane..][..2].copy_from_slice(&bytes);
    match format {
        Format::Q4K | Format::Q5K => {
            set(around * 10, block.scale);
            set(around * 10 + 1, block.min);
            let parts = &mut scales[around * 10 + 2 + part];
            (parts[lane], parts[16 + lane]) = (block.parts[0], block.parts[1]);
        }
        Format::Q3K | Format::Q6K => {
            set(around * 9, block.scale);
            let parts = &mut scales[around * 9 + 1 + part];
            (parts[lane], parts[16 + lane]) = (block.parts[0], block.parts[1]);
        }
        _ => set(index, block.scale),
    }
}

/// Reads back what `write` wrote.
pub(super) fn read(
    format: Format,
    panel: Panel<'_>,
    per_block: usize,
    (lane, index): (usize, usize),
) -> Block {
    let lines = &panel.lines[index * per_block..][..per_block];
    let mut block = Block::default();
    for (group, codes) in block.codes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        for (i, code) in codes.iter_mut().enumerate() {
            let at = lane * 4 + i;
            *code = match per_block {
                8 => lines[group][at],
                _ => lines[group % 4][at] >> (group / 4 * 4) & 15,
            };
            match per_block {
                5 => *code |= (lines[4][at] >> group & 1) << 4,
                6 => *code |= (lines[4 + group / 4][at] >> (group % 4 * 2) & 3) << 4,
                _ => {}
            }
        }
    }
    let (around, part) = (index / 8, index % 8);
    let get = |at: usize| [panel.scales[at][2 * lane], panel.scales[at][2 * lane + 1]];
    match format {
        Format::Q4K | Format::Q5K => {
            (block.scale, block.min) = (get(around * 10), get(around * 10 + 1));
            let parts = &panel.scales[around * 10 + 2 + part];
            block.parts = [parts[lane], parts[16 + lane]];
        }
        Format::Q3K | Format::Q6K => {
            block.scale = get(around * 9);
            let parts = &panel.scales[around * 9 + 1 + part];
            block.parts = [parts[lane], parts[16 + lane]];
        }
        _ => block.scale = get(index),
    }
    block
}

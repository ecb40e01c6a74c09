// Image models on the CPU against diffusers, on the same weights and threads, in turns; and what batching gives.

import { execFileSync } from 'node:child_process';
import os from 'node:os';
import { python } from './python.mjs';
import { median, root } from './report.mjs';

const [RUNS, ROUNDS, SIDE] = [3, 3, 256];
const folder = `${root}/.local/bench-image`;
const scripts = `${root}/scripts/bench/image`;

const measured = { unet_ms: 'UNet pass with guidance', vae_ms: 'VAE decoding' };

/** Where the time goes: traced with perf and torch.profiler on two Zen 4 cores, which multiply and add about 224 billion numbers a second. */
const TRACED = [
  'The floor of a decoding: 622 billion operations, 2.8 s on two Zen 4 cores. torch spends 89 % of its time in oneDNN\'s convolutions, 7 % in group norms and SiLU, 2 % in sums and divisions, 1 % in doubling maps. Ours never makes a doubled map: each of its pixels sees only four different ones, so four 2 × 2 kernels take the place of a 3 × 3, and 526 billion operations are left, a floor of 2.35 s. 89 % of our time are products, at the processor\'s rate; 7 % the norms and SiLU, computed where a tile\'s window is filled; 3 % memory that is touched first.',
  'What made it slower before: patches copied for each pixel, weights laid out anew at each product, normed and doubled maps written to memory and read back.',
  'A scene alone: a third was writing its PNG at the default level, now one hundredth; the rest is products of 50 µs, between which threads wait for each other. In one pass each thread takes its share of the scenes for itself, and waits for nobody.',
];

/** Figures of both, as medians of the rounds, and the ratio of our time to theirs. */
export function benchImage() {
  const threads = Math.min(2, os.availableParallelism());
  python([`${scripts}/make_model.py`, folder], 'node');
  execFileSync('cargo', ['build', '--release', '--quiet', '-p', 'gpu-node', '--example', 'image_speed'], { cwd: root, stdio: 'inherit' });
  const program = `${process.env.CARGO_TARGET_DIR ?? `${root}/target`}/release/examples/image_speed`;
  const settings = [folder, threads, RUNS, SIDE].map(String);
  const [ours, theirs] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    ours.push(JSON.parse(execFileSync(program, ['parts', ...settings], { encoding: 'utf8' })));
    theirs.push(JSON.parse(python([`${scripts}/diffusers_speed.py`, ...settings], 'node')));
  }
  const rows = Object.entries(measured).map(([name, words]) => {
    const [our, their] = [ours, theirs].map((runs) => median(runs.map((run) => run[name])));
    return [`${words}, ${SIDE} × ${SIDE}`, `${Math.round(our)} ms`, `${Math.round(their)} ms`, (our / their).toFixed(2), '≤ 1.2'];
  });
  const { apart, together } = JSON.parse(execFileSync(program, ['lane', `${root}/models`, String(threads)], { encoding: 'utf8' }));
  rows.push(['eight requests for a small scene', `${together.toFixed(1)} a second together`, `${apart.toFixed(1)} a second one by one`, (together / apart).toFixed(2), '≥ 1.3']);
  const { torch, diffusers } = theirs[0];
  return {
    rows,
    notes: [
      `The shape of Stable Diffusion 1.5 with random weights in f32, ${threads} threads each, medians of ${ROUNDS} rounds in turns. diffusers ${diffusers}, torch ${torch}. The last row compares the embedded model with itself: requests that wait behind each other in a lane run in one pass.`,
      ...TRACED,
    ],
  };
}

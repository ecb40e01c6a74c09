// `npm run build:cuda [-- --capability 90]`: the node for NVIDIA cards. The same binary computes on the CPU where there is no card.

import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { statSync } from 'node:fs';
import { relative } from 'node:path';
import { CUDA_FLAGS, CUDA_TARGET, cudaEnv } from './lib/cuda-tools.mjs';
import { inRoot, ROOT } from './lib/paths.mjs';
import { CARGO_BAR, quietly } from './lib/processes.mjs';
import { command, Problem, say, step } from './lib/progress.mjs';

await command(async () => {
  // 90 is Hopper (H100, H200); 89 Ada, 80 Ampere, 120 Blackwell workstation cards.
  const { values } = parseArgs({ options: { capability: { type: 'string', default: '90' } } });
  if (!/^\d{2,3}$/.test(values.capability)) throw new Problem('--capability is a number as in sm_90: 80, 86, 89, 90, 100, 120.');
  const env = { ...(await cudaEnv(values.capability)), ...CARGO_BAR, CUDAFORGE_THREADS: String(cpus().length) };
  delete env.RUSTFLAGS;
  await step(`gpu-node for compute capability ${values.capability} (ten minutes the first time)`, (update) =>
    quietly('cargo', ['build', '--release', '-p', 'gpu-node', ...CUDA_FLAGS], { cwd: ROOT, env, update }),
  );
  const binary = inRoot('target', CUDA_TARGET, 'release', 'gpu-node');
  say(`✓ ${relative(ROOT, binary)}, ${Math.round(statSync(binary).size / 1e6)} MB`);
});

// The Worker as wrangler takes it: compiled when its sources changed, and held to its size budget.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { inRoot, LOCAL, ROOT } from './paths.mjs';
import { CARGO_BAR, quietly } from './processes.mjs';
import { Problem, say, step } from './progress.mjs';
import { wasmEnv } from './wasm-tools.mjs';

/** Cloudflare's smallest plan takes 3 MiB gzipped; ours stays far below, so that cold starts stay short. */
export const BUDGET_BYTES = 1024 * 1024;

const KINDS = {
  release: { folder: inRoot('edge', 'build'), args: ['--profile', 'edge'] },
  fast: { folder: inRoot('build', 'edge-fast'), args: ['--profile', 'edge-fast', '--no-opt'] },
  // Compiled like the product, with the benchmark's own entry.
  bench: { folder: inRoot('build', 'edge-bench'), args: ['--profile', 'edge', '--', '--features', 'bench'] },
};

/** Builds if needed; resolves with the folder that holds index.js and the wasm. */
export async function buildEdge(kind = 'release') {
  const { folder, args } = KINDS[kind];
  const stamp = join(LOCAL, `edge-${kind}.stamp`);
  const sources = fingerprint();
  if (!isFresh(folder, stamp, sources)) {
    const env = wasmEnv();
    if (!env) throw new Problem('The wasm tools are missing: run `npm run setup` first.');
    rmSync(stamp, { force: true });
    await step(`edge, compiled to wasm (${kind})`, (update) =>
      quietly('worker-build', ['--out-dir', relative(inRoot('edge'), folder), ...args], {
        cwd: inRoot('edge'),
        env: { ...env, ...CARGO_BAR },
        update,
      }),
    );
    mkdirSync(LOCAL, { recursive: true });
    writeFileSync(stamp, sources);
  }
  if (kind === 'release') checkSize(folder);
  return folder;
}

const isFresh = (folder, stamp, sources) =>
  existsSync(join(folder, 'index.js')) && existsSync(stamp) && readFileSync(stamp, 'utf8') === sources;

function checkSize(folder) {
  const wasm = wasmFile(folder);
  const bytes = gzipSync(readFileSync(wasm), { level: 9 }).length;
  const kib = (number) => `${Math.round(number / 1024)} KiB`;
  if (bytes > BUDGET_BYTES) throw new Problem(`The Worker is ${kib(bytes)} gzipped; its budget is ${kib(BUDGET_BYTES)}.`);
  say(`✓ edge: ${relative(ROOT, wasm)} is ${kib(bytes)} gzipped, of ${kib(BUDGET_BYTES)} allowed`);
}

export function wasmFile(folder) {
  const name = readdirSync(folder, { recursive: true }).find((entry) => entry.endsWith('.wasm'));
  if (!name) throw new Problem(`${folder} holds no wasm: delete it and build again.`);
  return join(folder, name);
}

/** One hash over everything the Worker is made of; times don't count, so a checkout changes nothing. */
function fingerprint() {
  const hash = createHash('sha256');
  const files = ['Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml', ...filesIn('edge'), ...filesIn('shared')];
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(inRoot(file)));
  return hash.digest('hex');
}

function filesIn(folder) {
  return readdirSync(inRoot(folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(ROOT, join(entry.parentPath ?? entry.path, entry.name)))
    .filter((path) => !/^(edge|shared)\/(build|target|tests)\//.test(path))
    .sort();
}

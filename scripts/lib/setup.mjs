// Finds out what is missing and installs only that. Safe to repeat; needs no network once done.

import { ensurePackages } from './packages.mjs';
import { pinnedRust, ROOT } from './paths.mjs';
import { capture, quietly } from './processes.mjs';
import { Problem, step } from './progress.mjs';
import { ensureChromium, ensurePostgres } from './system-packages.mjs';
import { ensureWasmToolchain } from './wasm-toolchain.mjs';
import { ensureWasmTools } from './wasm-tools.mjs';

/** What every command needs; `postgres` and `chromium` only the tests do. */
export async function ensureSetup({ postgres = false, chromium = false } = {}) {
  await ensureRust();
  await ensurePackages();
  await ensureWasmToolchain();
  await ensureWasmTools();
  if (postgres) await ensurePostgres();
  if (chromium) await ensureChromium();
}

async function ensureRust() {
  if (!capture('sh', ['-c', 'command -v cargo'])) throw new Problem('Rust is missing: install it from https://rustup.rs, then run this again.');
  if (capture('cargo', ['--version'], { cwd: ROOT })) return;
  await step(`Rust ${pinnedRust()} (rustup)`, (update) =>
    quietly('rustup', ['toolchain', 'install', pinnedRust(), '--profile', 'minimal', '-c', 'clippy', '-c', 'rustfmt'], { update }),
  );
}

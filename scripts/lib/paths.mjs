// Where things are: the repository, the cache that clones share, the tools' exact versions.

import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
export const LOCAL = join(ROOT, '.local');
export const CACHE =
  process.env.CHANDELLE_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'chandelle');

/** Must stay on the same 0.8.x as the `worker` crate. */
export const WORKER_BUILD = '0.8.7';
export const WRANGLER_NEEDS_NODE = [22, 12];

export const inRoot = (...parts) => join(ROOT, ...parts);
export const toolDir = (name, version) => join(CACHE, 'tools', `${name}-${version}`);

/** The version of a crate that Cargo.lock holds, or undefined. */
export function lockedVersion(crate) {
  const lock = readFileSync(inRoot('Cargo.lock'), 'utf8');
  return lock.match(new RegExp(`name = "${crate}"\\nversion = "([^"]+)"`))?.[1];
}

/** The Rust release the project pins. */
export function pinnedRust() {
  return readFileSync(inRoot('rust-toolchain.toml'), 'utf8').match(/channel = "([^"]+)"/)?.[1];
}

/** True when `version` ("22.3.1") is at least `wanted` ([22, 3]). */
export function atLeast(version, wanted) {
  const have = version.replace(/^[^\d]*/, '').split('.').map(Number);
  for (const [index, number] of wanted.entries()) {
    if ((have[index] ?? 0) !== number) return (have[index] ?? 0) > number;
  }
  return true;
}

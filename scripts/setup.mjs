// `npm run setup [-- --tests]`: installs what is missing; with --tests also what only the tests need.

import { parseArgs } from 'node:util';
import { lockedVersion, pinnedRust, WORKER_BUILD } from './lib/paths.mjs';
import { command, say } from './lib/progress.mjs';
import { ensureSetup } from './lib/setup.mjs';

await command(async () => {
  const { values } = parseArgs({ options: { tests: { type: 'boolean', default: false } } });
  await ensureSetup({ postgres: values.tests, chromium: values.tests });
  const bindgen = lockedVersion('wasm-bindgen');
  say(`✓ everything is there: Rust ${pinnedRust()} with wasm, worker-build ${WORKER_BUILD}, wasm-bindgen ${bindgen}, npm packages`);
});

// `npm run build:edge [-- --fast]`: the Worker, if its sources changed since the last build. wrangler calls this too.

import { parseArgs } from 'node:util';
import { buildEdge } from './lib/edge-build.mjs';
import { command } from './lib/progress.mjs';
import { ensureSetup } from './lib/setup.mjs';

await command(async () => {
  const { values } = parseArgs({ options: { fast: { type: 'boolean', default: false } } });
  await ensureSetup();
  await buildEdge(values.fast ? 'fast' : 'release');
});

// `npm run build:edge [-- --fast]`: the Worker, if its sources changed since the last build. wrangler calls this too.

import { parseArgs } from 'node:util';
import { buildEdge } from './lib/edge-build.mjs';
import { command, Problem } from './lib/progress.mjs';
import { ensureSetup } from './lib/setup.mjs';

await command(async () => {
  // wrangler tells its build what it is about to do; the top level of wrangler.toml is for a developer's machine only.
  if (/deploy|versions/.test(process.env.WRANGLER_COMMAND ?? '')) throw new Problem('Publish with `npm run deploy -- --env NAME`.');
  const { values } = parseArgs({ options: { fast: { type: 'boolean', default: false } } });
  await ensureSetup();
  await buildEdge(values.fast ? 'fast' : 'release');
});

// `npm run dev`: the whole system for working on it: a quickly built edge that is rebuilt and reloaded when its sources change.

import { watch } from 'node:fs';
import { inRoot, LOCAL } from './lib/paths.mjs';
import { command, say } from './lib/progress.mjs';
import { ensureSetup } from './lib/setup.mjs';

const SETTLE_MS = 300;

await command(async () => {
  await ensureSetup();
  const { startStack } = await import('./lib/stack.mjs');
  const { stopOnSignal } = await import('./lib/signals.mjs');
  stopOnSignal(LOCAL);
  const handle = await startStack({ edgeKind: 'fast' });
  const { edge_url, node_url, supabase_url, demo_user } = handle.info();
  say(`\n  edge ${edge_url}   node ${node_url}   supabase ${supabase_url}\n  sign in as ${demo_user.email} / ${demo_user.password}`);
  say('\nwatching edge/ and shared/; Ctrl-C ends everything');
  await rebuildOnChange(LOCAL);
});

/** wrangler watches the copied Worker, so placing a new one is enough. */
async function rebuildOnChange(dir) {
  const { buildEdge } = await import('./lib/edge-build.mjs');
  const { placeEdge } = await import('./lib/stack/edge.mjs');
  let timer;
  let running = Promise.resolve();
  const rebuild = () => {
    running = running.then(async () => {
      try {
        placeEdge(dir, await buildEdge('fast'));
      } catch (error) {
        say(error.message);
      }
    });
  };
  for (const folder of ['edge/src', 'edge/static', 'shared/src']) {
    watch(inRoot(folder), { recursive: true }, () => {
      clearTimeout(timer);
      timer = setTimeout(rebuild, SETTLE_MS);
    });
  }
  await new Promise(() => setInterval(() => {}, 60_000));
}

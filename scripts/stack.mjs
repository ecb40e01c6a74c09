// `npm run stack -- up | down | status`, and for tests `start | kill | restart PART`: the whole system in the background.

import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { LOCAL } from './lib/paths.mjs';
import { command, Problem, say } from './lib/progress.mjs';

const USAGE = `usage: npm run stack -- up [--ports free] [--driver pglite|postgres] [--nodes N] [--cron SECONDS] [--dir DIR]
       npm run stack -- down | status [--dir DIR]
       npm run stack -- start | kill | restart supabase|edge|node|node-2|… [--dir DIR]`;

await command(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      ports: { type: 'string', default: 'default' },
      driver: { type: 'string' },
      nodes: { type: 'string', default: '1' },
      cron: { type: 'string', default: '60' },
      dir: { type: 'string', default: LOCAL },
    },
  });
  const [verb, part] = positionals;
  const dir = resolve(values.dir);
  if (verb === 'up') return up(dir, values);

  // Only built-ins and the stack's own files from here on: ending one must work whatever else is missing.
  const { handleOf, readStack } = await import('./lib/stack.mjs');
  const handle = handleOf(dir);
  if (verb === 'down') {
    if (!readStack(dir)) return say('nothing was started here');
    await handle.stop();
    return say('✓ all parts have ended; their data stay');
  }
  if (verb === 'status') return status(handle, readStack(dir));
  if (['start', 'kill', 'restart'].includes(verb) && part) return handle[verb](part);
  throw new Problem(USAGE);
});

async function up(dir, { ports, driver, nodes, cron }) {
  const { ensureSetup } = await import('./lib/setup.mjs');
  const { startStack } = await import('./lib/stack.mjs');
  const { stopOnSignal } = await import('./lib/signals.mjs');
  if (!['free', 'default'].includes(ports) || !['pglite', 'postgres', undefined].includes(driver)) throw new Problem(USAGE);
  await ensureSetup({ postgres: driver === 'postgres' });
  const release = stopOnSignal(dir);
  const handle = await startStack({ dir, freePorts: ports === 'free', driver, nodes: Number(nodes), cronSeconds: Number(cron) });
  release();
  const { edge_url, node_url, supabase_url } = handle.info();
  say(`\n  edge      ${edge_url}\n  node      ${node_url}\n  supabase  ${supabase_url}\n  all about it: ${handle.file}`);
}

async function status(handle, stack) {
  if (!stack) return say('nothing was started here');
  const parts = await handle.status();
  for (const { name, runs, answers, url } of parts) {
    say(`${answers ? '✓' : '✗'} ${name.padEnd(10)} ${answers ? 'answers' : runs ? 'runs, no answer' : 'ended'.padEnd(15)} ${url ?? ''}`);
  }
  if (!parts.every((part) => part.answers)) process.exitCode = 1;
}

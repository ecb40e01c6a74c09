// `npm run demo [-- --once]`: the whole system and its main job, from nothing to a picture.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { inRoot, LOCAL, ROOT } from './lib/paths.mjs';
import { bar, command, say, step } from './lib/progress.mjs';
import { ensureSetup } from './lib/setup.mjs';

const SCENE = { world: 'forest', era: 'medieval era', class: 'a red star', pose: 'in the centre', decor: 'mountains' };

await command(async () => {
  const { values } = parseArgs({
    options: {
      once: { type: 'boolean', default: false },
      ports: { type: 'string', default: 'default' },
      dir: { type: 'string', default: LOCAL },
      ...Object.fromEntries(Object.keys(SCENE).map((field) => [field, { type: 'string' }])),
    },
  });
  const scene = Object.fromEntries(Object.entries(SCENE).map(([field, text]) => [field, values[field] ?? text]));
  await ensureSetup();
  const { startStack } = await import('./lib/stack.mjs');
  const { stopOnSignal } = await import('./lib/signals.mjs');
  stopOnSignal(values.dir);
  const handle = await startStack({ dir: values.dir, freePorts: values.ports === 'free' });
  try {
    await makeScene(handle.info(), scene);
  } catch (error) {
    await handle.stop();
    throw error;
  }
  if (values.once) {
    await handle.stop();
    return say('\n✓ everything was stopped again');
  }
  showAddresses(handle);
  await new Promise(() => setInterval(() => {}, 60_000));
});

async function makeScene(stack, scene) {
  const { signIn } = await import('./lib/stack/people.mjs');
  const { fetchPicture, followJob, orderScene, readRow } = await import('./lib/scene.mjs');
  const { access_token: token } = await step(`signing ${stack.demo_user.email} in`, () => signIn(stack, stack.demo_user));
  say(`  POST /api/generate/scene ${JSON.stringify(scene)}`);
  const job = await orderScene(stack.edge_url, token, scene);
  await step(`scene ${job.id}`, (update) =>
    followJob(stack.edge_url, token, job.id, ({ status, progress, message }) => {
      update(`${status}: ${message}`, progress / 100);
      // Without a terminal nothing is redrawn: then each event is a line.
      if (!process.stderr.isTTY) say(`  ${bar(progress / 100)} ${status}${message && `: ${message}`}`);
    }),
  );
  const file = inRoot('demo-out', 'scene.png');
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, await fetchPicture(stack.edge_url, token, job.id));
  say(`✓ the picture: ${relative(ROOT, file)}\n✓ the row in Supabase:`);
  process.stdout.write(`${JSON.stringify(await readRow(stack, token, job.id), null, 2)}\n`);
}

function showAddresses({ info, file }) {
  const { edge_url, node_url, supabase_url, demo_user } = info();
  say(`
  the page       ${edge_url}/        sign in as ${demo_user.email} / ${demo_user.password}
  the API        ${edge_url}/docs
  the node       ${node_url}
  Supabase       ${supabase_url}
  all about it   ${relative(ROOT, file)}

Ctrl-C ends everything.`);
}

// The database tests: npm run db:test [-- --all | --driver pglite|postgres] [part of a file's name …]
// Starts the local Supabase on a free port and an empty folder, once per driver, and ends it.

import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { DRIVERS } from './database.mjs';
import { readSigningKey } from './keys.mjs';
import { startSupabase } from './start.mjs';

const folder = fileURLToPath(new URL('../../supabase/tests', import.meta.url));

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { all: { type: 'boolean' }, driver: { type: 'string' } },
});
const drivers = values.all ? DRIVERS : [values.driver ?? process.env.SUPABASE_DRIVER ?? 'pglite'];
const files = readdirSync(folder)
  .filter((name) => name.endsWith('.test.mjs'))
  .filter((name) => positionals.length === 0 || positionals.some((part) => name.includes(part)))
  .map((name) => path.join(folder, name));

let running;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, async () => {
    await running?.stop();
    process.exit(130);
  });
}

const failed = [];
for (const driver of drivers) {
  if (!(await isGreen(driver))) failed.push(driver);
}
if (failed.length) console.error(`\nfailed on ${failed.join(' and ')}`);
process.exit(failed.length ? 1 : 0);

async function isGreen(driver) {
  const dataDir = mkdtempSync(path.join(tmpdir(), `chandelle-db-${driver}-`));
  console.log(`\n# ${driver}: starting the local Supabase`);
  running = await startSupabase({ dataDir, driver });
  let code;
  try {
    code = await runTests(running, driver, readSigningKey(dataDir));
  } finally {
    await running.stop();
    running = undefined;
  }
  if (code === 0) rmSync(dataDir, { recursive: true, force: true });
  else console.error(`# ${driver}: what the server said is in ${path.join(dataDir, 'server.log')}`);
  return code === 0;
}

/** One file at a time: some functions work on everybody's rows. */
function runTests(supabase, driver, signingKey) {
  const child = spawn(process.execPath, ['--test', '--test-concurrency=1', '--test-reporter=spec', ...files], {
    stdio: 'inherit',
    env: {
      ...process.env,
      SUPABASE_URL: supabase.url,
      SUPABASE_PUBLISHABLE_KEY: supabase.publishableKey,
      SUPABASE_SECRET_KEY: supabase.secretKey,
      SUPABASE_SIGNING_KEY: JSON.stringify(signingKey),
      SUPABASE_DRIVER: driver,
    },
  });
  return new Promise((resolve) => child.once('exit', (code) => resolve(code ?? 1)));
}

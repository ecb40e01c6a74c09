// The local Supabase as a process of its own: node scripts/supabase/server.mjs --data DIR [--port N] [--driver pglite|postgres]
// Prints "READY <url>" once it answers. SIGTERM or SIGINT ends it and its database.

import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { serve } from '@hono/node-server';
import { createApp } from './app.mjs';
import { leaveFolder, takeFolder } from './data-folder.mjs';
import { DRIVERS, openDatabase } from './database.mjs';
import { createGateway } from './gateway.mjs';
import { ensureSecrets, writeAccess } from './keys.mjs';
import { json } from './responses.mjs';
import { createTokens } from './tokens.mjs';

const HOST = '127.0.0.1';
const STOP_TIMEOUT_MS = 15_000;
const projectDir = fileURLToPath(new URL('../../supabase', import.meta.url));

// stdout belongs to the READY line.
console.log = console.error;
process.on('unhandledRejection', (error) => console.error('unhandled rejection', error));

const options = readOptions();
try {
  await start(options);
} catch (error) {
  console.error(`local Supabase: ${error.message}`);
  process.exit(1);
}

function readOptions() {
  const { values } = parseArgs({
    options: { port: { type: 'string' }, data: { type: 'string' }, driver: { type: 'string' } },
  });
  const driver = values.driver ?? process.env.SUPABASE_DRIVER ?? 'pglite';
  const port = Number(values.port ?? 54321);
  if (!values.data || !DRIVERS.includes(driver) || !Number.isInteger(port)) {
    console.error(`usage: server.mjs --data DIR [--port N] [--driver ${DRIVERS.join('|')}]`);
    process.exit(2);
  }
  return { port, driver, dataDir: path.resolve(values.data) };
}

async function start({ port, driver, dataDir }) {
  mkdirSync(dataDir, { recursive: true });
  takeFolder(dataDir);
  let answer = () => json({ message: 'starting' }, 503, { 'retry-after': '1' });
  let database;
  let server;

  let stopping = false;
  const stop = async (code) => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(code || 1), STOP_TIMEOUT_MS).unref();
    server?.close();
    server?.closeAllConnections();
    await database?.close();
    leaveFolder(dataDir);
    process.exit(code);
  };
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => stop(0));

  // Bound first, so that a port in use is said at once and not after the database has started.
  ({ server, port } = await listen(port, (request, peer) => answer(request, peer)));
  try {
    const access = writeAccess(dataDir, `http://${HOST}:${port}`);
    const secrets = await ensureSecrets(dataDir);
    database = await openDatabase(driver, dataDir, secrets.database_password);
    database.lost.then((error) => {
      console.error(error.message);
      stop(1);
    });
    const { app, migrationCount } = await createApp({ database, dataDir, projectDir, access, secrets });
    const tokens = await createTokens(secrets.signing_key, secrets.jwt_secret);
    answer = createGateway({ app, database, tokens, access });
    console.error(`${driver}: ${migrationCount} new migrations`);
    process.stdout.write(`READY ${access.url}\n`);
  } catch (error) {
    console.error(`local Supabase: ${error.message}`);
    await stop(1);
  }
}

function listen(port, answer) {
  return new Promise((resolve, reject) => {
    const server = serve(
      {
        port,
        hostname: HOST,
        fetch: (request, { incoming }) => answer(request, incoming?.socket?.remoteAddress),
      },
      (address) => resolve({ server, port: address.port }),
    );
    server.once('error', (error) => {
      reject(error.code === 'EADDRINUSE' ? new Error(`port ${port} is in use`) : error);
    });
  });
}

// Starts the local Supabase from another script and waits until it answers.

import { spawn } from 'node:child_process';
import { mkdirSync, openSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { readAccess } from './keys.mjs';

const SERVER = fileURLToPath(new URL('./server.mjs', import.meta.url));
const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 20_000;

/**
 * @param {{port?: number, dataDir: string, driver?: 'pglite' | 'postgres', isDetached?: boolean}} options
 *   port 0 or none: a free one; isDetached: it outlives this process (end it by its pid, or by `stop`)
 * @returns {Promise<{url: string, publishableKey: string, secretKey: string, pid: number, exited: Promise<number | null>, stop(): Promise<void>, kill(): Promise<void>}>}
 *   what the server has to say goes to server.log in the data folder
 */
export async function startSupabase({ port = 0, dataDir, driver, isDetached = false }) {
  mkdirSync(dataDir, { recursive: true });
  const logFile = path.join(dataDir, 'server.log');
  const args = [SERVER, '--port', String(port), '--data', dataDir, ...(driver ? ['--driver', driver] : [])];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', openSync(logFile, 'a')],
    detached: isDetached,
  });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const url = await untilReady(child, exited, logFile);
  child.stdout.destroy();
  if (isDetached) child.unref();

  const { publishable_key: publishableKey, secret_key: secretKey } = readAccess(dataDir);
  return {
    url,
    publishableKey,
    secretKey,
    pid: child.pid,
    exited,
    async stop() {
      child.ref();
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(timer);
    },
    /** As a crash would, detached with its database too: for tests of what survives one. */
    async kill() {
      child.ref();
      process.kill(isDetached ? -child.pid : child.pid, 'SIGKILL');
      await exited;
    },
  };
}

function untilReady(child, exited, logFile) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`local Supabase was not ready in time; see ${logFile}`));
    }, START_TIMEOUT_MS);
    const settle = (finish, value) => {
      clearTimeout(timer);
      finish(value);
    };
    createInterface({ input: child.stdout }).on('line', (line) => {
      const url = /^READY (\S+)$/.exec(line)?.[1];
      if (url) settle(resolve, url);
    });
    child.once('error', (error) => settle(reject, error));
    exited.then((code) => settle(reject, new Error(`local Supabase ended with exit code ${code}; see ${logFile}`)));
  });
}

// Ports, waiting for what listens on them, and whether there is a network.

import https from 'node:https';
import { createServer } from 'node:net';
import { Problem } from './progress.mjs';

export const DEFAULT_PORTS = { supabase: 54321, node: 8000, edge: 8787 };

/** Asks the system for `count` ports that nobody uses; held together so that they differ. */
export async function freePorts(count) {
  const servers = await Promise.all(Array.from({ length: count }, () => listen(0)));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

/** Refuses with a message that says what to do when a port is taken. */
export async function requirePort(port, part) {
  try {
    const server = await listen(port);
    await new Promise((done) => server.close(done));
  } catch {
    throw new Problem(
      `Port ${port}, which ${part} needs, is taken by another program.\n` +
        '  A stack of this clone: `npm run stack -- down`. Otherwise end that program, or use `--ports free`.',
    );
  }
}

function listen(port) {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** True when `url` answers below 500 within `timeoutMs`. */
export async function answers(url, timeoutMs = 2000) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
    await response.body?.cancel();
    return response.status < 500;
  } catch {
    return false;
  }
}

/** Waits until `url` answers; gives up after `timeoutMs`, or at once when `check` throws. */
export async function waitFor(url, { timeoutMs = 60_000, check = () => {}, what = url } = {}) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    check();
    if (await answers(url)) return;
    if (Date.now() > deadline) throw new Problem(`${what} did not answer at ${url} within ${timeoutMs / 1000} s`);
    await pause(150);
  }
}

/** True when a host of the internet answers; without a network that is known within seconds. */
export function reaches(host) {
  return new Promise((resolve) => {
    const request = https.request({ host, method: 'HEAD', timeout: 4000 }, (response) => {
      response.resume();
      resolve(response.statusCode < 500);
    });
    request.once('timeout', () => request.destroy());
    request.once('error', () => resolve(false));
    request.end();
  });
}

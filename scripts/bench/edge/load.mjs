// Load on one route, and what it cost the server: latency by the clients, CPU by the kernel.

import { readFileSync } from 'node:fs';
import autocannon from 'autocannon';

const TICKS_PER_SECOND = 100;

function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** `tokens` are used in turn: one for repeated tokens, many for first-seen ones. */
export function orders(tokens, body) {
  return tokens.map((token) => ({
    method: 'POST',
    path: '/api/generate/scene',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'cf-connecting-ip': '203.0.113.7' },
    body,
  }));
}

/** Sends `requests` in turn; every answer must have the status `expected`. */
export async function load({ url, pid, requests, expected, seconds, connections = 16 }) {
  const before = cpuSeconds(pid);
  const result = await autocannon({ url, connections, duration: seconds, requests });
  const used = cpuSeconds(pid) - before;
  const statuses = Object.keys(result.statusCodeStats);
  if (statuses.join() !== String(expected)) throw new Error(`every answer should be ${expected}: ${JSON.stringify(result.statusCodeStats)}`);
  return {
    cpuMicros: (used / result.requests.total) * 1e6,
    p50: result.latency.p50,
    p99: result.latency.p99,
    perSecond: result.requests.average,
  };
}

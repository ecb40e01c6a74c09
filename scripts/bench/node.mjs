// The node against diffusers, on the same weights and machine, one after the other: start, time of a scene, memory.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { freePorts } from '../lib/ports.mjs';
import { python } from './python.mjs';
import { median, root } from './report.mjs';

const MODEL = 'embedded-scene';
const PROMPT = 'a red star, in the centre, mountains, forest, medieval era';
const STEPS = 12;
const GUIDANCE = 3;
const RUNS = 7;
const TOKEN = 'benchmark';

async function startNode() {
  const [port] = await freePorts(1);
  const start = performance.now();
  const child = spawn(`${root}/target/release/gpu-node`, ['serve'], {
    cwd: root,
    env: { ...process.env, CHANDELLE_HOST: '127.0.0.1', CHANDELLE_PORT: String(port), NODE_TOKENS: TOKEN },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const url = `http://127.0.0.1:${port}`;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the node ended with ${child.exitCode}`);
    const answer = await fetch(`${url}/health/ready`).catch(() => undefined);
    if (answer?.ok) return { child, url, readyMs: performance.now() - start };
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function runScene(url, seed) {
  const id = randomUUID();
  const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
  const image = { prompt: PROMPT, steps: STEPS, guidance: GUIDANCE, seed };
  const created = await fetch(`${url}/v1/jobs`, { method: 'POST', headers, body: JSON.stringify({ id, model: MODEL, image }) });
  if (!created.ok) throw new Error(`${created.status} ${await created.text()}`);
  const events = await (await fetch(`${url}/v1/jobs/${id}/events`, { headers })).text();
  const end = JSON.parse(events.match(/^data: (.*"completed".*)$/m)?.[1] ?? 'null');
  if (!end) throw new Error(`the run did not complete: ${events.slice(-300)}`);
  return end.run_ms;
}

const memory = (pid) => {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const megabytes = (name) => Math.round(Number(status.match(new RegExp(`${name}:\\s+(\\d+)`))[1]) / 1024);
  return { peak_mb: megabytes('VmHWM'), resident_mb: megabytes('VmRSS') };
};

/** Figures of the node and of its peer. */
export async function benchNode() {
  const node = await startNode();
  try {
    const first = await runScene(node.url, 0);
    const times = [];
    for (let seed = 1; seed <= RUNS; seed += 1) times.push(await runScene(node.url, seed));
    const used = memory(node.child.pid);
    node.child.kill('SIGTERM');
    const args = [`${root}/scripts/bench/node/diffusers_scene.py`, `${root}/models/${MODEL}`, STEPS, GUIDANCE, RUNS, PROMPT];
    const peer = JSON.parse(python(args.map(String)));
    const ours = median(times);
    return [
      ['start to ready', `${Math.round(node.readyMs)} ms`, '≤ 3,000 ms'],
      ['first scene (loads the model if needed)', `${Math.round(first)} ms`, ''],
      [`scene, ${STEPS} steps, guidance ${GUIDANCE}, median of ${RUNS}`, `${Math.round(ours)} ms`, '≤ 5,000 ms'],
      [`the same in diffusers ${peer.diffusers}, torch ${peer.torch}, ${peer.threads} threads`, `${peer.median_ms} ms`, ''],
      ['ratio to diffusers', (ours / peer.median_ms).toFixed(2), '≤ 1.2'],
      ['memory after the runs (peak)', `${used.resident_mb} MB (${used.peak_mb} MB)`, '≤ 700 MB'],
    ];
  } finally {
    node.child.kill('SIGTERM');
  }
}

// Starting and ending programs: a group ends whole, also when it does not listen.

import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePorts, pause, requirePort, waitFor } from '../lib/ports.mjs';
import { groupRuns, launch, logSince, logSize, quietly, stopGroup } from '../lib/processes.mjs';

const folder = mkdtempSync(join(tmpdir(), 'chandelle-test-'));
const logFile = join(folder, 'log');

async function startShell(script) {
  const part = launch('sh', ['-c', script], { logFile });
  while (!readFileSync(logFile, 'utf8').includes(`up ${part.pid}`)) await pause(10);
  return part;
}

test('a group ends with everything that it started', async () => {
  const part = await startShell('sleep 300 & sleep 300 & echo up $$; wait');
  assert.ok(groupRuns(part));
  await stopGroup(part);
  assert.ok(!groupRuns(part));
});

test('a group that ignores the request is killed', async () => {
  const part = await startShell('trap "" TERM; echo up $$; while :; do sleep 1; done');
  await stopGroup(part, { graceMs: 200 });
  assert.ok(!groupRuns(part));
});

test('another process with a remembered number is left alone', async () => {
  const part = await startShell('echo up $$; sleep 300');
  const stranger = { ...part, born: part.born - 1 };
  if (process.platform === 'linux') {
    assert.ok(!groupRuns(stranger));
    await stopGroup(stranger);
    assert.ok(groupRuns(part));
  }
  await stopGroup(part);
});

test('a failing program is told with its last words', async () => {
  await assert.rejects(quietly('sh', ['-c', 'echo the reason >&2; exit 3']), /failed \(3\)[\s\S]*the reason/);
});

test("cargo's bar becomes a fraction", async () => {
  const seen = [];
  await quietly('sh', ['-c', 'printf "    Building [==>   ] 30/120: serde, syn\\r" >&2'], { update: (...args) => seen.push(args) });
  assert.deepEqual(seen, [['serde, syn', 0.25]]);
});

test('free ports differ, and a taken one is refused with advice', async () => {
  const { createServer } = await import('node:net');
  const ports = await freePorts(5);
  assert.equal(new Set(ports).size, 5);
  const server = createServer();
  await new Promise((done) => server.listen(ports[0], '127.0.0.1', done));
  await assert.rejects(requirePort(ports[0], 'the edge'), new RegExp(`Port ${ports[0]}.*the edge.*taken[\\s\\S]*--ports free`));
  await new Promise((done) => server.close(done));
  await requirePort(ports[0], 'the edge');
});

test('waiting for something that died ends at once', async () => {
  const [port] = await freePorts(1);
  const check = () => {
    throw new Error('it died');
  };
  await assert.rejects(waitFor(`http://127.0.0.1:${port}`, { check }), /it died/);
});

test('only what a log says of this run counts', () => {
  const file = join(folder, 'two-runs');
  assert.equal(logSize(file), 0);
  writeFileSync(file, 'the configuration is not valid: é is missing\n');
  const earlier = logSize(file);
  appendFileSync(file, 'listening\n');
  assert.equal(logSince(file, earlier), 'listening\n');
  assert.equal(logSince(join(folder, 'absent'), 0), '');
});

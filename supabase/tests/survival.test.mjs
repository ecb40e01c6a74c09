// The local server is killed, restarted and stopped: what was accepted stays, and no process is left behind.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startSupabase } from '../../scripts/supabase/start.mjs';
import { clientWithAt } from './support.mjs';

const driver = process.env.SUPABASE_DRIVER;
const SERVER = fileURLToPath(new URL('../../scripts/supabase/server.mjs', import.meta.url));

describe('the local server', () => {
  let dataDir, running;
  const start = async () => {
    running = await startSupabase({ dataDir, driver, isDetached: true });
    return clientWithAt(running.url, running.secretKey);
  };
  /** Processes whose command names our folder: PostgreSQL's do, and the server's own. */
  const processes = () => execFileSync('ps', ['-e', '-o', 'stat=,command='], { encoding: 'utf8' })
    .split('\n').filter((line) => line.includes(dataDir) && !line.startsWith('Z'));

  before(() => {
    dataDir = mkdtempSync(path.join(tmpdir(), 'chandelle-survival-'));
  });
  after(async () => {
    await running?.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  test('keeps each accepted row, file and account through a kill in the middle of writing', { timeout: 120_000 }, async () => {
    let client = await start();
    let killed;
    const keys = { publishableKey: running.publishableKey, secretKey: running.secretKey };
    const email = `${randomUUID()}@example.com`;
    await client.auth.admin.createUser({ email, password: 'a good long password' });
    const name = `${randomUUID()}/0.png`;
    await client.storage.from('scenes').upload(name, Uint8Array.of(1, 2, 3), { contentType: 'image/png' });
    const keySet = await (await fetch(`${running.url}/auth/v1/.well-known/jwks.json`)).json();

    const accepted = [];
    const writing = (async () => {
      for (;;) {
        const id = randomUUID();
        const { error } = await client.from('audit_logs').insert({ id, action: 'x' });
        if (error) return;
        accepted.push(id);
        if (accepted.length === 20) killed = running.kill();
      }
    })();
    await writing;
    await killed;
    assert.ok(accepted.length >= 20);

    client = await start();
    const { data } = await client.from('audit_logs').select('id');
    const stored = new Set(data.map(({ id }) => id));
    assert.deepEqual(accepted.filter((id) => !stored.has(id)), []);
    assert.deepEqual({ publishableKey: running.publishableKey, secretKey: running.secretKey }, keys);
    assert.deepEqual(await (await fetch(`${running.url}/auth/v1/.well-known/jwks.json`)).json(), keySet);
    const file = await client.storage.from('scenes').download(name);
    assert.deepEqual(new Uint8Array(await file.data.arrayBuffer()), Uint8Array.of(1, 2, 3));
    const signedIn = await client.auth.signInWithPassword({ email, password: 'a good long password' });
    assert.equal(signedIn.error, null);
  });

  test('writes its address and keys for its owner alone', () => {
    const file = path.join(dataDir, 'access.json');
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), {
      url: running.url, publishable_key: running.publishableKey, secret_key: running.secretKey,
    });
    for (const name of ['access.json', 'secrets.json']) {
      assert.equal(statSync(path.join(dataDir, name)).mode & 0o077, 0, name);
    }
  });

  test('refuses a second server on the same folder, and a port in use', { timeout: 60_000 }, async () => {
    const fails = (args) => new Promise((resolve) => {
      const child = spawn(process.execPath, [SERVER, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
      let said = '';
      child.stderr.on('data', (chunk) => { said += chunk; });
      child.once('exit', (code) => resolve({ code, said }));
    });
    const sameFolder = await fails(['--data', dataDir, '--port', '0', '--driver', driver]);
    assert.equal(sameFolder.code, 1);
    assert.match(sameFolder.said, /already serves/);

    const otherFolder = path.join(dataDir, 'other');
    const { port } = new URL(running.url);
    const samePort = await fails(['--data', otherFolder, '--port', port, '--driver', driver]);
    assert.equal(samePort.code, 1);
    assert.match(samePort.said, /is in use/);
  });

  test('ends on SIGTERM with its database', { timeout: 60_000 }, async () => {
    assert.ok(processes().length > 0);
    await running.stop();
    assert.equal(await running.exited, 0);
    assert.deepEqual(processes(), []);
  });
});

// jobs: people read their own; every change goes through a function.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { anon, createJob, ok, refused, sceneInput, service, signUp } from './support.mjs';

describe('jobs', () => {
  let owner, stranger, admin, job;
  before(async () => {
    [owner, stranger, admin] = [await signUp(), await signUp(), await signUp({ isAdmin: true })];
    job = await createJob(owner);
  });
  const row = (person) => ({ id: randomUUID(), user_id: person.id, kind: 'scene', input: sceneInput(), credits: 0 });

  test('anon may do nothing', async () => {
    await refused(anon.from('jobs').select(), 401);
    await refused(anon.from('jobs').insert(row(owner)), 401);
    await refused(anon.from('jobs').update({ credits: 0 }).eq('id', job.id), 401);
    await refused(anon.from('jobs').delete().eq('id', job.id), 401);
  });

  test('the owner reads their own, as it was accepted', async () => {
    const [read] = await ok(owner.client.from('jobs').select());
    assert.deepEqual(read, job);
    assert.deepEqual(read.input, sceneInput());
    assert.equal(read.status, 'queued');
  });

  test('a stranger and an admin read nothing of it', async () => {
    assert.deepEqual(await ok(stranger.client.from('jobs').select()), []);
    assert.deepEqual(await ok(admin.client.from('jobs').select()), []);
    assert.deepEqual(await ok(stranger.client.from('jobs').select().eq('id', job.id)), []);
  });

  test('nobody writes the table, not even the owner or an admin', async () => {
    for (const { client } of [owner, stranger, admin]) {
      await refused(client.from('jobs').insert(row(owner)), 403);
      await refused(client.from('jobs').update({ status: 'completed' }).eq('id', job.id), 403);
      await refused(client.from('jobs').delete().eq('id', job.id), 403);
    }
  });

  test('the secret key writes', async () => {
    const written = await ok(service.from('jobs').insert(row(stranger)).select().single());
    assert.deepEqual(await ok(service.from('jobs').update({ message: 'seen' }).eq('id', written.id).select('message')), [{ message: 'seen' }]);
    assert.equal((await ok(service.from('jobs').delete().eq('id', written.id).select())).length, 1);
  });

  test('a row cannot contradict itself', async () => {
    const wrong = [
      { kind: 'banana' },
      { status: 'resting' },
      { status: 'completed' },
      { finished_at: new Date().toISOString() },
      { progress: 101 },
      { input: [] },
      { outputs: {} },
      { credits: -1 },
    ];
    for (const fields of wrong) {
      const error = await refused(service.from('jobs').insert({ ...row(owner), ...fields }), 400);
      assert.equal(error.code, '23514', JSON.stringify(fields));
    }
  });
});

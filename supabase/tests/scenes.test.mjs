// scenes: people read and delete their own; rows come from finish_job alone.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { anon, completeJob, ok, refused, sceneInput, service, signUp } from './support.mjs';

describe('scenes', () => {
  let owner, stranger, admin, job;
  before(async () => {
    [owner, stranger, admin] = [await signUp(), await signUp(), await signUp({ isAdmin: true })];
    job = await completeJob(owner);
  });
  const row = (person) => ({ id: randomUUID(), user_id: person.id, ...sceneInput(), image_url: 'scenes/x' });

  test('anon may do nothing', async () => {
    await refused(anon.from('scenes').select(), 401);
    await refused(anon.from('scenes').insert(row(owner)), 401);
    await refused(anon.from('scenes').update({ world: 'x' }).eq('id', job.id), 401);
    await refused(anon.from('scenes').delete().eq('id', job.id), 401);
  });

  test('the owner reads their own', async () => {
    const { created_at: createdAt, ...read } = await ok(owner.client.from('scenes').select().single());
    assert.deepEqual(read, {
      id: job.id,
      user_id: owner.id,
      ...sceneInput(),
      image_url: `scenes/${owner.id}/${job.id}/0.png`,
      status: 'completed',
    });
    assert.match(createdAt, /^\d{4}-\d\d-\d\dT[\d:.]+\+00:00$/);
  });

  test('a stranger and an admin read and delete nothing of it', async () => {
    for (const { client } of [stranger, admin]) {
      assert.deepEqual(await ok(client.from('scenes').select()), []);
      assert.deepEqual(await ok(client.from('scenes').delete().eq('id', job.id).select()), []);
    }
    assert.equal((await ok(service.from('scenes').select().eq('id', job.id))).length, 1);
  });

  test('nobody inserts or changes one', async () => {
    for (const { client } of [owner, stranger, admin]) {
      await refused(client.from('scenes').insert(row(owner)), 403);
      await refused(client.from('scenes').update({ world: 'x' }).eq('id', job.id), 403);
    }
  });

  test('the secret key reads everybody\'s', async () => {
    assert.equal((await ok(service.from('scenes').select().eq('user_id', owner.id))).length, 1);
  });

  test('the owner deletes their own', async () => {
    const another = await completeJob(owner);
    assert.equal((await ok(owner.client.from('scenes').delete().eq('id', another.id).select())).length, 1);
    assert.deepEqual(await ok(service.from('scenes').select().eq('id', another.id)), []);
  });
});

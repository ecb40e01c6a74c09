// outbox, the table: admins read, the secret key writes.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { anon, ok, refused, service, signUp } from './support.mjs';

describe('outbox', () => {
  let person, admin, entry;
  before(async () => {
    [person, admin] = [await signUp(), await signUp({ isAdmin: true })];
    entry = await ok(service.from('outbox').insert(row()).select().single());
  });
  const row = () => ({ job_id: randomUUID(), topic: 'discord', event: 'scene.completed', payload: { a: 1 }, status: 'delivered' });

  test('anon may do nothing', async () => {
    await refused(anon.from('outbox').select(), 401);
    await refused(anon.from('outbox').insert(row()), 401);
  });

  test('a person reads nothing, an admin reads all', async () => {
    assert.deepEqual(await ok(person.client.from('outbox').select()), []);
    assert.deepEqual(await ok(admin.client.from('outbox').select().eq('id', entry.id)), [entry]);
  });

  test('neither a person nor an admin writes', async () => {
    for (const { client } of [person, admin]) {
      await refused(client.from('outbox').insert(row()), 403);
      await refused(client.from('outbox').update({ status: 'dead' }).eq('id', entry.id), 403);
      await refused(client.from('outbox').delete().eq('id', entry.id), 403);
    }
  });

  test('one event of a job is one entry', async () => {
    const { job_id } = entry;
    await refused(service.from('outbox').insert({ ...row(), job_id }), 409);
    await ok(service.from('outbox').insert({ ...row(), job_id, event: 'scene.failed' }));
  });

  test('an entry has a known topic and status', async () => {
    await refused(service.from('outbox').insert({ ...row(), topic: 'pigeon' }), 400);
    await refused(service.from('outbox').insert({ ...row(), status: 'lost' }), 400);
  });
});

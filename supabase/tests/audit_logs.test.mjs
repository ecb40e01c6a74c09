// audit_logs: admins read, the secret key adds, nobody rewrites.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { anon, ok, refused, service, signUp } from './support.mjs';

describe('audit_logs', () => {
  let owner, admin, entry;
  before(async () => {
    [owner, admin] = [await signUp(), await signUp({ isAdmin: true })];
    entry = { id: randomUUID(), user_id: owner.id, action: 'POST /api/generate/scene', metadata: { response_time_ms: 12 } };
    await ok(service.from('audit_logs').insert(entry));
  });

  test('anon may do nothing', async () => {
    await refused(anon.from('audit_logs').select(), 401);
    await refused(anon.from('audit_logs').insert({ action: 'x' }), 401);
  });

  test('a person reads nothing, not even about themselves, and writes nothing', async () => {
    assert.deepEqual(await ok(owner.client.from('audit_logs').select()), []);
    await refused(owner.client.from('audit_logs').insert({ action: 'x', user_id: owner.id }), 403);
    await refused(owner.client.from('audit_logs').update({ action: 'x' }).eq('id', entry.id), 403);
    await refused(owner.client.from('audit_logs').delete().eq('id', entry.id), 403);
  });

  test('an admin reads and writes nothing', async () => {
    const { timestamp, ...read } = await ok(admin.client.from('audit_logs').select().eq('id', entry.id).single());
    assert.deepEqual(read, entry);
    assert.ok(Date.parse(timestamp));
    await refused(admin.client.from('audit_logs').insert({ action: 'x' }), 403);
    await refused(admin.client.from('audit_logs').delete().eq('id', entry.id), 403);
  });

  test('the secret key adds but never rewrites', async () => {
    await refused(service.from('audit_logs').update({ action: 'x' }).eq('id', entry.id), 403);
    await refused(service.from('audit_logs').delete().eq('id', entry.id), 403);
  });

  test('an entry delivered twice is one row', async () => {
    const again = service.from('audit_logs').upsert([entry, { id: randomUUID(), action: 'y' }], { onConflict: 'id', ignoreDuplicates: true });
    await ok(again);
    assert.equal((await ok(service.from('audit_logs').select().eq('id', entry.id))).length, 1);
  });

  test('metadata is an object', async () => {
    await refused(service.from('audit_logs').insert({ action: 'x', metadata: [] }), 400);
  });
});

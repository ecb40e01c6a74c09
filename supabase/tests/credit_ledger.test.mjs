// credit_ledger: people read their own; it is only ever added to, and only with the secret key.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { anon, ok, refused, service, signUp } from './support.mjs';

describe('credit_ledger', () => {
  let owner, stranger, admin;
  before(async () => {
    [owner, stranger, admin] = [await signUp(), await signUp(), await signUp({ isAdmin: true })];
    await ok(owner.client.rpc('get_credits'));
  });
  const grant = (reason) => ({ user_id: owner.id, kind: 'grant', amount: 10, reason });

  test('anon may do nothing', async () => {
    await refused(anon.from('credit_ledger').select(), 401);
    await refused(anon.from('credit_ledger').insert(grant('gift')), 401);
  });

  test('the owner reads their own, a stranger and an admin nothing of it', async () => {
    const rows = await ok(owner.client.from('credit_ledger').select('user_id, kind, amount, reason, job_id'));
    assert.deepEqual(rows, [{ user_id: owner.id, kind: 'grant', amount: 100, reason: 'welcome', job_id: null }]);
    assert.deepEqual(await ok(stranger.client.from('credit_ledger').select()), []);
    assert.deepEqual(await ok(admin.client.from('credit_ledger').select()), []);
  });

  test('nobody gives themselves credits', async () => {
    for (const { client } of [owner, stranger, admin]) {
      await refused(client.from('credit_ledger').insert(grant('gift')), 403);
      await refused(client.from('credit_ledger').update({ amount: 1000 }).eq('user_id', owner.id), 403);
      await refused(client.from('credit_ledger').delete().eq('user_id', owner.id), 403);
    }
  });

  test('the secret key adds but never rewrites', async () => {
    await ok(service.from('credit_ledger').insert(grant('plan 2026-11')));
    await refused(service.from('credit_ledger').update({ amount: 1000 }).eq('user_id', owner.id), 403);
    await refused(service.from('credit_ledger').delete().eq('user_id', owner.id), 403);
  });

  test('a grant of one reason is given once', async () => {
    const error = await refused(service.from('credit_ledger').insert(grant('welcome')), 409);
    assert.equal(error.code, '23505');
  });

  test('a job is charged once', async () => {
    const charge = { user_id: owner.id, kind: 'charge', amount: -1, reason: 'scene', job_id: randomUUID() };
    await ok(service.from('credit_ledger').insert(charge));
    await refused(service.from('credit_ledger').insert(charge), 409);
  });

  test('grants add and charges take away', async () => {
    await refused(service.from('credit_ledger').insert({ ...grant('odd'), amount: -1 }), 400);
    await refused(service.from('credit_ledger').insert({ ...grant('odd'), kind: 'charge', amount: 1, job_id: randomUUID() }), 400);
    await refused(service.from('credit_ledger').insert({ ...grant('odd'), kind: 'charge', amount: -1 }), 400);
  });
});

// user_roles and is_admin: everybody sees their own, only the secret key gives.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { anon, ok, refused, service, signUp } from './support.mjs';

describe('user_roles', () => {
  let owner, stranger;
  before(async () => {
    [owner, stranger] = [await signUp(), await signUp({ userMetadata: { role: 'admin' } })];
    await ok(service.from('user_roles').insert({ user_id: owner.id, role: 'tuteur' }));
  });

  test('anon may do nothing', async () => {
    await refused(anon.from('user_roles').select(), 401);
    await refused(anon.from('user_roles').insert({ user_id: owner.id, role: 'admin' }), 401);
    await refused(anon.rpc('is_admin'), 401);
  });

  test('people read their own roles and no others', async () => {
    assert.deepEqual(await ok(owner.client.from('user_roles').select()), [{ user_id: owner.id, role: 'tuteur' }]);
    assert.deepEqual(await ok(stranger.client.from('user_roles').select()), []);
  });

  test('nobody gives, changes or takes a role', async () => {
    await refused(owner.client.from('user_roles').insert({ user_id: owner.id, role: 'admin' }), 403);
    await refused(owner.client.from('user_roles').update({ role: 'admin' }).eq('user_id', owner.id), 403);
    await refused(owner.client.from('user_roles').delete().eq('user_id', owner.id), 403);
  });

  test('what people write about themselves makes no admin', async () => {
    assert.equal(await ok(stranger.client.rpc('is_admin')), false);
  });

  test('tuteur is not admin', async () => {
    assert.equal(await ok(owner.client.rpc('is_admin')), false);
  });

  test('a row makes an admin at once and its removal ends it', async () => {
    await ok(service.from('user_roles').insert({ user_id: owner.id, role: 'admin' }));
    assert.equal(await ok(owner.client.rpc('is_admin')), true);
    await ok(service.from('user_roles').delete().match({ user_id: owner.id, role: 'admin' }));
    assert.equal(await ok(owner.client.rpc('is_admin')), false);
  });

  test('app_metadata makes an admin', async () => {
    const admin = await signUp({ isAdmin: true });
    assert.equal(await ok(admin.client.rpc('is_admin')), true);
  });

  test('the secret key is no admin by itself', async () => {
    assert.equal(await ok(service.rpc('is_admin')), false);
  });

  test('an unknown role is refused', async () => {
    const error = await refused(service.from('user_roles').insert({ user_id: owner.id, role: 'king' }), 400);
    assert.equal(error.code, '23514');
  });
});

// settings: admins and the secret key, nobody else.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { anon, ok, refused, service, signUp } from './support.mjs';

describe('settings', () => {
  let person, admin;
  before(async () => {
    [person, admin] = [await signUp(), await signUp({ isAdmin: true })];
  });
  after(() => ok(service.from('settings').delete().eq('key', 'webhooks')));

  test('prices, credits and retention are there from the start', async () => {
    const rows = await ok(service.from('settings').select('key, value').order('key'));
    assert.deepEqual(rows, [
      { key: 'credits', value: { welcome: 100 } },
      { key: 'prices', value: { scene: 1, image: 1, text_per_1000_tokens: 1 } },
      { key: 'retention', value: { days: 90 } },
    ]);
  });

  test('anon may do nothing', async () => {
    await refused(anon.from('settings').select(), 401);
    await refused(anon.from('settings').insert({ key: 'webhooks', value: {} }), 401);
    await refused(anon.from('settings').update({ value: {} }).eq('key', 'prices'), 401);
    await refused(anon.from('settings').delete().eq('key', 'prices'), 401);
  });

  test('a person sees and changes nothing', async () => {
    assert.deepEqual(await ok(person.client.from('settings').select()), []);
    await refused(person.client.from('settings').insert({ key: 'webhooks', value: {} }), 403);
    assert.deepEqual(await ok(person.client.from('settings').update({ value: {} }).eq('key', 'prices').select()), []);
    assert.deepEqual(await ok(person.client.from('settings').delete().eq('key', 'prices').select()), []);
    assert.equal((await ok(service.from('settings').select())).length, 3);
  });

  test('an admin reads, adds, replaces and removes', async () => {
    assert.equal((await ok(admin.client.from('settings').select())).length, 3);
    const added = await ok(admin.client.from('settings').insert({ key: 'webhooks', value: { discord: 'a' } }).select().single());
    const changed = await ok(admin.client.from('settings').upsert({ key: 'webhooks', value: { discord: 'b' } }).select().single());
    assert.deepEqual(changed.value, { discord: 'b' });
    assert.ok(changed.updated_at > added.updated_at, 'updated_at moves on');
    assert.equal((await ok(admin.client.from('settings').delete().eq('key', 'webhooks').select())).length, 1);
  });

  test('a value is an object and a key a plain name', async () => {
    const notAnObject = await refused(service.from('settings').insert({ key: 'webhooks', value: [1] }), 400);
    assert.equal(notAnObject.code, '23514');
    await refused(service.from('settings').insert({ key: 'Not A Name', value: {} }), 400);
  });
});

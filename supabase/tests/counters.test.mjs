// add_to_counter and its table: what crons put right, for the metrics.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ok, refused, service, signUp } from './support.mjs';

describe('counters', () => {
  const add = (name, by) => service.rpc('add_to_counter', { p_name: name, p_by: by });

  test('add up and are seen in the metrics', async () => {
    const { value } = await ok(add('files_removed', 2));
    assert.deepEqual(await ok(add('files_removed', 3)), { value: value + 3 });
    const counts = await ok(service.rpc('job_counts'));
    assert.equal(counts.counter_files_removed, value + 3);
    assert.equal(typeof counts.counter_accounts_corrected, 'number');
  });

  test('never fall, and have plain names', async () => {
    const { value } = await ok(add('files_removed', 0));
    assert.deepEqual(await ok(add('files_removed', -5)), { value });
    await refused(add('No Name', 1), 400);
  });

  test('are for admins to read', async () => {
    const [person, admin] = [await signUp(), await signUp({ isAdmin: true })];
    assert.deepEqual(await ok(person.client.from('counters').select()), []);
    assert.notEqual((await ok(admin.client.from('counters').select())).length, 0);
  });
});

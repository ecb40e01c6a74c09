// claim_outbox, settle_outbox, replay_outbox: every entry delivered, in order per job.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, beforeEach, describe, test } from 'node:test';
import { ago, ok, refused, service, signUp } from './support.mjs';

describe('delivering the outbox', () => {
  let person, admin;
  before(async () => {
    [person, admin] = [await signUp(), await signUp({ isAdmin: true })];
  });
  // Claims are for whatever is due: the other files' entries must not be.
  beforeEach(() => ok(service.from('outbox').update({ status: 'delivered' }).eq('status', 'pending')));

  const add = (jobId, event, fields = {}) => ok(service.from('outbox')
    .insert({ job_id: jobId, topic: 'discord', event, payload: {}, ...fields }).select().single());
  const claim = (limit = 100) => ok(service.rpc('claim_outbox', { p_limit: limit, p_lease_seconds: 30 }));
  const settle = (id, outcome, error = null, retrySeconds = null) => service.rpc('settle_outbox', {
    p_id: id, p_outcome: outcome, p_error: error, p_retry_seconds: retrySeconds,
  });
  const read = (id) => ok(service.from('outbox').select().eq('id', id).single());
  const ids = (entries) => entries.map(({ id }) => id);

  test('an entry that is due is claimed once, with its attempt counted', async () => {
    const entry = await add(randomUUID(), 'scene.completed');
    const [claimed, ...others] = await claim();
    assert.deepEqual(others, []);
    assert.equal(claimed.id, entry.id);
    assert.equal(claimed.attempts, 1);
    assert.equal(claimed.event, 'scene.completed');
    assert.deepEqual(await claim(), [], 'the lease holds it');
  });

  test('a lost attempt is claimed again after its lease', async () => {
    const entry = await add(randomUUID(), 'scene.completed');
    await claim();
    await ok(service.from('outbox').update({ next_attempt_at: ago(1) }).eq('id', entry.id));
    const [again] = await claim();
    assert.equal(again.id, entry.id);
    assert.equal(again.attempts, 2);
  });

  test('of one job only the oldest is given, the next when that is delivered', async () => {
    const jobId = randomUUID();
    const first = await add(jobId, 'scene.completed');
    const second = await add(jobId, 'scene.failed');
    const other = await add(randomUUID(), 'scene.completed');
    assert.deepEqual(ids(await claim()), [first.id, other.id]);
    assert.deepEqual(await claim(), [], 'the second waits while the first is under way');
    await ok(settle(first.id, 'delivered'));
    assert.deepEqual(ids(await claim()), [second.id]);
  });

  test('an entry that waits for its retry holds back the later ones of its job', async () => {
    const jobId = randomUUID();
    const first = await add(jobId, 'scene.completed');
    await add(jobId, 'scene.failed');
    await claim();
    await ok(settle(first.id, 'retry', 'HTTP 500', 60));
    assert.deepEqual(await claim(), []);
  });

  test('an entry that was given up no longer holds them back', async () => {
    const jobId = randomUUID();
    const first = await add(jobId, 'scene.completed');
    const second = await add(jobId, 'scene.failed');
    await claim();
    await ok(settle(first.id, 'dead', 'HTTP 404'));
    assert.deepEqual(ids(await claim()), [second.id]);
  });

  test('two consumers at once never get the same entry', async () => {
    for (let n = 0; n < 6; n += 1) await add(randomUUID(), 'scene.completed');
    const claimed = (await Promise.all([claim(4), claim(4), claim(4)])).flat();
    assert.equal(new Set(ids(claimed)).size, claimed.length);
    assert.equal(claimed.length + (await claim()).length, 6);
  });

  test('the limit holds, oldest first', async () => {
    const entries = [await add(randomUUID(), 'scene.completed'), await add(randomUUID(), 'scene.completed')];
    assert.deepEqual(ids(await claim(1)), [entries[0].id]);
    assert.deepEqual(await claim(0), []);
  });

  test('a retry waits as long as it is told and keeps the error', async () => {
    const entry = await add(randomUUID(), 'scene.completed');
    await claim();
    const settled = await ok(settle(entry.id, 'retry', 'HTTP 500', 120));
    assert.equal(settled.status, 'pending');
    assert.equal(settled.last_error, 'HTTP 500');
    const waitMs = Date.parse(settled.next_attempt_at) - Date.now();
    assert.ok(waitMs > 110_000 && waitMs <= 121_000, String(waitMs));
  });

  test('a delivery is final: a late report of a lost attempt undoes nothing', async () => {
    const entry = await add(randomUUID(), 'scene.completed');
    await claim();
    const delivered = await ok(settle(entry.id, 'delivered'));
    assert.ok(delivered.delivered_at);
    assert.equal(delivered.last_error, null);
    assert.deepEqual(await ok(settle(entry.id, 'retry', 'timeout', 0)), delivered);
    assert.deepEqual(await ok(settle(entry.id, 'dead', 'timeout')), delivered);
    assert.deepEqual(await claim(), []);
  });

  test('an unknown outcome or entry is refused', async () => {
    const entry = await add(randomUUID(), 'scene.completed');
    await refused(settle(entry.id, 'lost'), 422);
    await refused(settle(randomUUID(), 'delivered'), 404);
  });

  test('an admin and the secret key replay what was given up', async () => {
    for (const client of [admin.client, service]) {
      const entry = await add(randomUUID(), 'scene.completed');
      await claim();
      await ok(settle(entry.id, 'dead', 'HTTP 404'));
      assert.deepEqual(await claim(), []);
      const replayed = await ok(client.rpc('replay_outbox', { p_id: entry.id }));
      assert.equal(replayed.status, 'pending');
      assert.equal(replayed.attempts, 0);
      assert.deepEqual(ids(await claim()), [entry.id]);
    }
  });

  test('a person replays nothing', async () => {
    const entry = await add(randomUUID(), 'scene.completed', { status: 'dead' });
    await refused(person.client.rpc('replay_outbox', { p_id: entry.id }), 403);
    assert.equal((await read(entry.id)).status, 'dead');
  });

  test('only what was given up can be replayed', async () => {
    const entry = await add(randomUUID(), 'scene.completed', { status: 'delivered' });
    await refused(admin.client.rpc('replay_outbox', { p_id: entry.id }), 409);
    await refused(admin.client.rpc('replay_outbox', { p_id: randomUUID() }), 404);
  });
});

// remove_finished_jobs, delete_old_rows, job_counts.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { ago, completeJob, createJob, ok, refused, service, signUp } from './support.mjs';

let owner, stranger, admin;
before(async () => {
  [owner, stranger, admin] = [await signUp(), await signUp(), await signUp({ isAdmin: true })];
});

describe('removing finished jobs', () => {
  const remove = (client, days) => client.rpc('remove_finished_jobs', { p_older_than_days: days });
  const idsOf = async (person) => (await ok(service.from('jobs').select('id').eq('user_id', person.id))).map(({ id }) => id);
  const age = (job, days) => ok(service.from('jobs').update({ finished_at: ago(days) }).eq('id', job.id));

  test('removes the caller\'s old ones and nothing else', async () => {
    const [old, fresh, open] = [await completeJob(owner), await completeJob(owner), await createJob(owner)];
    const theirs = await completeJob(stranger);
    await age(old, 10);
    await age(theirs, 10);
    assert.deepEqual(await ok(remove(owner.client, 7)), { removed: 1 });
    assert.deepEqual((await idsOf(owner)).sort(), [fresh.id, open.id].sort());
    assert.deepEqual(await idsOf(stranger), [theirs.id]);
  });

  test('the scene and the charge stay', async () => {
    const job = await completeJob(owner);
    await ok(remove(owner.client, 0));
    assert.equal((await ok(owner.client.from('scenes').select().eq('id', job.id))).length, 1);
    assert.equal((await ok(owner.client.from('credit_ledger').select().eq('job_id', job.id))).length, 1);
  });

  test('an admin removes everyone\'s, as does the secret key', async () => {
    for (const client of [admin.client, service]) {
      const [one, two] = [await completeJob(owner), await completeJob(stranger)];
      await age(one, 500);
      await age(two, 500);
      assert.deepEqual(await ok(remove(client, 400)), { removed: 2 });
    }
  });

  test('an age below zero is refused', async () => {
    await refused(remove(owner.client, -1), 422);
    await refused(remove(owner.client, null), 422);
  });

  test('a huge age removes nothing', async () => {
    assert.deepEqual(await ok(remove(owner.client, 2_000_000_000)), { removed: 0 });
  });
});

describe('retention', () => {
  const addLog = async (days) => {
    const id = randomUUID();
    await ok(service.from('audit_logs').insert({ id, action: 'x', timestamp: ago(days) }));
    return id;
  };
  const addEntry = async (status, days) => (await ok(service.from('outbox').insert({
    topic: 'discord', event: 'x', payload: {}, status, created_at: ago(days), delivered_at: status === 'delivered' ? ago(days) : null,
  }).select('id').single())).id;
  const exists = async (table, id) => (await ok(service.from(table).select('id').eq('id', id))).length === 1;
  const clean = () => ok(service.rpc('delete_old_rows'));

  test('removes old audit logs and delivered entries, and says how many', async () => {
    await clean();
    const logs = { old: await addLog(91), fresh: await addLog(89) };
    const entries = { old: await addEntry('delivered', 91), fresh: await addEntry('delivered', 89) };
    assert.deepEqual(await clean(), { audit_logs: 1, outbox: 1 });
    assert.deepEqual([await exists('audit_logs', logs.old), await exists('audit_logs', logs.fresh)], [false, true]);
    assert.deepEqual([await exists('outbox', entries.old), await exists('outbox', entries.fresh)], [false, true]);
  });

  test('what was never delivered stays', async () => {
    const kept = [await addEntry('dead', 400), await addEntry('pending', 400)];
    await clean();
    for (const id of kept) assert.ok(await exists('outbox', id));
  });

  test('the number of days is a setting', async () => {
    const setDays = (value) => ok(service.from('settings').update({ value }).eq('key', 'retention'));
    const id = await addLog(40);
    try {
      await setDays({ days: 30 });
      await clean();
      assert.equal(await exists('audit_logs', id), false);
      const kept = await addLog(40);
      await setDays({ days: 'all' });
      await clean();
      assert.ok(await exists('audit_logs', kept), 'nonsense counts as the default');
    } finally {
      await setDays({ days: 90 });
    }
  });
});

test('job_counts names every status and follows what happens', async () => {
  const before = await ok(service.rpc('job_counts'));
  assert.deepEqual(Object.keys(before).sort(), [
    'cancelled', 'completed', 'counter_accounts_corrected', 'counter_files_removed', 'failed', 'generating', 'initializing',
    'outbox_dead', 'outbox_delivered', 'outbox_pending', 'queued', 'saving',
  ]);
  await createJob(owner);
  await completeJob(owner);
  const after = await ok(service.rpc('job_counts'));
  assert.equal(after.queued - before.queued, 1);
  assert.equal(after.completed - before.completed, 1);
  assert.equal(after.outbox_pending - before.outbox_pending, 1);
});

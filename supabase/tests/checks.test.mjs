// list_accounts and find_stray_files: what the edge's crons compare and sweep.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { ago, completeJob, createJob, imageName, ok, service, signUp, uploadImage } from './support.mjs';

let owner, other;
before(async () => {
  [owner, other] = [await signUp(), await signUp()];
});

describe('listing accounts', () => {
  const list = (after, limit, since = 3600) => ok(service.rpc('list_accounts', { p_after: after, p_limit: limit, p_since_seconds: since }));
  const all = async (since) => {
    const found = [];
    for (let after = null; ;) {
      const page = await list(after, 2, since);
      found.push(...page);
      if (page.length < 2) return found;
      after = page.at(-1).user_id;
    }
  };

  test('says of each what get_credits says to them', async () => {
    await createJob(owner);
    await completeJob(owner);
    const { user_id, ...mine } = (await all()).find((account) => account.user_id === owner.id);
    assert.equal(user_id, owner.id);
    assert.deepEqual(mine, await ok(owner.client.rpc('get_credits')));
    assert.equal(mine.open_jobs.length, 1);
    assert.deepEqual(mine.prices, { scene: 1, image: 1, text_per_1000_tokens: 1 });
  });

  test('pages through everybody once', async () => {
    await completeJob(other);
    const ids = (await all()).map((account) => account.user_id);
    assert.deepEqual(ids, [...new Set(ids)].sort());
    assert.ok(ids.includes(owner.id) && ids.includes(other.id));
  });

  test('leaves out who did nothing for long, but not who has an open job or one that ended without a charge', async () => {
    const [idle, cancelled] = [await signUp(), await signUp()];
    const job = await createJob(cancelled);
    await ok(cancelled.client.rpc('cancel_job', { p_id: job.id }));
    const ids = (await all(3600)).map((account) => account.user_id);
    assert.ok(!ids.includes(idle.id));
    assert.ok(ids.includes(cancelled.id));
    assert.ok((await all(0)).some((account) => account.user_id === owner.id), 'an open job');
  });
});

describe('stray files', () => {
  const find = (age = 0) => ok(service.rpc('find_stray_files', { p_limit: 1000, p_age_seconds: age }));
  const pathOf = (job) => `scenes/${imageName(job)}`;

  test('are those whose job ended without them', async () => {
    const [open, cancelled, gone] = [await createJob(owner), await createJob(owner), await createJob(owner)];
    for (const job of [open, cancelled, gone]) await uploadImage(job);
    const completed = await completeJob(owner);
    for (const job of [cancelled, gone]) await ok(owner.client.rpc('cancel_job', { p_id: job.id }));
    await ok(service.from('jobs').delete().eq('id', gone.id));

    const stray = await find();
    assert.ok(stray.includes(pathOf(cancelled)) && stray.includes(pathOf(gone)));
    assert.ok(!stray.includes(pathOf(open)) && !stray.includes(pathOf(completed)));
    assert.ok(!(await find(900)).includes(pathOf(cancelled)), 'a young one is left alone');
    await ok(service.from('jobs').update({ finished_at: ago(100) }).eq('id', completed.id));
    await ok(service.from('jobs').delete().eq('id', completed.id));
    assert.ok(!(await find()).includes(pathOf(completed)), 'the scene outlives its job');
  });
});

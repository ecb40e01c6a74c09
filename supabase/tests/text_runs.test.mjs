// text_runs: people read their own; a text is reserved by its owner, and ended with the secret key, once.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { anon, createJob, leaveCredits, ok, refused, service, signUp } from './support.mjs';

let owner, stranger, admin;
before(async () => {
  [owner, stranger, admin] = [await signUp(), await signUp(), await signUp({ isAdmin: true })];
});

const order = (more = {}) => ({
  p_id: randomUUID(), p_kind: 'assistant', p_model: 'embedded-text', p_room: randomBytes(32).toString('hex'),
  p_request_id: 'r1', p_max_tokens: 2500, ...more,
});
const openRun = (person, more) => ok(person.client.rpc('open_text_run', order(more)));
const settle = (run, more = {}) => service.rpc('settle_text_run', {
  p_id: run.id, p_status: 'completed', p_prompt_tokens: 800, p_completion_tokens: 900, p_is_charged: true,
  p_switches: 1, p_first_token_ms: 40, p_duration_ms: 900, p_error: null, ...more,
});
const read = async (run) => (await ok(service.from('text_runs').select().eq('id', run.id)))[0];
const charges = (run) => ok(service.from('credit_ledger').select().eq('job_id', run.id));
const credits = (person) => ok(person.client.rpc('get_credits'));

describe('who may read and write', () => {
  let run;
  before(async () => { run = await openRun(owner); });

  test('anon may do nothing', async () => {
    await refused(anon.from('text_runs').select(), 401);
    await refused(anon.from('text_runs').insert(run), 401);
    await refused(anon.rpc('open_text_run', order()), 401);
  });

  test('the owner reads their own, a stranger and an admin nothing of it', async () => {
    assert.deepEqual(await ok(owner.client.from('text_runs').select().eq('id', run.id)), [run]);
    assert.deepEqual(await ok(stranger.client.from('text_runs').select()), []);
    assert.deepEqual(await ok(admin.client.from('text_runs').select()), []);
  });

  test('nobody writes the table, not even with the secret key', async () => {
    for (const client of [owner.client, stranger.client, admin.client, service]) {
      await refused(client.from('text_runs').insert({ ...run, id: randomUUID() }), 403);
      await refused(client.from('text_runs').update({ credits: 0 }).eq('id', run.id), 403);
      await refused(client.from('text_runs').delete().eq('id', run.id), 403);
    }
  });

  test('nobody ends a text but the secret key', async () => {
    for (const { client } of [owner, stranger, admin]) {
      await refused(client.rpc('settle_text_run', { p_id: run.id, p_status: 'completed', p_prompt_tokens: 0, p_completion_tokens: 0, p_is_charged: false, p_switches: 0, p_first_token_ms: 0, p_duration_ms: 0, p_error: null }), 403);
    }
    await refused(service.rpc('open_text_run', order()), 401);
  });
});

describe('reserving', () => {
  test('holds the most it may cost, beside what jobs hold', async () => {
    const person = await signUp();
    await createJob(person);
    const run = await openRun(person);
    assert.equal(run.reserved, 3, 'begun thousands count as whole ones');
    assert.deepEqual([run.status, run.cached, run.credits], ['running', 'miss', 0]);
    const state = await credits(person);
    assert.deepEqual([state.balance, state.reserved], [100, 4]);
    assert.deepEqual(state.open_texts, [{ id: run.id, credits: 3 }]);
    assert.equal(state.open_jobs.length, 1);
  });

  test('the same id again is the same text, and another\'s is refused', async () => {
    const asked = order();
    const run = await ok(owner.client.rpc('open_text_run', asked));
    assert.deepEqual(await ok(owner.client.rpc('open_text_run', asked)), run);
    await refused(stranger.client.rpc('open_text_run', asked), 409);
    await refused(owner.client.rpc('open_text_run', { ...asked, p_room: '0'.repeat(64) }), 409);
  });

  test('nobody reserves more than they have, however many try at once', async () => {
    const person = await signUp();
    await leaveCredits(person, 6);
    const tries = await Promise.all(Array.from({ length: 5 }, () => person.client.rpc('open_text_run', order())));
    assert.deepEqual(tries.map(({ status }) => status).sort(), [200, 200, 402, 402, 402]);
    const error = await refused(person.client.rpc('open_text_run', order()), 402);
    assert.equal(error.details, '3 needed, 0 left');
  });

  test('the price is the setting\'s', async () => {
    const setPrice = (price) => ok(service.from('settings').update({ value: { scene: 1, image: 1, text_per_1000_tokens: price } }).eq('key', 'prices'));
    try {
      await setPrice(4);
      assert.equal((await openRun(owner)).reserved, 10);
      assert.equal((await credits(owner)).prices.text_per_1000_tokens, 4);
    } finally {
      await setPrice(1);
    }
  });

  test('what makes no sense is refused', async () => {
    for (const wrong of [{ p_id: null }, { p_kind: 'Poem!' }, { p_room: 'x' }, { p_max_tokens: 0 }, { p_model: '' }, { p_request_id: 'x'.repeat(65) }]) {
      await refused(owner.client.rpc('open_text_run', order(wrong)), 422);
    }
  });
});

describe('settling', () => {
  test('charges what it took, once, however often and concurrently it is called', async () => {
    const run = await openRun(owner);
    const answers = await Promise.all(Array.from({ length: 8 }, () => ok(settle(run))));
    assert.equal(answers.filter(({ applied }) => applied).length, 1);
    for (const answer of answers) assert.equal(answer.credits, 2);
    assert.deepEqual((await charges(run)).map(({ user_id, kind, amount, reason }) => ({ user_id, kind, amount, reason })), [
      { user_id: owner.id, kind: 'charge', amount: -2, reason: 'assistant' },
    ]);
    const ended = await read(run);
    assert.deepEqual(
      [ended.status, ended.credits, ended.prompt_tokens, ended.completion_tokens, ended.switches, ended.first_token_ms],
      ['completed', 2, 800, 900, 1, 40],
    );
    assert.ok(ended.finished_at);
  });

  test('never charges more than was held', async () => {
    const run = await openRun(owner);
    assert.equal((await ok(settle(run, { p_completion_tokens: 90_000 }))).credits, 3);
  });

  test('a failure that gave nothing costs nothing and frees what was held', async () => {
    const person = await signUp();
    const run = await openRun(person);
    const settled = await ok(settle(run, { p_status: 'failed', p_is_charged: false, p_error: 'bad_answer' }));
    assert.deepEqual(settled, { applied: true, credits: 0 });
    assert.deepEqual(await charges(run), []);
    const state = await credits(person);
    assert.deepEqual([state.balance, state.reserved], [100, 0]);
    assert.equal((await read(run)).error, 'bad_answer');
  });

  test('one that failed at no cost may be tried again under its id, one that was paid may not', async () => {
    const asked = order();
    const run = await ok(owner.client.rpc('open_text_run', asked));
    await ok(settle(run, { p_status: 'failed', p_is_charged: false }));
    const again = await ok(owner.client.rpc('open_text_run', asked));
    assert.deepEqual([again.status, again.finished_at, again.error], ['running', null, null]);
    await ok(settle(again));
    await refused(owner.client.rpc('open_text_run', asked), 409);
    assert.equal((await charges(run)).length, 1);
  });

  test('an unknown text is 404, and an end that is none 422', async () => {
    await refused(settle({ id: randomUUID() }), 404);
    await refused(settle(await openRun(owner), { p_status: 'running' }), 422);
  });
});

describe('free answers', () => {
  const free = (more = {}) => ({
    p_id: randomUUID(), p_user_id: owner.id, p_kind: 'assistant', p_model: 'm', p_room: 'a'.repeat(64), p_request_id: 'r2',
    p_cache: 'hit', p_duration_ms: 3, ...more,
  });

  test('are recorded once, without a charge', async () => {
    const asked = free();
    await ok(service.rpc('record_free_text', asked));
    await ok(service.rpc('record_free_text', asked));
    const row = await read({ id: asked.p_id });
    assert.deepEqual([row.status, row.cached, row.credits, row.reserved], ['completed', 'hit', 0, 0]);
    assert.deepEqual(await charges({ id: asked.p_id }), []);
  });

  test('are no way around a price', async () => {
    await refused(service.rpc('record_free_text', free({ p_cache: 'miss' })), 422);
    await refused(owner.client.rpc('record_free_text', free()), 403);
  });
});

test('retention leaves young texts and the totals alone', async () => {
  const run = await openRun(owner);
  const done = await ok(service.rpc('delete_old_texts'));
  assert.deepEqual(done, { lost_texts: 0, text_runs: 0 });
  assert.equal((await read(run)).status, 'running');
});

// create_job and get_credits: the same order twice is one job, and spending never passes the balance.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { completeJob, createJob, finish, leaveCredits, ok, refused, sceneInput, service, signUp, uploadImage } from './support.mjs';

describe('ordering a job', () => {
  let owner, stranger;
  before(async () => {
    [owner, stranger] = [await signUp(), await signUp()];
  });
  const order = (person, fields = {}) =>
    person.client.rpc('create_job', { p_id: randomUUID(), p_kind: 'scene', p_input: sceneInput(), ...fields });

  test('the job belongs to the caller, at the price of its kind', async () => {
    const job = await createJob(owner);
    assert.equal(job.user_id, owner.id);
    assert.equal(job.status, 'queued');
    assert.equal(job.credits, 1);
    assert.equal(job.attempts, 0);
    assert.deepEqual(job.input, sceneInput());
    assert.deepEqual(job.outputs, []);
    assert.match(job.created_at, /^\d{4}-\d\d-\d\dT[\d:.]+\+00:00$/);
  });

  test('the same order again is the same job and reserves nothing more', async () => {
    const first = await createJob(owner);
    const { reserved } = await ok(owner.client.rpc('get_credits'));
    assert.deepEqual(await createJob(owner, first.id), first);
    assert.equal((await ok(owner.client.rpc('get_credits'))).reserved, reserved);
  });

  test('a double click is one job', async () => {
    const id = randomUUID();
    const jobs = await Promise.all(Array.from({ length: 5 }, () => createJob(owner, id)));
    for (const job of jobs) assert.deepEqual(job, jobs[0]);
  });

  test('the same id with another input is a conflict', async () => {
    const job = await createJob(owner);
    await refused(order(owner, { p_id: job.id, p_input: sceneInput('elsewhere') }), 409);
  });

  test('the id of somebody else\'s job is a conflict and shows nothing of it', async () => {
    const job = await createJob(owner);
    const error = await refused(order(stranger, { p_id: job.id }), 409);
    assert.ok(!JSON.stringify(error).includes(owner.id));
  });

  test('a completed job that was removed cannot be ordered again for nothing', async () => {
    const job = await completeJob(stranger);
    await ok(stranger.client.rpc('remove_finished_jobs', { p_older_than_days: 0 }));
    await refused(order(stranger, { p_id: job.id }), 409);
  });

  test('a key without a person is refused', async () => {
    await refused(service.rpc('create_job', { p_id: randomUUID(), p_kind: 'scene', p_input: {} }), 401);
    await refused(service.rpc('get_credits'), 401);
  });

  test('an unknown kind, no id or an input that is no object is refused', async () => {
    await refused(order(owner, { p_kind: 'banana' }), 422);
    await refused(order(owner, { p_kind: null }), 422);
    await refused(order(owner, { p_id: null }), 422);
    await refused(order(owner, { p_input: ['a'] }), 422);
    await refused(order(owner, { p_input: null }), 422);
  });

  test('a huge input is refused', async () => {
    await refused(order(owner, { p_input: sceneInput('x'.repeat(70_000)) }), 413);
  });

  test('the price is the setting\'s', async () => {
    const setPrice = (value) => ok(service.from('settings').update({ value }).eq('key', 'prices'));
    try {
      await setPrice({ scene: 3 });
      assert.equal((await createJob(owner)).credits, 3);
      await setPrice({ scene: 'free' });
      assert.equal((await createJob(owner)).credits, 1, 'nonsense counts as absent');
    } finally {
      await setPrice({ scene: 1, image: 1, text_per_1000_tokens: 1 });
    }
  });
});

describe('credits', () => {
  const credits = (person) => ok(person.client.rpc('get_credits'));
  const order = (person) => person.client.rpc('create_job', { p_id: randomUUID(), p_kind: 'scene', p_input: sceneInput() });

  test('the welcome grant is given on first sight, once', async () => {
    const person = await signUp();
    const answers = await Promise.all([credits(person), credits(person), credits(person)]);
    for (const answer of answers) assert.deepEqual(answer, { balance: 100, reserved: 0, open_jobs: [], open_texts: [], prices: { scene: 1, image: 1, text_per_1000_tokens: 1 } });
    assert.equal((await ok(person.client.from('credit_ledger').select())).length, 1);
  });

  test('an open job reserves, a completed one is charged', async () => {
    const person = await signUp();
    const job = await createJob(person);
    assert.deepEqual(await credits(person), { balance: 100, reserved: 1, open_jobs: [{ id: job.id, credits: 1 }], open_texts: [], prices: { scene: 1, image: 1, text_per_1000_tokens: 1 } });
    await ok(finish(job, await uploadImage(job)));
    assert.deepEqual(await credits(person), { balance: 99, reserved: 0, open_jobs: [], open_texts: [], prices: { scene: 1, image: 1, text_per_1000_tokens: 1 } });
  });

  test('without credits an order is refused and nothing is stored', async () => {
    const person = await signUp();
    await leaveCredits(person, 0);
    const error = await refused(order(person), 402);
    assert.equal(error.message, 'not enough credits');
    assert.deepEqual(await ok(person.client.from('jobs').select()), []);
  });

  test('ten orders at once on three credits are three jobs', async () => {
    const person = await signUp();
    await leaveCredits(person, 3);
    const answers = await Promise.all(Array.from({ length: 10 }, () => order(person)));
    const statuses = answers.map(({ status }) => status).sort();
    assert.deepEqual(statuses, [200, 200, 200, 402, 402, 402, 402, 402, 402, 402]);
    assert.equal((await credits(person)).reserved, 3);
  });

  test('a cancelled job gives its reservation back', async () => {
    const person = await signUp();
    await leaveCredits(person, 1);
    const job = await createJob(person);
    await refused(order(person), 402);
    await ok(person.client.rpc('cancel_job', { p_id: job.id }));
    assert.equal((await order(person)).status, 200);
  });
});

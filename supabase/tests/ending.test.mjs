// finish_job, fail_job, cancel_job: exactly one end, and its effects once.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { anon, claimJob, createJob, finish, ok, readJob, refused, sceneInput, service, signUp, uploadImage } from './support.mjs';

let owner, stranger, admin;
before(async () => {
  [owner, stranger, admin] = [await signUp(), await signUp(), await signUp({ isAdmin: true })];
});

const fail = (job) => service.rpc('fail_job', { p_id: job.id, p_code: 'engine', p_detail: 'it broke' });
const cancel = (person, job) => person.client.rpc('cancel_job', { p_id: job.id });
const rowsOf = async (job) => ({
  scenes: await ok(service.from('scenes').select().eq('id', job.id)),
  charges: await ok(service.from('credit_ledger').select().eq('job_id', job.id)),
  outbox: await ok(service.from('outbox').select().eq('job_id', job.id)),
});

describe('finishing', () => {
  test('stores the scene, the charge and the message in one go', async () => {
    const job = await createJob(owner);
    await claimJob(job);
    const outputs = await uploadImage(job);
    const { applied, job: ended } = await ok(finish(job, outputs));
    assert.equal(applied, true);
    assert.equal(ended.status, 'completed');
    assert.equal(ended.progress, 100);
    assert.deepEqual(ended.outputs, outputs);
    assert.equal(ended.lease_until, null);
    assert.ok(ended.finished_at);

    const { scenes, charges, outbox } = await rowsOf(job);
    assert.equal(scenes.length, 1);
    assert.equal(scenes[0].image_url, outputs[0].path);
    assert.equal(scenes[0].decor, job.input.decor);
    assert.deepEqual(charges.map(({ user_id, kind, amount, reason }) => ({ user_id, kind, amount, reason })), [
      { user_id: owner.id, kind: 'charge', amount: -1, reason: 'scene' },
    ]);
    assert.equal(outbox.length, 1);
    assert.equal(outbox[0].topic, 'discord');
    assert.equal(outbox[0].event, 'scene.completed');
    assert.equal(outbox[0].status, 'pending');
    assert.deepEqual(outbox[0].payload, {
      job_id: job.id, scene: sceneInput(), image_path: outputs[0].path, metadata: { run_ms: 1500 },
    });
  });

  test('ten times at once is once', async () => {
    const job = await createJob(owner);
    await claimJob(job);
    const outputs = await uploadImage(job);
    const answers = await Promise.all(Array.from({ length: 10 }, () => ok(finish(job, outputs))));
    assert.equal(answers.filter(({ applied }) => applied).length, 1);
    for (const { job: ended } of answers) assert.equal(ended.status, 'completed');
    const { scenes, charges, outbox } = await rowsOf(job);
    assert.deepEqual([scenes.length, charges.length, outbox.length], [1, 1, 1]);
  });

  test('is refused while an output is not in storage, and changes nothing', async () => {
    const job = await createJob(owner);
    await claimJob(job);
    await refused(finish(job, [{ path: `scenes/${owner.id}/${job.id}/0.png` }]), 409);
    assert.equal((await readJob(job.id)).status, 'initializing');
    const { scenes, charges, outbox } = await rowsOf(job);
    assert.deepEqual([scenes.length, charges.length, outbox.length], [0, 0, 0]);
  });

  test('is refused for a file outside the job\'s folder, or for none', async () => {
    const [job, another] = [await createJob(owner), await createJob(stranger)];
    const outputs = await uploadImage(another);
    await refused(finish(job, outputs), 422);
    await refused(finish(job, []), 422);
    await refused(finish(job, {}), 422);
    await refused(finish(job, [{}]), 422);
  });

  test('a job that is gone is 404', async () => {
    await refused(finish({ id: randomUUID() }, [{ path: 'x' }]), 404);
    await refused(fail({ id: randomUUID() }), 404);
  });

  test('nothing follows a cancellation', async () => {
    const job = await createJob(owner);
    const outputs = await uploadImage(job);
    await ok(cancel(owner, job));
    const { applied, job: ended } = await ok(finish(job, outputs));
    assert.equal(applied, false);
    assert.equal(ended.status, 'cancelled');
    const { scenes, charges, outbox } = await rowsOf(job);
    assert.deepEqual([scenes.length, charges.length, outbox.length], [0, 0, 0]);
  });
});

describe('failing', () => {
  test('says why, charges nothing and tells of it once', async () => {
    const job = await createJob(owner);
    await claimJob(job);
    const answers = await Promise.all([ok(fail(job)), ok(fail(job)), ok(fail(job))]);
    assert.equal(answers.filter(({ applied }) => applied).length, 1);
    const ended = await readJob(job.id);
    assert.equal(ended.status, 'failed');
    assert.deepEqual(ended.error, { code: 'engine', detail: 'it broke' });
    const { scenes, charges, outbox } = await rowsOf(job);
    assert.deepEqual([scenes.length, charges.length], [0, 0]);
    assert.deepEqual(outbox.map(({ event, payload }) => ({ event, payload })), [
      { event: 'scene.failed', payload: { job_id: job.id, scene: sceneInput(), error: { code: 'engine', detail: 'it broke' } } },
    ]);
  });

  test('does not undo a completion', async () => {
    const job = await createJob(owner);
    await ok(finish(job, await uploadImage(job)));
    const { applied, job: ended } = await ok(fail(job));
    assert.equal(applied, false);
    assert.equal(ended.status, 'completed');
  });
});

describe('cancelling', () => {
  test('ends the owner\'s job without a charge, twice as once', async () => {
    const job = await createJob(owner);
    await claimJob(job);
    const first = await ok(cancel(owner, job));
    assert.equal(first.status, 'cancelled');
    assert.deepEqual(await ok(cancel(owner, job)), first);
    const { charges, outbox } = await rowsOf(job);
    assert.deepEqual([charges.length, outbox.length], [0, 0]);
  });

  test('leaves an ended job as it is', async () => {
    const job = await createJob(owner);
    await ok(finish(job, await uploadImage(job)));
    assert.equal((await ok(cancel(owner, job))).status, 'completed');
  });

  test('a stranger\'s job and an unknown one look the same', async () => {
    const job = await createJob(owner);
    const theirs = await refused(cancel(stranger, job), 404);
    const unknown = await refused(cancel(stranger, { id: randomUUID() }), 404);
    assert.deepEqual(theirs, unknown);
    assert.equal((await readJob(job.id)).status, 'queued');
  });

  test('an admin cancels anyone\'s', async () => {
    const job = await createJob(owner);
    assert.equal((await ok(cancel(admin, job))).status, 'cancelled');
  });

  test('anon and a key without a person are refused', async () => {
    const job = await createJob(owner);
    await refused(anon.rpc('cancel_job', { p_id: job.id }), 401);
    await refused(service.rpc('cancel_job', { p_id: job.id }), 401);
  });
});

test('of finishing, failing and cancelling at once exactly one happens', async () => {
  for (let round = 0; round < 5; round += 1) {
    const job = await createJob(owner);
    await claimJob(job);
    const outputs = await uploadImage(job);
    await Promise.all([ok(cancel(owner, job)), ok(finish(job, outputs)), ok(fail(job)), ok(finish(job, outputs))]);
    const { status } = await readJob(job.id);
    const { scenes, charges, outbox } = await rowsOf(job);
    const isCompleted = status === 'completed' ? 1 : 0;
    assert.deepEqual([scenes.length, charges.length], [isCompleted, isCompleted], status);
    assert.equal(outbox.length, status === 'cancelled' ? 0 : 1, status);
  }
});

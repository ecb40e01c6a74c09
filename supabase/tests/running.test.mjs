// claim_job, report_progress, release_job, reap_jobs: one run at a time, and none is lost.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { ago, claimJob, createJob, finish, ok, readJob, refused, service, signUp, uploadImage } from './support.mjs';

let owner;
before(async () => {
  owner = await signUp();
});

const report = (job, status, progress, message = '') => ok(service.rpc('report_progress', {
  p_id: job.id, p_status: status, p_progress: progress, p_message: message, p_lease_seconds: 30,
}));
const release = (job, counts = true) => ok(service.rpc('release_job', { p_id: job.id, p_message: 'no node', p_counts: counts }));
const change = (job, fields) => ok(service.from('jobs').update(fields).eq('id', job.id));
const cancel = (job) => ok(owner.client.rpc('cancel_job', { p_id: job.id }));

describe('claiming', () => {
  test('a claim starts a run and its lease', async () => {
    const job = await createJob(owner);
    const claim = await claimJob(job);
    assert.equal(claim.outcome, 'claimed');
    assert.equal(claim.job.status, 'initializing');
    assert.equal(claim.job.attempts, 1);
    assert.ok(claim.job.started_at);
    const leaseMs = Date.parse(claim.job.lease_until) - Date.now();
    assert.ok(leaseMs > 20_000 && leaseMs <= 31_000, String(leaseMs));
  });

  test('of ten claims at once one wins', async () => {
    const job = await createJob(owner);
    const outcomes = (await Promise.all(Array.from({ length: 10 }, () => claimJob(job)))).map(({ outcome }) => outcome);
    assert.equal(outcomes.filter((outcome) => outcome === 'claimed').length, 1);
    assert.equal(outcomes.filter((outcome) => outcome === 'busy').length, 9);
  });

  test('a lease that ran out can be claimed again, with its progress and first start', async () => {
    const job = await createJob(owner);
    const first = await claimJob(job);
    await report(job, 'generating', 40);
    await change(job, { lease_until: ago(1) });
    const second = await claimJob(job);
    assert.equal(second.outcome, 'claimed');
    assert.equal(second.job.attempts, 2);
    assert.equal(second.job.progress, 40);
    assert.equal(second.job.started_at, first.job.started_at);
  });

  test('an ended job and an unknown one are said to be so', async () => {
    const job = await createJob(owner);
    await cancel(job);
    const ended = await claimJob(job);
    assert.equal(ended.outcome, 'ended');
    assert.equal(ended.job.status, 'cancelled');
    assert.deepEqual(await claimJob({ id: randomUUID() }), { outcome: 'missing', job: null });
  });

  test('after eight attempts the job fails instead of circling', async () => {
    const job = await createJob(owner);
    await change(job, { attempts: 8 });
    const claim = await claimJob(job);
    assert.equal(claim.outcome, 'ended');
    assert.equal(claim.job.status, 'failed');
    assert.equal(claim.job.error.code, 'attempts_exhausted');
    assert.equal((await ok(service.from('outbox').select().eq('job_id', job.id))).length, 1);
  });

  test('a lease is an hour at most', async () => {
    const { job } = await claimJob(await createJob(owner), 1_000_000);
    assert.ok(Date.parse(job.lease_until) - Date.now() <= 3_601_000);
  });
});

describe('reporting progress', () => {
  test('moves the job on and extends the lease', async () => {
    const job = await createJob(owner);
    await claimJob(job, 1);
    assert.deepEqual(await report(job, 'generating', 30, 'step 3 of 10'), { status: 'generating' });
    const read = await readJob(job.id);
    assert.equal(read.progress, 30);
    assert.equal(read.message, 'step 3 of 10');
    assert.ok(Date.parse(read.lease_until) - Date.now() > 20_000);
  });

  test('progress never falls and 100 is kept for the end', async () => {
    const job = await createJob(owner);
    await claimJob(job);
    await report(job, 'generating', 60);
    await report(job, 'generating', 20);
    assert.equal((await readJob(job.id)).progress, 60);
    await report(job, 'saving', 100);
    assert.equal((await readJob(job.id)).progress, 99);
  });

  test('an ended job stays as it is and the run learns of it', async () => {
    const job = await createJob(owner);
    await claimJob(job);
    await cancel(job);
    assert.deepEqual(await report(job, 'saving', 90), { status: 'cancelled' });
    assert.equal((await readJob(job.id)).lease_until, null);
  });

  test('only a status of a run can be reported', async () => {
    const job = await createJob(owner);
    for (const status of ['queued', 'completed', 'failed', 'cancelled', 'resting', null]) {
      await refused(service.rpc('report_progress', {
        p_id: job.id, p_status: status, p_progress: 1, p_message: '', p_lease_seconds: 30,
      }), 422);
    }
  });

  test('a job that is gone is 404', async () => {
    await refused(service.rpc('report_progress', {
      p_id: randomUUID(), p_status: 'saving', p_progress: 1, p_message: '', p_lease_seconds: 30,
    }), 404);
  });
});

describe('releasing', () => {
  test('puts the job back without a lease', async () => {
    const job = await createJob(owner);
    await claimJob(job);
    assert.deepEqual(await release(job), { status: 'queued' });
    const read = await readJob(job.id);
    assert.equal(read.lease_until, null);
    assert.equal(read.attempts, 1);
    assert.equal(read.message, 'no node');
    assert.equal((await claimJob(job)).outcome, 'claimed');
  });

  test('a delivery that found no node does not count as an attempt', async () => {
    const job = await createJob(owner);
    await claimJob(job);
    await release(job, false);
    assert.equal((await readJob(job.id)).attempts, 0);
    await release(job, false);
    assert.equal((await readJob(job.id)).attempts, 0);
  });

  test('an ended job is not put back', async () => {
    const job = await createJob(owner);
    await cancel(job);
    assert.deepEqual(await release(job), { status: 'cancelled' });
  });
});

describe('reaping', () => {
  const reap = async () => {
    const jobs = await ok(service.rpc('reap_jobs', { p_limit: 1000, p_queued_grace_seconds: 60 }));
    return jobs.map(({ id }) => id);
  };

  test('a job that was stored but never queued is named, once per grace', async () => {
    const job = await createJob(owner);
    assert.ok(!(await reap()).includes(job.id), 'within the grace it is left alone');
    await change(job, { queued_at: ago(1) });
    const reaped = await ok(service.rpc('reap_jobs', { p_limit: 1000, p_queued_grace_seconds: 60 }));
    assert.deepEqual(reaped.find(({ id }) => id === job.id), { id: job.id, kind: 'scene' });
    assert.ok(!(await reap()).includes(job.id));
  });

  test('a run that went silent is put back at once, one that lives is not', async () => {
    const [silent, alive] = [await createJob(owner), await createJob(owner)];
    await claimJob(silent);
    await claimJob(alive);
    await change(silent, { lease_until: ago(1) });
    const reaped = await reap();
    assert.ok(reaped.includes(silent.id));
    assert.ok(!reaped.includes(alive.id));
    const read = await readJob(silent.id);
    assert.equal(read.status, 'queued');
    assert.equal(read.attempts, 1);
    assert.ok(!(await reap()).includes(silent.id));
  });

  test('an ended job is left alone', async () => {
    const job = await createJob(owner);
    await change(job, { queued_at: ago(1) });
    await cancel(job);
    assert.ok(!(await reap()).includes(job.id));
  });

  test('two reapers at once never name the same job', async () => {
    const jobs = [];
    for (let n = 0; n < 6; n += 1) jobs.push(await createJob(owner));
    for (const job of jobs) await change(job, { queued_at: ago(1) });
    const named = (await Promise.all([reap(), reap(), reap()])).flat().filter((id) => jobs.some((job) => job.id === id));
    assert.equal(named.length, 6);
    assert.equal(new Set(named).size, 6);
  });

  test('the limit holds', async () => {
    const jobs = [await createJob(owner), await createJob(owner)];
    for (const job of jobs) await change(job, { queued_at: ago(1) });
    assert.equal((await ok(service.rpc('reap_jobs', { p_limit: 1, p_queued_grace_seconds: 60 }))).length, 1);
  });

  test('a run taken for dead that comes back cannot make a second end', async () => {
    const job = await createJob(owner);
    await claimJob(job);
    await change(job, { lease_until: ago(1) });
    await reap();
    await claimJob(job);
    const outputs = await uploadImage(job);
    const [one, two] = await Promise.all([ok(finish(job, outputs)), ok(finish(job, outputs))]);
    assert.equal(one.applied !== two.applied, true);
  });
});

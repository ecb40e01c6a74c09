// image_generations: one per caller's id, told of step by step and in order, whoever else asks, and gone if withdrawn.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { anon, claimJob, createImages, finish, imageInput, leaveCredits, ok, readJob, refused, service, signUp, uploadImages } from './support.mjs';

const report = (job, status) => ok(service.rpc('report_progress', { p_id: job.id, p_status: status, p_progress: 50, p_message: '', p_lease_seconds: 30 }));
const eventsOf = async (job) => (await ok(service.from('outbox').select().eq('job_id', job.id).order('sequence'))).map(({ event }) => event);
const generationOf = (job) => ok(service.from('image_generations').select().eq('job_id', job.id).maybeSingle());
const TOLD = ['image.initializing', 'image.generating', 'image.saving', 'image.completed'];

describe('image_generations', () => {
  let owner, stranger, admin;
  before(async () => {
    [owner, stranger, admin] = [await signUp(), await signUp(), await signUp({ isAdmin: true })];
  });

  test('the owner and an admin read one, a stranger and anon do not, and nobody writes', async () => {
    const job = await createImages(owner);
    const read = (client) => client.from('image_generations').select().eq('id', job.input.generation_id);
    assert.equal((await ok(read(owner.client))).length, 1);
    assert.equal((await ok(read(admin.client))).length, 1);
    assert.deepEqual(await ok(read(stranger.client)), []);
    await refused(read(anon), 401);
    for (const { client } of [owner, admin]) {
      await refused(client.from('image_generations').update({ prompt: 'x' }).eq('job_id', job.id), 403);
      await refused(client.from('image_generations').delete().eq('job_id', job.id), 403);
    }
  });

  test('holds what was asked for', async () => {
    const job = await createImages(owner, { id: 'cm4abc123def456ghi789' });
    const { created_at: _created, updated_at: _updated, last_event: last, ...row } = await generationOf(job);
    assert.deepEqual(row, {
      id: 'cm4abc123def456ghi789', job_id: job.id, user_id: owner.id, prompt: 'a cat with sunglasses', input_image_url: null,
      num_images: 2, size: '64x32', format: 'PNG', style: 'illustration', quality: 'high', status: 'queued', error_message: null,
    });
    assert.deepEqual([last.event, last.job_id], ['queued', 'cm4abc123def456ghi789']);
    assert.match(last.at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  test('the same id of the same person is the same job, even said otherwise; another person\'s is refused', async () => {
    const first = await createImages(owner);
    const { generation_id: id } = first.input;
    assert.deepEqual(await createImages(owner, { id, jobId: first.id, changes: { prompt: 'a dog' } }), first);
    const order = (person, jobId) => person.client.rpc('create_job', { p_id: jobId, p_kind: 'image', p_input: imageInput(id) });
    await refused(order(stranger, first.id), 409);
    await refused(order(stranger, randomUUID()), 409);
    await refused(order(owner, randomUUID()), 409);
    assert.equal((await ok(service.from('jobs').select('id').eq('kind', 'image').eq('user_id', stranger.id))).length, 0);
  });

  test('costs a credit per picture', async () => {
    const buyer = await signUp();
    await leaveCredits(buyer, 3);
    assert.equal((await createImages(buyer)).credits, 2);
    const { reserved, prices } = await ok(buyer.client.rpc('get_credits'));
    assert.deepEqual([reserved, prices.image], [2, 1]);
    await refused(buyer.client.rpc('create_job', { p_id: randomUUID(), p_kind: 'image', p_input: imageInput('one-too-many') }), 402);
    assert.deepEqual(await ok(service.from('image_generations').select().eq('id', 'one-too-many')), []);
  });

  test('what is no order for images is refused', async () => {
    const wrong = [
      { generation_id: '../x' }, { generation_id: null }, { prompt: null }, { num_images: 9 }, { num_images: 'many' }, { num_images: 1e30 },
      { format: 'GIF' }, { quality: 'best' }, { size: 'big' },
    ];
    for (const changes of wrong) {
      const order = owner.client.rpc('create_job', { p_id: randomUUID(), p_kind: 'image', p_input: imageInput(`w-${randomUUID()}`, changes) });
      await refused(order, 422);
    }
  });

  test('an admin orders for somebody, who owns it and pays for it; nobody else does', async () => {
    const job = await createImages(admin, { owner: owner.id });
    assert.equal(job.user_id, owner.id);
    const held = await ok(admin.client.rpc('get_credits', { p_user_id: owner.id }));
    assert.ok(held.open_jobs.some(({ id, credits }) => id === job.id && credits === 2));
    await refused(stranger.client.rpc('create_job', { p_id: randomUUID(), p_kind: 'image', p_input: imageInput('for-another'), p_user_id: owner.id }), 403);
    await refused(stranger.client.rpc('get_credits', { p_user_id: owner.id }), 403);
  });

  test('every step is told once and in order, whatever the run reported', async () => {
    const job = await createImages(owner);
    await claimJob(job);
    assert.deepEqual(await eventsOf(job), TOLD.slice(0, 1));
    await report(job, 'generating');
    await report(job, 'generating');
    await ok(service.rpc('release_job', { p_id: job.id, p_message: 'again', p_counts: true }));
    await claimJob(job);
    await report(job, 'initializing');
    assert.deepEqual(await eventsOf(job), TOLD.slice(0, 2));
    assert.equal((await generationOf(job)).status, 'generating');
    const outputs = await uploadImages(job);
    await Promise.all([ok(finish(job, outputs)), ok(finish(job, outputs))]);
    assert.deepEqual(await eventsOf(job), TOLD);
    const [last] = await ok(service.from('outbox').select().eq('job_id', job.id).eq('event', 'image.completed'));
    const { status, last_event: event } = await generationOf(job);
    assert.equal(status, 'completed');
    assert.deepEqual(last.payload, event);
    assert.equal(last.topic, 'webhook');
    assert.deepEqual(event.metadata, { run_ms: 1500, model: 'tiny', model_revision: 'r1' });
    const [charge] = await ok(service.from('credit_ledger').select().eq('job_id', job.id));
    assert.deepEqual([charge.amount, charge.reason], [-2, 'image']);
  });

  test('of one that nobody is told of each step is noted too, but leaves no entry', async () => {
    const silent = { changes: { has_receiver: false } };
    const job = await createImages(owner, silent);
    await claimJob(job);
    await report(job, 'generating');
    await ok(service.rpc('release_job', { p_id: job.id, p_message: 'again', p_counts: true }));
    await claimJob(job);
    assert.equal((await generationOf(job)).status, 'generating', 'a second run tells nothing twice');
    await ok(finish(job, await uploadImages(job)));
    const { status, last_event: last } = await generationOf(job);
    assert.deepEqual([status, last.event, last.images.length], ['completed', 'completed', 2]);
    assert.deepEqual(await eventsOf(job), []);
    const [charge] = await ok(service.from('credit_ledger').select().eq('job_id', job.id));
    assert.equal(charge.amount, -2);

    const failed = await createImages(owner, silent);
    await claimJob(failed);
    await ok(service.rpc('fail_job', { p_id: failed.id, p_code: 'invalid_request', p_detail: 'no room' }));
    assert.deepEqual([(await generationOf(failed)).error_message, await eventsOf(failed)], ['no room', []]);
    const told = await createImages(owner, { changes: { has_receiver: true } });
    await claimJob(told);
    assert.deepEqual(await eventsOf(told), TOLD.slice(0, 1));
  });

  test('a later event waits for the earlier ones, also after the job has ended', async () => {
    const job = await createImages(owner);
    await claimJob(job);
    await ok(finish(job, await uploadImages(job)));
    const told = [];
    for (;;) {
      const due = (await ok(service.rpc('claim_outbox', { p_limit: 100, p_lease_seconds: 60 }))).filter((entry) => entry.job_id === job.id);
      if (!due.length) break;
      assert.equal(due.length, 1);
      told.push(due[0].event);
      await ok(service.rpc('settle_outbox', { p_id: due[0].id, p_outcome: 'delivered', p_error: null, p_retry_seconds: null }));
    }
    assert.deepEqual(told, TOLD);
  });

  test('a failure and a cancellation are told with their reason, and end the order of events', async () => {
    const failed = await createImages(owner);
    await claimJob(failed);
    await ok(service.rpc('fail_job', { p_id: failed.id, p_code: 'invalid_request', p_detail: 'takes no input picture' }));
    await ok(service.rpc('fail_job', { p_id: failed.id, p_code: 'other', p_detail: 'again' }));
    assert.deepEqual(await eventsOf(failed), ['image.initializing', 'image.failed']);
    const { status, error_message: message, last_event: event } = await generationOf(failed);
    assert.deepEqual([status, message, event.error.code], ['failed', 'takes no input picture', 'invalid_request']);

    const cancelled = await createImages(owner);
    await ok(owner.client.rpc('cancel_job', { p_id: cancelled.id }));
    await ok(owner.client.rpc('cancel_job', { p_id: cancelled.id }));
    assert.deepEqual(await eventsOf(cancelled), ['image.failed']);
    assert.equal((await generationOf(cancelled)).last_event.error.code, 'cancelled');
  });

  test('one that never began can be withdrawn by its owner, and its id is free again', async () => {
    const job = await createImages(owner);
    const withdraw = (person, of) => ok(person.client.rpc('withdraw_job', { p_id: of.id }));
    assert.deepEqual(await withdraw(stranger, job), { withdrawn: false });
    assert.deepEqual(await withdraw(owner, job), { withdrawn: true });
    assert.equal(await generationOf(job), null);
    const again = await createImages(owner, { id: job.input.generation_id });
    await claimJob(again);
    assert.deepEqual(await withdraw(owner, again), { withdrawn: false });
    assert.equal((await readJob(again.id)).status, 'initializing');
  });
});

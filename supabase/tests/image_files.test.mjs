// image_files and the buckets behind them: rows come from finish_job alone, and follow who may read the generation.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { anon, claimJob, createImages, finish, ok, PNG, refused, service, signUp, uploadImages } from './support.mjs';

describe('image_files', () => {
  let owner, stranger, admin, job, outputs;
  before(async () => {
    [owner, stranger, admin] = [await signUp(), await signUp(), await signUp({ isAdmin: true })];
    job = await createImages(owner);
    await claimJob(job);
    outputs = await uploadImages(job);
    await ok(finish(job, outputs));
  });
  const read = (client) => client.from('image_files').select().eq('generationId', job.input.generation_id).order('number');

  test('the owner reads a row per picture, as the front end names its columns', async () => {
    const rows = (await ok(read(owner.client))).map(({ id: _id, created_at: _at, ...row }) => row);
    assert.deepEqual(rows, [1, 2].map((number) => ({
      generationId: job.input.generation_id,
      generationid: job.input.generation_id,
      number,
      file_path: `images/${job.input.generation_id}/image_${number}.png`,
      url: `https://files.example/${job.input.generation_id}/image_${number}.png`,
      description: 'a cat with sunglasses',
      format: 'PNG',
      size_bytes: PNG.length,
      dimensions: '64x32',
    })));
  });

  test('an admin reads them, a stranger and anon do not, and nobody writes', async () => {
    assert.equal((await ok(read(admin.client))).length, 2);
    assert.deepEqual(await ok(read(stranger.client)), []);
    await refused(read(anon), 401);
    await refused(owner.client.from('image_files').delete().eq('number', 1), 403);
    await refused(owner.client.from('image_files').update({ url: 'x' }).eq('number', 1), 403);
  });

  test('the event of the end lists the same pictures', async () => {
    const generation = await ok(service.from('image_generations').select().eq('job_id', job.id).single());
    const files = await ok(read(service));
    assert.deepEqual(generation.last_event.images, files.map(({ file_path, url, description, format, size_bytes, dimensions }) => (
      { file_path, url, description, format, size_bytes, dimensions }
    )));
  });

  test('the bytes are the owner\'s alone, and only the secret key writes', async () => {
    const name = outputs[0].path.slice('images/'.length);
    assert.deepEqual(new Uint8Array(await (await ok(owner.client.storage.from('images').download(name))).arrayBuffer()), PNG);
    for (const client of [anon, stranger.client]) assert.notEqual((await client.storage.from('images').download(name)).error, null);
    assert.notEqual((await owner.client.storage.from('images').upload(`${job.input.generation_id}/x.png`, PNG, { contentType: 'image/png' })).error, null);
    const { signedUrl } = await ok(service.storage.from('images').createSignedUrl(name, 60));
    assert.deepEqual(new Uint8Array(await (await fetch(signedUrl)).arrayBuffer()), PNG);
  });

  test('a result in another folder or not in storage is refused', async () => {
    const other = await createImages(owner);
    await refused(finish(other, outputs), 422);
    await refused(finish(other, [{ path: `images/${other.input.generation_id}/image_1.png` }]), 409);
  });

  test('files that nothing shows are found: of ended jobs, and pictures they started from', async () => {
    const stray = async () => ok(service.rpc('find_stray_files', { p_limit: 1000, p_age_seconds: 0 }));
    const running = await createImages(owner);
    const input = `${owner.id}/${running.id}/0.png`;
    await ok(service.storage.from('inputs').upload(input, PNG, { contentType: 'image/png' }));
    const [{ path: half }] = await uploadImages(running, 1);
    const kept = outputs.map(({ path }) => path);
    const before = await stray();
    assert.deepEqual([...kept, half, `inputs/${input}`].filter((path) => before.includes(path)), []);
    assert.deepEqual(new Uint8Array(await (await ok(owner.client.storage.from('inputs').download(input))).arrayBuffer()), PNG);
    assert.notEqual((await stranger.client.storage.from('inputs').download(input)).error, null);
    await ok(owner.client.rpc('cancel_job', { p_id: running.id }));
    const after = await stray();
    assert.deepEqual([half, `inputs/${input}`].filter((path) => !after.includes(path)), []);
    assert.deepEqual(kept.filter((path) => after.includes(path)), []);
  });
});

// The bucket of scenes: people read, list and remove what lies in their own folder; only the secret key writes.

import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { anon, createJob, imageName, ok, PNG, publishableKey, service, signUp, uploadImage, url } from './support.mjs';

describe('storage', () => {
  let owner, stranger, admin, job, name;
  const bucketOf = (client) => client.storage.from('scenes');
  const fails = async (query) => assert.notEqual((await query).error, null);
  const readBytes = async (client) => new Uint8Array(await (await ok(bucketOf(client).download(name))).arrayBuffer());

  before(async () => {
    [owner, stranger, admin] = [await signUp(), await signUp(), await signUp({ isAdmin: true })];
    job = await createJob(owner);
    name = imageName(job);
    await uploadImage(job);
  });

  test('the owner gets the very bytes and their type', async () => {
    const blob = await ok(bucketOf(owner.client).download(name));
    assert.equal(blob.type, 'image/png');
    assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), PNG);
  });

  test('anon, a stranger and an admin get nothing', async () => {
    for (const client of [anon, stranger.client, admin.client]) {
      await fails(bucketOf(client).download(name));
      await fails(bucketOf(client).createSignedUrl(name, 60));
      assert.deepEqual((await bucketOf(client).list(owner.id)).data ?? [], []);
    }
  });

  test('the bucket is not public', async () => {
    const response = await fetch(`${url}/storage/v1/object/public/scenes/${name}`, { headers: { apikey: publishableKey } });
    assert.ok([400, 404].includes(response.status), String(response.status));
  });

  test('the owner lists their own folder', async () => {
    const [folder] = await ok(bucketOf(owner.client).list(owner.id));
    assert.equal(folder.name, job.id);
    const [file] = await ok(bucketOf(owner.client).list(`${owner.id}/${job.id}`));
    assert.equal(file.name, '0.png');
  });

  test('the owner shares a file by a signed address', async () => {
    const { signedUrl } = await ok(bucketOf(owner.client).createSignedUrl(name, 60));
    const response = await fetch(signedUrl);
    assert.equal(response.status, 200);
    assert.deepEqual(new Uint8Array(await response.arrayBuffer()), PNG);
  });

  test('nobody uploads, replaces, moves or copies, not even in their own folder', async () => {
    for (const { client, id } of [owner, stranger, admin]) {
      await fails(bucketOf(client).upload(`${id}/mine.png`, PNG, { contentType: 'image/png' }));
      await fails(bucketOf(client).upload(name, Uint8Array.of(1), { contentType: 'image/png', upsert: true }));
      await fails(bucketOf(client).update(name, Uint8Array.of(1), { contentType: 'image/png' }));
      await fails(bucketOf(client).move(name, `${id}/mine.png`));
      await fails(bucketOf(client).copy(name, `${id}/mine.png`));
      await fails(bucketOf(client).createSignedUploadUrl(`${id}/mine.png`));
    }
    assert.deepEqual(await readBytes(owner.client), PNG);
  });

  test('a stranger and an admin remove nothing', async () => {
    for (const { client } of [stranger, admin]) await bucketOf(client).remove([name]);
    assert.deepEqual(await readBytes(owner.client), PNG);
  });

  test('the top of the bucket shows people their own folder only', async () => {
    assert.deepEqual((await ok(bucketOf(owner.client).list(''))).map((folder) => folder.name), [owner.id]);
    assert.deepEqual(await ok(bucketOf(stranger.client).list('')), []);
  });

  test('the secret key replaces a file in place', async () => {
    await uploadImage(job);
    assert.equal((await ok(bucketOf(service).list(`${owner.id}/${job.id}`))).length, 1);
  });

  test('only pictures are taken', async () => {
    await fails(bucketOf(service).upload(`${owner.id}/page.html`, '<p>', { contentType: 'text/html' }));
  });

  test('the owner removes their own', async () => {
    await ok(bucketOf(owner.client).remove([name]));
    await fails(bucketOf(service).download(name));
  });
});

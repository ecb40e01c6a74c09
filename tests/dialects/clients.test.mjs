// RunPod's and Replicate's official JavaScript clients against a running node: NODE_URL and NODE_TOKEN say which.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import Replicate, { validateWebhook } from 'replicate';
import runpodSdk from 'runpod-sdk';

const { NODE_URL, NODE_TOKEN } = process.env;
const MODEL = process.env.CHANDELLE_IMAGE_MODEL ?? 'embedded-scene';
const endpoint = runpodSdk(NODE_TOKEN, { baseUrl: `${NODE_URL}/v2` }).endpoint(MODEL);
const replicate = new Replicate({ auth: NODE_TOKEN, baseUrl: `${NODE_URL}/v1` });
const input = { prompt: 'a red star, mountains, forest', num_inference_steps: 2, seed: 7 };
/** Long enough to be cancelled while it runs. */
const long = { ...input, num_inference_steps: 150, num_images: 8 };
const ref = `chandelle/${MODEL}`;
const isPng = (bytes) => Buffer.from(bytes).subarray(1, 4).toString() === 'PNG';
const ofDataUrl = (url) => Buffer.from(url.split(',')[1], 'base64');

async function collect(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

/** Runs `order` with the address of a receiver that waits for one webhook. */
async function webhookOf(order) {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const called = once(server, 'request');
    await order(`http://127.0.0.1:${server.address().port}/hook`);
    const [request, response] = await called;
    const body = (await collect(request)).join('');
    response.end();
    return { headers: request.headers, body };
  } finally {
    server.close();
  }
}

test('RunPod: runSync gives the picture', async () => {
  const done = await endpoint.runSync({ input });
  assert.deepEqual([done.status, done.completed, done.succeeded], ['COMPLETED', true, true]);
  assert.ok(isPng(ofDataUrl(done.output.images[0])));
  assert.equal(done.output.seed, 7);
  assert.ok(Number.isInteger(done.delayTime) && Number.isInteger(done.executionTime));
});

test('RunPod: runSync asks on with status-sync when the job outlasts its wait', async () => {
  const blocker = await endpoint.run({ input: { ...long, num_images: 1, num_inference_steps: 40 } });
  const done = await endpoint.runSync({ input }, 60_000);
  assert.equal(done.status, 'COMPLETED');
  await endpoint.cancel(blocker.id);
});

test('RunPod: a job is followed by status and stream', async () => {
  const { id, status } = await endpoint.run({ input });
  assert.equal(status, 'IN_QUEUE');
  const chunks = (await collect(endpoint.stream(id))).map(({ output }) => output);
  assert.deepEqual(chunks.slice(0, 2).map(({ progress }) => progress), [50, 100]);
  assert.ok(isPng(ofDataUrl(chunks.at(-1).image)));
  const done = await endpoint.status(id);
  assert.deepEqual([done.started, done.completed, done.succeeded], [true, true, true]);
});

test('RunPod: a cancelled job ends its stream', async () => {
  const { id } = await endpoint.run({ input: long });
  const cancelled = await endpoint.cancel(id);
  assert.deepEqual([cancelled.id, cancelled.status], [id, 'CANCELLED']);
  await collect(endpoint.stream(id));
  assert.equal((await endpoint.status(id)).status, 'CANCELLED');
});

test('RunPod: health and purge-queue', async () => {
  const running = await endpoint.run({ input: long });
  const waiting = [await endpoint.run({ input: long }), await endpoint.run({ input: long })];
  const { removed, status } = await endpoint.purgeQueue();
  assert.equal(status, 'completed');
  assert.ok(removed >= 2);
  assert.equal((await endpoint.status(waiting[1].id)).status, 'CANCELLED');
  await endpoint.cancel(running.id);
  const { jobs, workers } = await endpoint.health();
  assert.ok(jobs.completed >= 1);
  assert.deepEqual(Object.keys(workers).sort(), ['idle', 'initializing', 'ready', 'running', 'throttled', 'unhealthy']);
});

test('RunPod: a wrong input is a job that failed', async () => {
  const failed = await endpoint.runSync({ input: { hue: 3 } });
  assert.deepEqual([failed.status, failed.succeeded], ['FAILED', false]);
  assert.match(failed.error, /prompt is required; hue is not a known field/);
});

test('RunPod: the webhook has the body of status', async () => {
  const { body } = await webhookOf((webhook) => endpoint.run({ input, webhook }));
  assert.deepEqual([JSON.parse(body).status, JSON.parse(body).output.seed], ['COMPLETED', 7]);
});

test('Replicate: run waits for the output and its files can be fetched', async () => {
  const seen = [];
  const output = await replicate.run(ref, { input: { ...input, num_outputs: 2 } }, ({ status }) => seen.push(status));
  assert.equal(output.length, 2);
  for (const url of output) assert.ok(isPng(await (await fetch(String(url))).arrayBuffer()));
  assert.equal(seen.at(-1), 'succeeded');
});

test('Replicate: run polls when it is told to, and takes a version', async () => {
  const { latest_version } = await replicate.models.get('chandelle', MODEL);
  const output = await replicate.run(`${ref}:${latest_version.id}`, { input, wait: { mode: 'poll', interval: 50 } });
  assert.equal(output.length, 1);
  assert.deepEqual(await replicate.models.versions.get('chandelle', MODEL, latest_version.id), latest_version);
});

test('Replicate: run goes on asking when its wait was in vain', async () => {
  const blocker = await replicate.predictions.create({ model: ref, input: { ...input, num_inference_steps: 150, num_outputs: 8 } });
  const waiting = replicate.run(ref, { input, wait: { mode: 'block', timeout: 1 } });
  const prediction = await replicate.predictions.create({ model: ref, input, wait: 1 });
  assert.equal(prediction.status, 'starting');
  assert.equal((await replicate.predictions.cancel(blocker.id)).status, 'canceled');
  assert.equal((await waiting).length, 1);
  assert.equal((await replicate.wait(prediction, { interval: 50 })).status, 'succeeded');
});

test('Replicate: a stream tells progress, files and the end', async () => {
  const events = await collect(replicate.stream(ref, { input }));
  assert.deepEqual(events.map(({ event }) => event), ['logs', 'logs', 'output', 'done']);
  const file = events[2].data;
  assert.ok(isPng(await (await file.blob()).arrayBuffer()), 'outputs are files of the client');
});

test('Replicate: predictions are listed, page by page', async () => {
  const { id } = await replicate.deployments.predictions.create('chandelle', MODEL, { input, wait: true });
  const pages = await collect(replicate.paginate(replicate.predictions.list));
  const found = pages.flat().find((prediction) => prediction.id === id);
  assert.deepEqual([found.status, found.model], ['succeeded', ref]);
  assert.match(found.logs, /100%\|█+\| 2\/2/);
});

test('Replicate: errors have a detail that names the field', async () => {
  await assert.rejects(replicate.run(ref, { input: { hue: 3 } }), (error) => error.response.status === 422 && /input.hue is not a known field/.test(error.message));
  await assert.rejects(replicate.run('chandelle/huge', { input }), (error) => error.response.status === 404);
  const stranger = new Replicate({ auth: 'wrong', baseUrl: `${NODE_URL}/v1` });
  await assert.rejects(stranger.predictions.list(), (error) => error.response.status === 401);
});

test('Replicate: its own client believes the signature of a webhook', async () => {
  const { key } = await replicate.webhooks.default.secret.get();
  const { headers, body } = await webhookOf((webhook) => replicate.predictions.create({ model: ref, input, webhook, webhook_events_filter: ['completed'] }));
  const signed = { id: headers['webhook-id'], timestamp: headers['webhook-timestamp'], signature: headers['webhook-signature'], body, secret: key };
  assert.equal(await validateWebhook(signed), true);
  assert.equal(await validateWebhook({ ...signed, body: body.replace('succeeded', 'failed') }), false);
  assert.equal(JSON.parse(body).status, 'succeeded');
});

test('a job ordered with one client is found with the other', async () => {
  const { id } = await endpoint.runSync({ input });
  const prediction = await replicate.predictions.get(id);
  assert.equal(prediction.status, 'succeeded');
  const back = await endpoint.status(prediction.id);
  assert.deepEqual([back.id, back.status], [id, 'COMPLETED']);
});

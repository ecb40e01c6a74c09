// Pictures that go in: uploads, data URLs and base64 through RunPod's and Replicate's JavaScript clients, and OpenAI's client below a RunPod endpoint.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI, { toFile } from 'openai';
import Replicate from 'replicate';
import runpodSdk from 'runpod-sdk';

const { NODE_URL, NODE_TOKEN } = process.env;
const MODEL = process.env.CHANDELLE_IMAGE_MODEL ?? 'embedded-scene';
const EDIT_MODEL = process.env.CHANDELLE_EDIT_MODEL ?? 'tiny-pictures';
const TEXT_MODEL = process.env.CHANDELLE_TEXT_MODEL ?? 'embedded-text';
const ref = `chandelle/${EDIT_MODEL}`;
const replicateWith = (fileEncodingStrategy) => new Replicate({ auth: NODE_TOKEN, baseUrl: `${NODE_URL}/v1`, fileEncodingStrategy });
const replicate = replicateWith('upload');
const endpoint = runpodSdk(NODE_TOKEN, { baseUrl: `${NODE_URL}/v2` }).endpoint(EDIT_MODEL);
const openaiBelow = (model) => new OpenAI({ apiKey: NODE_TOKEN, baseURL: `${NODE_URL}/v2/${model}/openai/v1`, maxRetries: 0 });
const words = { prompt: 'a red star, mountains, forest', seed: 7 };
const half = { ...words, num_inference_steps: 4, prompt_strength: 0.5 };
const fetched = async (url) => Buffer.from(await (await fetch(String(url))).arrayBuffer());
const ofDataUrl = (url) => Buffer.from(url.split(',')[1], 'base64');
const kind = (bytes) => (bytes.subarray(1, 4).toString() === 'PNG' ? 'png' : bytes.subarray(8, 12).toString() === 'WEBP' ? 'webp' : 'other');
const uploads = async () => (await replicate.files.list()).results.map(({ id }) => id);

/** A picture to start from: what the scene model makes of `prompt`. */
async function picture(prompt = words.prompt) {
  const { data } = await openaiBelow(MODEL).images.generate({ model: MODEL, prompt, size: '128x128', seed: 7, steps: 2 });
  return Buffer.from(data[0].b64_json, 'base64');
}

const first = await picture();
const dataUrl = `data:image/png;base64,${first.toString('base64')}`;

/** What Replicate's client makes of an input. */
async function predict(client, input) {
  const [url] = await client.run(ref, { input });
  return fetched(url);
}

test('Replicate: a Buffer, a Blob and a File are uploaded and ordered with', async () => {
  const before = await uploads();
  const made = await predict(replicate, { ...half, image: dataUrl });
  assert.equal(kind(made), 'png');
  for (const image of [first, new Blob([first], { type: 'image/png' }), new File([first], 'star.png', { type: 'image/png' })]) {
    assert.ok((await predict(replicate, { ...half, image })).equals(made), 'an upload and a data URL give the same picture');
  }
  assert.equal((await uploads()).length, before.length + 3);
  const byDefault = replicateWith(undefined);
  assert.ok((await predict(byDefault, { ...half, image: first })).equals(made));
  assert.equal((await uploads()).length, before.length + 4, 'that is what it does unless told otherwise');
});

test('Replicate: uploads are created, read, listed and deleted', async () => {
  const file = await replicate.files.create(new File([first], 'étoile.png', { type: 'image/png' }), { source: 'test' });
  assert.deepEqual([file.name, file.content_type, file.size, file.metadata], ['étoile.png', 'image/png', first.length, { source: 'test' }]);
  assert.ok(new Date(file.expires_at) > new Date(file.created_at));
  assert.deepEqual(await replicate.files.get(file.id), file);
  assert.ok((await uploads()).includes(file.id));
  assert.equal(await replicate.files.delete(file.id), true);
  await assert.rejects(replicate.files.get(file.id), (error) => error.response.status === 404);
  await assert.rejects(predict(replicate, { ...half, image: file.urls.get }), /input.image must be a data URL or a file that this node holds/);
});

test('Replicate: an output is the next input', async () => {
  const [url] = await replicate.run(ref, { input: { ...half, image: first } });
  const again = await predict(replicate, { ...half, image: String(url) });
  assert.ok(again.equals(await predict(replicate, { ...half, image: await fetched(url) })));
});

test('RunPod: a data URL and base64 give the same picture, and strength says how far from it', async () => {
  const run = async (input) => {
    const { status, output, error } = await endpoint.runSync({ input: { ...half, ...input } });
    assert.equal(status, 'COMPLETED', error);
    return ofDataUrl(output.images[0]);
  };
  const made = await run({ image: dataUrl });
  assert.ok((await run({ image: first.toString('base64') })).equals(made));
  assert.ok((await run({ image_url: dataUrl, strength: 0.5, prompt_strength: null })).equals(made), 'by its other names');
  assert.ok((await predict(replicate, { ...half, image: first })).equals(made), 'as in the other dialect');
  assert.ok(!(await run({ image: dataUrl, prompt_strength: 1 })).equals(made));
  assert.ok(!(await run({ image: (await picture('a green moon, sea')).toString('base64') })).equals(made));
});

test('RunPod: a picture that is none is a job that failed', async () => {
  for (const [image, words] of [['https://example.com/a.png', 'it fetches nothing'], [Buffer.from('<svg/>').toString('base64'), 'must be a PNG, JPEG or WebP file']]) {
    const failed = await endpoint.runSync({ input: { ...half, image } });
    assert.deepEqual([failed.status, failed.error.includes(words)], ['FAILED', true], failed.error);
  }
});

test('a quality makes a WebP smaller in both dialects', async () => {
  const webp = { ...words, num_inference_steps: 2, output_format: 'webp' };
  const run = async (input) => ofDataUrl((await endpoint.runSync({ input })).output.images[0]);
  const [low, high] = [await run({ ...webp, output_quality: 20 }), await run({ ...webp, output_quality: 95 })];
  assert.deepEqual([kind(low), kind(high), low.length < high.length], ['webp', 'webp', true]);
  assert.ok((await predict(replicate, { ...webp, output_quality: 20 })).equals(low));
});

test("OpenAI's client works below an endpoint: pictures, edits, models, chat", async () => {
  const client = openaiBelow(EDIT_MODEL);
  assert.deepEqual((await client.models.list()).data.map(({ id }) => id), [EDIT_MODEL]);
  const made = await client.images.generate({ model: EDIT_MODEL, prompt: words.prompt, seed: 7, n: 2 });
  assert.deepEqual(made.data.map(({ b64_json }) => kind(Buffer.from(b64_json, 'base64'))), ['png', 'png']);
  const edited = await client.images.edit({ model: EDIT_MODEL, prompt: words.prompt, image: await toFile(first, 'star.png', { type: 'image/png' }), seed: 7, steps: 4, strength: 0.5, response_format: 'url' });
  assert.ok((await fetched(edited.data[0].url)).equals(await predict(replicate, { ...half, image: first })));
  const chat = openaiBelow(TEXT_MODEL).chat.completions;
  const order = { model: TEXT_MODEL, messages: [{ role: 'user', content: 'hello' }], max_completion_tokens: 8 };
  assert.equal((await chat.create(order)).object, 'chat.completion');
  const chunks = [];
  for await (const chunk of await chat.create({ ...order, stream: true })) chunks.push(chunk);
  assert.ok(chunks.length >= 1 && chunks.every(({ object }) => object === 'chat.completion.chunk'));
  await assert.rejects(openaiBelow('huge').models.list(), (error) => error instanceof OpenAI.NotFoundError);
});

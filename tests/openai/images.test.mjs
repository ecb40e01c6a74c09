// Pictures through the official JavaScript client against a running node: OPENAI_BASE_URL and OPENAI_API_KEY say which.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI, { toFile } from 'openai';

const MODEL = process.env.CHANDELLE_IMAGE_MODEL ?? 'embedded-scene';
const EDIT_MODEL = process.env.CHANDELLE_EDIT_MODEL ?? 'tiny-pictures';
const TEXT_MODEL = process.env.CHANDELLE_TEXT_MODEL ?? 'embedded-text';
const client = new OpenAI({ maxRetries: 0 });
const prompt = 'a red house in the desert, at night';
const make = (rest = {}, options) => client.images.generate({ model: MODEL, prompt, seed: 7, steps: 2, ...rest }, options);
const edit = async (rest = {}, options) => client.images.edit({ model: EDIT_MODEL, prompt, image: await picture(), seed: 7, ...rest }, options);
const bytesOf = ({ b64_json }) => Buffer.from(b64_json, 'base64');

/** What a file is, and a PNG's width and height. */
function kindOf(bytes) {
  if (bytes.subarray(1, 4).toString() === 'PNG') return `png ${bytes.readUInt32BE(16)}x${bytes.readUInt32BE(20)}`;
  if (bytes.readUInt16BE(0) === 0xffd8) return 'jpeg';
  return bytes.subarray(8, 12).toString() === 'WEBP' ? 'webp' : 'unknown';
}

async function picture(name = 'house.png') {
  const { data } = await make({ size: '128x128' });
  return toFile(bytesOf(data[0]), name, { type: 'image/png' });
}

async function collect(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

const native = (path) => fetch(new URL(path, process.env.OPENAI_BASE_URL), { headers: { authorization: `Bearer ${process.env.OPENAI_API_KEY}` } });

/** A gauge or counter of the node, by its line up to the number. */
async function metric(line) {
  const found = (await (await native('/metrics')).text()).split('\n').find((text) => text.startsWith(`${line} `));
  return found ? Number(found.slice(line.length)) : 0;
}

test('a picture comes as a file, and its job can be looked up', async () => {
  const { data: answer, response } = await make({ steps: undefined }).withResponse();
  assert.equal(kindOf(bytesOf(answer.data[0])), 'png 384x384');
  assert.equal(answer.size, '384x384');
  assert.equal(answer.quality, 'medium');
  assert.equal(answer.output_format, 'png');
  assert.equal(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens);
  assert.equal(answer.usage.output_tokens, (384 / 16) ** 2);
  const job = `/v1/jobs/${response.headers.get('x-job-id')}`;
  assert.equal((await (await native(job)).json()).status, 'completed');
  const artifact = Buffer.from(await (await native(`${job}/artifacts/0`)).arrayBuffer());
  assert.ok(artifact.equals(bytesOf(answer.data[0])));
});

test('several pictures differ, and the same seed gives the same ones', async () => {
  const first = await make({ n: 2, size: '128x128' });
  const second = await make({ n: 2, size: '128x128' });
  assert.deepEqual(first.data.map(({ seed }) => seed), [7, 8]);
  assert.notEqual(first.data[0].b64_json, first.data[1].b64_json);
  assert.deepEqual(first.data, second.data);
});

test('pictures can be fetched by address, without the key', async () => {
  const { data } = await make({ n: 2, response_format: 'url' });
  const inline = await make({ n: 2 });
  for (const [index, { url, b64_json }] of data.entries()) {
    assert.equal(b64_json, undefined);
    const file = Buffer.from(await (await fetch(url)).arrayBuffer());
    assert.ok(file.equals(bytesOf(inline.data[index])));
  }
});

test('every format is what it says, and compression makes it smaller', async () => {
  for (const output_format of ['png', 'jpeg', 'webp']) {
    const answer = await make({ output_format });
    assert.equal(answer.output_format, output_format);
    assert.equal(kindOf(bytesOf(answer.data[0])).split(' ')[0], output_format);
  }
  for (const output_format of ['jpeg', 'webp']) {
    const [large, small] = await Promise.all([90, 20].map((output_compression) => make({ output_format, output_compression })));
    assert.ok(bytesOf(small.data[0]).length < bytesOf(large.data[0]).length, output_format);
  }
});

test('a stream shows the picture on its way and ends with it', async () => {
  const whole = await make({ steps: 6 });
  const events = await collect(await make({ steps: 6, stream: true, partial_images: 2 }));
  assert.deepEqual(events.map(({ type }) => type), ['image_generation.partial_image', 'image_generation.partial_image', 'image_generation.completed']);
  const last = events.pop();
  assert.deepEqual(events.map(({ partial_image_index }) => partial_image_index), [0, 1]);
  for (const event of events) assert.equal(kindOf(bytesOf(event)), event.output_format);
  assert.equal(last.b64_json, whole.data[0].b64_json);
  assert.equal(last.usage.total_tokens, whole.usage.total_tokens);
});

test('a picture is edited, alone and as one of a list, whole and as a stream', async () => {
  const whole = await edit({ n: 2 });
  assert.equal(whole.data.length, 2);
  assert.equal(kindOf(bytesOf(whole.data[0])), 'png 32x32');
  assert.ok(whole.usage.input_tokens_details.image_tokens > 0);
  const listed = await edit({ n: 2, image: [await picture()] });
  assert.deepEqual(listed.data, whole.data);
  const far = await edit({ strength: 0.5 });
  assert.notEqual(far.data[0].b64_json, whole.data[0].b64_json);
  const events = await collect(await edit({ stream: true }));
  assert.deepEqual(events.map(({ type }) => type), ['image_edit.completed']);
  assert.equal(events[0].b64_json, whole.data[0].b64_json);
});

test('what is wrong comes as the class the client has for it', async () => {
  const refused = (param) => (error) => error instanceof OpenAI.BadRequestError && error.param === param;
  await assert.rejects(make({ size: '100x100' }), refused('size'));
  await assert.rejects(make({ n: 11 }), refused('n'));
  await assert.rejects(make({ response_format: 'url', stream: true }), refused('response_format'));
  await assert.rejects(make({ background: 'transparent' }), refused('background'));
  await assert.rejects(make({ style: 'vivid' }), refused('style'));
  await assert.rejects(make({ output_compression: 50 }), refused('output_compression'));
  await assert.rejects(make({ model: TEXT_MODEL }), refused('model'));
  await assert.rejects(make({ model: 'huge' }), (error) => error instanceof OpenAI.NotFoundError && error.code === 'model_not_found');
  await assert.rejects(edit({ mask: await picture('mask.png') }), refused('mask'));
  await assert.rejects(edit({ image: await toFile(Buffer.from('<svg/>'), 'a.svg') }), refused('image[0]'));
  const six = await Promise.all(Array.from({ length: 6 }, (_, index) => picture(`${index}.png`)));
  await assert.rejects(edit({ image: six }), refused('image'));
  const wrong = new OpenAI({ apiKey: 'wrong', maxRetries: 0 });
  await assert.rejects(wrong.images.generate({ model: MODEL, prompt }), OpenAI.AuthenticationError);
});

test('a full lane is a RateLimitError with the time to wait', async () => {
  const giveUp = new AbortController();
  const asked = Array.from({ length: 30 }, () => make({ steps: 150, n: 8 }, { signal: giveUp.signal }));
  const refusals = asked.map((answer) => answer.then(() => Promise.reject(new Error('taken')), (error) => error));
  const error = await Promise.any(refusals);
  giveUp.abort();
  await Promise.allSettled(asked);
  assert.ok(error instanceof OpenAI.RateLimitError, String(error));
  assert.ok(Number(error.headers.get('retry-after')) >= 1);
});

test('giving up frees the node, streamed or not', async () => {
  const cancelled = `chandelle_node_jobs_total{model="${MODEL}",outcome="cancelled"}`;
  const running = `chandelle_node_jobs_running{model="${MODEL}"}`;
  for (const stream of [true, false]) {
    const before = await metric(cancelled);
    const giveUp = new AbortController();
    const asked = make({ steps: 150, n: 8, stream }, { signal: giveUp.signal }).catch((error) => error);
    const until = async (isDone) => {
      const deadline = Date.now() + 60_000;
      while (!(await isDone())) {
        assert.ok(Date.now() < deadline, 'the run goes on');
        await new Promise((done) => setTimeout(done, 50));
      }
    };
    await until(async () => (await metric(running)) > 0);
    giveUp.abort();
    await asked;
    await until(async () => (await metric(cancelled)) > before && (await metric(running)) === 0);
  }
});

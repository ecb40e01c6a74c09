// The official JavaScript client against a running node: OPENAI_BASE_URL and OPENAI_API_KEY say which.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import OpenAI from 'openai';
import { zodFunction, zodResponseFormat } from 'openai/helpers/zod';
import { z } from 'zod';

const MODEL = process.env.CHANDELLE_TEXT_MODEL ?? 'embedded-text';
const TOOL_MODEL = process.env.CHANDELLE_TOOL_MODEL ?? 'embedded-tools';
const EMBEDDING_MODEL = process.env.CHANDELLE_EMBEDDING_MODEL ?? 'tiny-embedding';
const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: 'user', content: 'Propose une idée de contenu sur le jardinage.' }];
/** An answer that takes a while: each letter is the model's own choice. */
const LONG = { response_format: { type: 'regex', pattern: '[ab]{1500}' }, max_completion_tokens: 1500, stream: true };
const ask = (rest = {}, options) => client.chat.completions.create({ model: MODEL, messages, max_completion_tokens: 12, seed: 7, ...rest }, options);

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

/** A gauge or counter of the node, by its line up to the number. */
async function metric(line) {
  const url = new URL('/metrics', process.env.OPENAI_BASE_URL);
  const response = await fetch(url, { headers: { authorization: `Bearer ${process.env.OPENAI_API_KEY}` } });
  const found = (await response.text()).split('\n').find((text) => text.startsWith(`${line} `));
  return found ? Number(found.slice(line.length)) : 0;
}

test('the models are listed and each can be asked for', async () => {
  const models = (await client.models.list()).data;
  const found = models.find(({ id }) => id === MODEL);
  assert.equal(found.object, 'model');
  assert.equal(found.modality, 'text');
  assert.deepEqual((await client.models.retrieve(MODEL)).id, MODEL);
  await assert.rejects(client.models.retrieve('huge'), OpenAI.NotFoundError);
});

test('a chat answers with a usage and an id of the request', async () => {
  const { data, response, request_id } = await ask().withResponse();
  assert.equal(data.object, 'chat.completion');
  assert.equal(data.choices[0].message.role, 'assistant');
  assert.ok(data.usage.prompt_tokens > 0 && data.usage.completion_tokens > 0);
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
  assert.ok(request_id && response.headers.get('openai-processing-ms'));
});

test('the same seed gives the same answer, streamed or not, and the prompt is remembered', async () => {
  const first = await ask({ temperature: 1 });
  const second = await ask({ temperature: 1 });
  assert.equal(second.choices[0].message.content, first.choices[0].message.content);
  assert.equal(second.system_fingerprint, first.system_fingerprint);
  const chunks = await collect(await ask({ temperature: 1, stream: true }));
  const streamed = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
  assert.equal(streamed, first.choices[0].message.content);
});

test('a stream begins with the role and ends with a reason and the usage', async () => {
  const chunks = await collect(await ask({ stream: true, stream_options: { include_usage: true } }));
  assert.equal(chunks[0].choices[0].delta.role, 'assistant');
  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  assert.equal(last.usage.completion_tokens > 0, true);
  assert.ok(chunks.every((chunk) => chunk.usage === null));
  assert.ok(['stop', 'length'].includes(chunks.at(-1).choices[0].finish_reason));
});

test("the client's own stream helper assembles the answer", async () => {
  const runner = client.chat.completions.stream({ model: MODEL, messages, max_completion_tokens: 12, seed: 7 });
  let text = '';
  runner.on('content', (delta) => (text += delta));
  const final = await runner.finalChatCompletion();
  assert.equal(final.choices[0].message.content, text);
});

test('an answer is parsed into the schema it was asked for', async () => {
  const Idea = z.object({ kind: z.enum(['photo', 'video']), count: z.int().min(1).max(9), isFree: z.boolean() });
  const completion = await client.chat.completions.parse({ model: MODEL, messages, max_completion_tokens: 80, response_format: zodResponseFormat(Idea, 'idea') });
  assert.equal(completion.choices[0].finish_reason, 'stop');
  assert.deepEqual(Idea.parse(completion.choices[0].message.parsed), completion.choices[0].message.parsed);
});

test('a tool is called with arguments that follow its schema', async () => {
  const Weather = z.object({ city: z.enum(['Paris', 'Dakar']), days: z.int().min(1).max(7) });
  const tools = [zodFunction({ name: 'weather', parameters: Weather })];
  const body = { model: TOOL_MODEL, messages, tools, tool_choice: 'required', parallel_tool_calls: false, temperature: 0, max_completion_tokens: 300 };
  const completion = await client.chat.completions.parse(body);
  const [choice] = completion.choices;
  assert.equal(choice.finish_reason, 'tool_calls');
  assert.equal(choice.message.tool_calls.length, 1);
  const [call] = choice.message.tool_calls;
  assert.equal(call.function.name, 'weather');
  assert.deepEqual(Weather.parse(call.function.parsed_arguments), call.function.parsed_arguments);

  const chunks = await collect(await client.chat.completions.create({ ...body, stream: true }));
  const deltas = chunks.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
  assert.equal(deltas[0].function.name, 'weather');
  assert.ok(deltas[0].id && deltas.slice(1).every(({ id }) => id === undefined));
  Weather.parse(JSON.parse(deltas.map((delta) => delta.function.arguments).join('')));
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'tool_calls');

  const conversation = [...messages, choice.message, { role: 'tool', tool_call_id: call.id, content: 'Sunny.' }];
  const next = await client.chat.completions.create({ ...body, messages: conversation, tool_choice: 'none' });
  assert.equal(next.choices[0].message.tool_calls, undefined);
});

test('log-probabilities, several continuations and stops are as asked', async () => {
  const completion = await ask({ n: 2, logprobs: true, top_logprobs: 3, temperature: 1 });
  assert.deepEqual(completion.choices.map(({ index }) => index), [0, 1]);
  for (const { logprobs } of completion.choices) {
    for (const token of logprobs.content) {
      assert.ok(token.logprob <= 0 && token.top_logprobs.length === 3);
      assert.equal(Buffer.from(token.bytes).toString(), token.token);
    }
  }
  const [{ message }] = (await ask({ temperature: 0, max_completion_tokens: 20 })).choices;
  const stop = message.content.slice(3, 5);
  const stopped = await ask({ temperature: 0, max_completion_tokens: 20, stop });
  assert.equal(stopped.choices[0].finish_reason, 'stop');
  assert.equal(stopped.choices[0].message.content, message.content.slice(0, message.content.indexOf(stop)));
});

test('a plain completion goes on with its prompt', async () => {
  const completion = await client.completions.create({ model: MODEL, prompt: ['Bonjour', 'Hello'], max_tokens: 5, logprobs: 1, n: 2 });
  assert.deepEqual(completion.choices.map(({ index }) => index), [0, 1, 2, 3]);
  assert.equal(completion.choices[0].logprobs.tokens.length, completion.choices[0].logprobs.text_offset.length);
  const chunks = await collect(await client.completions.create({ model: MODEL, prompt: 'Bonjour', max_tokens: 5, stream: true }));
  assert.ok(['length', 'stop'].includes(chunks.at(-1).choices[0].finish_reason));
});

test('vectors are unpacked by the client and come in the order of the texts', async () => {
  const body = { model: EMBEDDING_MODEL, input: ['un jardin', 'une voiture'] };
  const packed = await client.embeddings.create(body);
  const plain = await client.embeddings.create({ ...body, encoding_format: 'float' });
  assert.deepEqual(packed.data.map(({ index }) => index), [0, 1]);
  assert.deepEqual(packed.data.map(({ embedding }) => [...embedding]), plain.data.map(({ embedding }) => embedding.map(Math.fround)));
  assert.ok(packed.usage.total_tokens > 0);
});

test('errors come as the classes the client has for them', async () => {
  await assert.rejects(new OpenAI({ apiKey: 'wrong', maxRetries: 0 }).models.list(), (error) => error instanceof OpenAI.AuthenticationError && error.code === 'invalid_api_key');
  await assert.rejects(ask({ model: 'huge' }), (error) => error instanceof OpenAI.NotFoundError && error.code === 'model_not_found');
  await assert.rejects(ask({ temperature: 3 }), (error) => error instanceof OpenAI.BadRequestError && error.param === 'temperature');
  await assert.rejects(ask({ frob: 1 }), (error) => error.status === 400 && error.code === 'unknown_parameter' && error.param === 'frob');
  const long = [{ role: 'user', content: 'jardin '.repeat(20_000) }];
  await assert.rejects(ask({ messages: long }), (error) => error instanceof OpenAI.BadRequestError && error.code === 'context_length_exceeded');
});

test('a full lane is a RateLimitError with the time to wait', async () => {
  const giveUp = new AbortController();
  const asked = Array.from({ length: 60 }, () => ask(LONG, { signal: giveUp.signal }));
  const refusals = asked.map((answer) => answer.then(() => Promise.reject(new Error('taken')), (error) => error));
  const error = await Promise.any(refusals);
  giveUp.abort();
  await Promise.allSettled(asked);
  assert.ok(error instanceof OpenAI.RateLimitError, String(error));
  assert.ok(Number(error.headers.get('retry-after')) >= 1);
});

test('aborting a stream frees the node', async () => {
  const cancelled = `chandelle_node_jobs_total{model="${MODEL}",outcome="cancelled"}`;
  const before = await metric(cancelled);
  const stream = await ask(LONG);
  for await (const _chunk of stream) break;
  stream.controller.abort();
  const deadline = Date.now() + 30_000;
  while ((await metric(cancelled)) <= before || (await metric(`chandelle_node_jobs_running{model="${MODEL}"}`)) > 0) {
    assert.ok(Date.now() < deadline, 'the run goes on');
    await new Promise((done) => setTimeout(done, 50));
  }
});

// Following a job over a connection that breaks: nothing is missed, nothing told twice.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { followJob } from '../lib/scene.mjs';

const block = (id, status, progress) => `: keep-alive\n\nevent: ${status}\nid: ${id}\ndata: ${JSON.stringify({ status, progress, message: '' })}\n\n`;

async function serve(answers) {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(request.headers['last-event-id']);
    answers.shift()(response);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { url: `http://127.0.0.1:${server.address().port}`, asked, close: () => server.close() };
}

test('a broken stream is resumed after the last event', async () => {
  const server = await serve([
    (response) => response.write(block(1, 'queued', 0) + block(2, 'generating', 40), () => response.destroy()),
    (response) => response.writeHead(503).end(),
    (response) => response.end(block(3, 'completed', 100)),
  ]);
  const told = [];
  await followJob(server.url, 'token', 'job', ({ status }) => told.push(status));
  server.close();
  assert.deepEqual(told, ['queued', 'generating', 'completed']);
  assert.deepEqual(server.asked, [undefined, '2', '2']);
});

test('a failed job ends with its reason', async () => {
  const data = JSON.stringify({ status: 'failed', progress: 0, message: '', error: { code: 'x', detail: 'the node is on fire' } });
  const server = await serve([(response) => response.end(`data: ${data}\n\n`)]);
  await assert.rejects(followJob(server.url, 't', 'job', () => {}), /the node is on fire/);
  server.close();
});

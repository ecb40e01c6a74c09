// Stands in for a node that writes: OpenAI's streamed chat answers, as slow, full or mortal as a test wants.
//
//   node tests/stand-ins/text-node.mjs --port N --id NAME --edge URL --join TOKEN   ("READY <url>" once the edge knows it)
//   GET /seen             {requests: […], hung_up: N}
//   POST /behave [{…}]    the next calls, the last one for good: {status?, retry_after?, text?, every_ms?, ending?}
//                         ending: stop (default), break (the connection), silence

import { createServer } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';

const { values: { port, id, edge, join, model } } = parseArgs({
  options: {
    port: { type: 'string' },
    id: { type: 'string' },
    edge: { type: 'string' },
    join: { type: 'string' },
    model: { type: 'string', default: 'embedded-text' },
  },
});
const url = `http://127.0.0.1:${port}`;
const requests = [];
let hungUp = 0;
let behaviours = [{}];

async function bodyOf(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return JSON.parse(text || 'null');
}

const json = (response, status, body, headers = {}) => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
};

async function write(response, order) {
  const { status, retry_after: retryAfter, text = 'One two three four.', every_ms: everyMs = 20, ending = 'stop' } =
    behaviours.length > 1 ? behaviours.shift() : behaviours[0];
  requests.push(order);
  if (status) {
    const error = { message: 'not now', type: 'server_error', param: null, code: null };
    return json(response, status, { error }, retryAfter ? { 'retry-after': String(retryAfter) } : {});
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  let isOpen = true;
  let isOver = false;
  response.on('close', () => {
    isOpen = false;
    if (!isOver) hungUp += 1;
  });
  const send = (more) => response.write(`data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model, usage: null, ...more })}\n\n`);
  const words = text.split(/(?<= )/).filter(Boolean);
  for (const content of words) {
    await pause(everyMs);
    if (!isOpen) return;
    send({ choices: [{ index: 0, delta: { content }, finish_reason: null }] });
  }
  if (ending === 'silence') return;
  isOver = true;
  if (ending === 'break') return setTimeout(() => response.destroy(), everyMs);
  send({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] });
  send({ choices: [], usage: { prompt_tokens: 100, completion_tokens: words.length, total_tokens: 100 + words.length } });
  response.end('data: [DONE]\n\n');
}

const server = createServer(async (request, response) => {
  if (request.url === '/v1/chat/completions') return write(response, await bodyOf(request));
  if (request.url === '/seen') return json(response, 200, { requests, hung_up: hungUp });
  if (request.url === '/behave') {
    behaviours = await bodyOf(request);
    requests.length = 0;
    hungUp = 0;
    return json(response, 200, {});
  }
  return json(response, 404, {});
});

async function tell(path, body) {
  const headers = { authorization: `Bearer ${join}`, 'content-type': 'application/json' };
  const answer = await fetch(`${edge}/api/nodes/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  return answer.status;
}

const register = () => tell('register', { node_id: id, url, models: [model], capacity: 8, version: '1' });

server.listen(Number(port), '127.0.0.1', async () => {
  if (edge) {
    if ((await register()) !== 201) process.exit(1);
    setInterval(async () => {
      const status = await tell(`${id}/heartbeat`, { running: 0, queued: 0, is_draining: false }).catch(() => 0);
      if (status === 404) await register().catch(() => 0);
    }, 3_000);
  }
  console.log(`READY ${url}`);
});

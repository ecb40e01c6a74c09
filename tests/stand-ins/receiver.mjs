// Stands in for the product's own server: takes webhooks, checks how they are proved, and keeps them for the tests to read;
// serves pictures to start from, and addresses that lead where the edge must not go.
//
//   node tests/stand-ins/receiver.mjs --port N   (the secret in RECEIVER_SECRET; "READY <url>" once it answers; the webhook is <url>/hook)
//   GET /received?about=TEXT    [{id, is_proved, body}] of what contains TEXT, in order, refused ones included with `status`
//   POST /fail {times, status}  makes the next calls fail
//   GET /asked                  the paths that were fetched from here
//   GET /cat.png, /page.png (no picture), /away?to=URL (a redirect), /endless.png (more than anybody should read)

import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const secret = process.env.RECEIVER_SECRET ?? 'secret';
const received = [];
const asked = [];
let failures = { times: 0, status: 500 };

const PNG = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');

/** As Standard Webhooks has it, written without looking at the sender. */
export function isProved(headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures = '' } = headers;
  if (headers['x-webhook-secret'] !== secret || !id || id.includes('.')) return false;
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) < 300)) return false;
  const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret);
  const expected = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest();
  return signatures.split(' ').some((signature) => {
    const [version, encoded] = signature.split(',');
    const given = Buffer.from(encoded ?? '', 'base64');
    return version === 'v1' && given.length === expected.length && timingSafeEqual(given, expected);
  });
}

async function textOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function answer(request, url, response) {
  const json = (status, body) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  const picture = (bytes) => response.writeHead(200, { 'content-type': 'image/png' }).end(bytes);
  if (request.method === 'POST' && url.pathname === '/hook') {
    const body = await textOf(request);
    const status = failures.times > 0 ? failures.status : 204;
    failures.times -= failures.times > 0 ? 1 : 0;
    received.push({ id: request.headers['webhook-id'], is_proved: isProved(request.headers, body), status, body: JSON.parse(body) });
    return response.writeHead(status).end();
  }
  if (request.method === 'POST' && url.pathname === '/fail') {
    failures = JSON.parse(await textOf(request));
    return json(200, failures);
  }
  if (url.pathname === '/received') {
    const about = url.searchParams.get('about') ?? '';
    return json(200, received.filter((message) => JSON.stringify(message).includes(about)));
  }
  if (url.pathname === '/asked') return json(200, asked);
  asked.push(url.pathname);
  if (url.pathname === '/cat.png') return picture(PNG);
  if (url.pathname === '/page.png') return picture('<html>');
  if (url.pathname === '/away') return response.writeHead(302, { location: url.searchParams.get('to') }).end();
  if (url.pathname === '/endless.png') {
    response.writeHead(200, { 'content-type': 'image/png' });
    const chunk = Buffer.alloc(64 * 1024, PNG);
    const pour = () => {
      while (!response.destroyed && response.write(chunk));
    };
    response.on('drain', pour);
    return pour();
  }
  return json(404, { message: 'not here' });
}

const server = createServer((request, response) => {
  answer(request, new URL(request.url, 'http://localhost'), response).catch((error) => {
    if (!response.headersSent) response.writeHead(400);
    response.end(String(error));
  });
});
const at = process.argv.indexOf('--port');
server.listen(at < 0 ? 0 : Number(process.argv[at + 1]), '127.0.0.1', () => {
  console.log(`READY http://127.0.0.1:${server.address().port}`);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));

// Stands in for Discord's webhooks: refuses what Discord would refuse, and keeps the rest for the tests to read.
//
//   node tests/stand-ins/discord.mjs --port N     ("READY <url>" once it answers; the webhook is <url>/api/webhooks/1/token)
//   GET /messages?about=TEXT    what was accepted and contains TEXT
//   POST /fail {times, status}  makes the next calls fail

import { createServer } from 'node:http';

const LIMITS = { title: 256, description: 4096, fields: 25, name: 256, value: 1024, footer: 2048, total: 6000 };
const messages = [];
let failures = { times: 0, status: 500 };

/** The first rule of Discord's that the message breaks, if any. */
export function refusal(message) {
  const { content, embeds, allowed_mentions: mentions } = message;
  if (!content && !embeds?.length) return 'Cannot send an empty message';
  if (content && content.length > 2000) return 'content is too long';
  if (!Array.isArray(mentions?.parse) || mentions.parse.length > 0) return 'mentions must be switched off';
  if (embeds && (!Array.isArray(embeds) || embeds.length > 10)) return 'too many embeds';
  let total = 0;
  for (const embed of embeds ?? []) {
    const { title = '', description = '', fields = [], footer, color } = embed;
    if (title.length > LIMITS.title || description.length > LIMITS.description) return 'an embed text is too long';
    if (fields.length > LIMITS.fields) return 'too many fields';
    if (color !== undefined && !(Number.isInteger(color) && color >= 0 && color <= 0xffffff)) return 'not a colour';
    if (footer && !(footer.text?.length <= LIMITS.footer)) return 'the footer is too long';
    for (const { name, value } of fields) {
      if (!name || !value || name.length > LIMITS.name || value.length > LIMITS.value) return 'a field is empty or too long';
      total += name.length + value.length;
    }
    total += title.length + description.length + (footer?.text.length ?? 0);
  }
  return total > LIMITS.total ? 'the embeds are too long together' : undefined;
}

const read = async (request) => {
  let text = '';
  for await (const chunk of request) text += chunk;
  return JSON.parse(text);
};

async function answer(request, url) {
  if (request.method === 'GET' && url.pathname === '/messages') {
    const about = url.searchParams.get('about') ?? '';
    return [200, messages.filter((message) => JSON.stringify(message).includes(about))];
  }
  if (request.method === 'POST' && url.pathname === '/fail') {
    failures = await read(request);
    return [200, failures];
  }
  if (request.method !== 'POST' || url.pathname !== '/api/webhooks/1/token') return [404, { message: 'Unknown Webhook', code: 10015 }];
  if (!request.headers['content-type']?.startsWith('application/json')) return [400, { message: 'not JSON' }];
  const message = await read(request);
  if (failures.times > 0) {
    failures.times -= 1;
    return [failures.status, { message: 'You are being rate limited.', retry_after: 1.5, global: false }];
  }
  const reason = refusal(message);
  if (reason) return [400, { message: reason, code: 50035 }];
  messages.push(message);
  return [204];
}

const at = process.argv.indexOf('--port');
const server = createServer(async (request, response) => {
  let result;
  try {
    result = await answer(request, new URL(request.url, 'http://localhost'));
  } catch (error) {
    result = [400, { message: String(error) }];
  }
  const [status, body] = result;
  response.writeHead(status, body ? { 'content-type': 'application/json' } : {});
  response.end(body && JSON.stringify(body));
});
server.listen(at < 0 ? 0 : Number(process.argv[at + 1]), '127.0.0.1', () => {
  console.log(`READY http://127.0.0.1:${server.address().port}`);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));

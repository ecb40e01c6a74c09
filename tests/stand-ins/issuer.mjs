// Stands in for token issuers other than Supabase: publishes the keys of one, knows the secret of another, and signs
// whatever a test wants signed.
//
//   ISSUER_SECRET=… node tests/stand-ins/issuer.mjs --port N     ("READY <url>" once it answers)
//   GET /jwks.json       one key per algorithm; GET /fetches says how often that was asked for
//   POST /sign {header, claims, with}    {token}: signed with the key `with` ("ES256", "RS256", "EdDSA", "stranger": an
//                                        ES256 key nobody publishes), "secret" (HMAC) or "public" (HMAC, the ES256 key's
//                                        public half taken for the secret)

import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';

const KINDS = {
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  RS256: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  EdDSA: () => generateKeyPairSync('ed25519'),
};
const pairs = Object.fromEntries(Object.entries(KINDS).map(([alg, make]) => [alg, make()]));
const stranger = KINDS.ES256();
const keys = Object.entries(pairs).map(([alg, { publicKey }]) => ({ ...publicKey.export({ format: 'jwk' }), kid: alg, alg, use: 'sig' }));
let fetches = 0;

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const hmac = (secret, text) => createHmac('sha256', secret).update(text).digest();

function signature(text, way) {
  if (way === 'secret') return hmac(process.env.ISSUER_SECRET ?? '', text);
  if (way === 'public') return hmac(JSON.stringify(keys.find(({ alg }) => alg === 'ES256')), text);
  const { privateKey: key } = way === 'stranger' ? stranger : pairs[way];
  if (way === 'EdDSA') return sign(null, Buffer.from(text), key);
  return sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' });
}

async function answer(request) {
  if (request.url === '/jwks.json') {
    fetches += 1;
    return { keys };
  }
  if (request.url === '/fetches') return { fetches };
  let text = '';
  for await (const chunk of request) text += chunk;
  const order = JSON.parse(text);
  const signed = `${encode(order.header)}.${encode(order.claims)}`;
  return { token: `${signed}.${signature(signed, order.with).toString('base64url')}` };
}

const at = process.argv.indexOf('--port');
const server = createServer(async (request, response) => {
  try {
    const body = JSON.stringify(await answer(request));
    response.writeHead(200, { 'content-type': 'application/json' }).end(body);
  } catch (error) {
    response.writeHead(400).end(String(error));
  }
});
server.listen(at < 0 ? 0 : Number(process.argv[at + 1]), '127.0.0.1', () => {
  console.log(`READY http://127.0.0.1:${server.address().port}`);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));

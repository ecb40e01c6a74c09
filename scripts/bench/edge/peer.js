// The peer: the same route as a JavaScript team would write it, with Hono, jose and zod.

import { Hono } from 'hono';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { z } from 'zod';

const phrase = z.string().trim().min(1).max(120).regex(/^[^\p{Cc}]*$/u);
const CreateScene = z.strictObject({ world: phrase, era: phrase, class: phrase, pose: phrase, decor: phrase });
const TYPE = { 'content-type': 'application/problem+json' };

let secret;
let keys;

async function verify(token, env) {
  if (env.HS256_SECRET) {
    secret ??= await crypto.subtle.importKey('raw', new TextEncoder().encode(env.HS256_SECRET), { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
    return jwtVerify(token, secret, { algorithms: ['HS256'], issuer: env.ISSUER, audience: 'authenticated' });
  }
  keys ??= createRemoteJWKSet(new URL(env.JWKS_URL));
  return jwtVerify(token, keys, { algorithms: ['ES256'], issuer: env.ISSUER, audience: 'authenticated' });
}

const problem = (c, status, code, title, errors) =>
  c.body(
    JSON.stringify({ type: `/problems/${code}`, title, status, detail: title, instance: c.req.path, code, request_id: c.get('requestId'), errors }),
    status,
    TYPE,
  );

const app = new Hono();

app.use(async (c, next) => {
  const start = Date.now();
  c.set('requestId', crypto.randomUUID());
  await next();
  c.header('x-request-id', c.get('requestId'));
  c.header('server-timing', `edge;dur=${Date.now() - start}`);
  c.header('x-content-type-options', 'nosniff');
  c.header('referrer-policy', 'no-referrer');
});

app.post('/api/generate/scene', async (c) => {
  const { IP_LIMIT, USER_LIMIT, GENERATE_LIMIT } = c.env;
  if (!(await IP_LIMIT.limit({ key: c.req.header('cf-connecting-ip') ?? 'unknown' })).success) return problem(c, 429, 'rate_limited', 'Too many requests');
  let user;
  try {
    const token = c.req.header('authorization')?.replace(/^Bearer /, '') ?? '';
    user = (await verify(token, c.env)).payload.sub;
  } catch {
    return problem(c, 401, 'unauthenticated', 'Authentication is required');
  }
  if (!(await USER_LIMIT.limit({ key: user })).success) return problem(c, 429, 'rate_limited', 'Too many requests');
  if (!(await GENERATE_LIMIT.limit({ key: user })).success) return problem(c, 429, 'rate_limited', 'Too many requests');
  const order = CreateScene.safeParse(await c.req.json().catch(() => undefined));
  if (order.success) return c.json({ accepted: order.data }, 202);
  const errors = order.error.issues.map(({ path, code, message }) => ({ pointer: `/${path.join('/')}`, code, detail: message }));
  return problem(c, 422, 'invalid_request', 'The request is not valid', errors);
});

export default app;

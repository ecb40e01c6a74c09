// The local server answers as hosted Supabase does where plain lite does not.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import * as jose from 'jose';
import { anon, createJob, ok, publishableKey, refused, secretKey, service, signUp, url } from './support.mjs';

const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00$/;
const headersOf = (key, token) => ({ apikey: key, ...(token && { authorization: `Bearer ${token}` }) });

describe('tokens', () => {
  let person, admin;
  before(async () => {
    [person, admin] = [await signUp(), await signUp({ isAdmin: true })];
  });
  const readRest = (token, key = publishableKey) => fetch(`${url}/rest/v1/jobs?select=id`, { headers: headersOf(key, token) });

  test('are ES256, signed with the published key, and say who, where from and for how long', async () => {
    const keys = jose.createRemoteJWKSet(new URL(`${url}/auth/v1/.well-known/jwks.json`));
    const { payload, protectedHeader } = await jose.jwtVerify(person.token, keys, {
      issuer: `${url}/auth/v1`, audience: 'authenticated', algorithms: ['ES256'],
    });
    assert.ok(protectedHeader.kid);
    assert.equal(payload.sub, person.id);
    assert.equal(payload.role, 'authenticated');
    assert.equal(payload.email, person.email);
    assert.equal(payload.aal, 'aal1');
    assert.equal(payload.is_anonymous, false);
    assert.equal(payload.exp - payload.iat, 3600);
    assert.ok(payload.session_id);
  });

  test('the published key has no private part', async () => {
    const { keys } = await (await fetch(`${url}/auth/v1/.well-known/jwks.json`)).json();
    assert.equal(keys.length, 1);
    assert.equal(keys[0].d, undefined);
  });

  test('carry the role an operator gave', () => {
    assert.equal(jose.decodeJwt(admin.token).app_metadata.role, 'admin');
    assert.equal(jose.decodeJwt(person.token).app_metadata.role, undefined);
  });

  test('a refreshed session has such a token too', async () => {
    const { session } = await ok(person.client.auth.refreshSession());
    assert.equal(jose.decodeProtectedHeader(session.access_token).alg, 'ES256');
    const { user } = await ok(person.client.auth.getUser(session.access_token));
    assert.equal(user.id, person.id);
  });

  test('a wrong password gives none', async () => {
    const { error } = await anon.auth.signInWithPassword({ email: person.email, password: 'not the password' });
    assert.equal(error.status, 400);
  });

  test('a forged, a changed and an unsigned token are refused', async () => {
    const claims = jose.decodeJwt(person.token);
    const { privateKey } = await jose.generateKeyPair('ES256');
    const { kid } = jose.decodeProtectedHeader(person.token);
    const forged = await new jose.SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid }).sign(privateKey);
    const [header, , signature] = person.token.split('.');
    const changed = [header, Buffer.from(JSON.stringify({ ...claims, role: 'service_role' })).toString('base64url'), signature].join('.');
    const unsigned = new jose.UnsecuredJWT(claims).encode();
    const guessed = await new jose.SignJWT({ ...claims, role: 'service_role' })
      .setProtectedHeader({ alg: 'HS256' }).sign(new TextEncoder().encode('unsafe-secret-change-me'));
    for (const token of [forged, changed, unsigned, guessed]) assert.equal((await readRest(token)).status, 401);
  });

  test('a key is needed, and the secret one does not lift a person above themselves', async () => {
    assert.equal((await readRest(person.token, 'sb_publishable_wrong')).status, 401);
    assert.equal((await fetch(`${url}/rest/v1/jobs`)).status, 401);
    await createJob(admin);
    assert.deepEqual(await (await readRest(person.token, secretKey)).json(), []);
  });
});

describe('the Auth admin API', () => {
  test('is for the secret key alone', async () => {
    for (const headers of [headersOf(publishableKey), headersOf(publishableKey, (await signUp({ isAdmin: true })).token), {}]) {
      const response = await fetch(`${url}/auth/v1/admin/users`, { headers });
      assert.ok([401, 403].includes(response.status), String(response.status));
    }
  });

  test('makes, shows, changes and removes people', async () => {
    const { auth: { admin } } = service;
    const { user } = await ok(admin.createUser({ email: `${randomUUID()}@example.com`, password: 'a good long password', email_confirm: true }));
    assert.ok(user.email_confirmed_at);
    const changed = await ok(admin.updateUserById(user.id, { app_metadata: { role: 'tuteur' } }));
    assert.equal(changed.user.app_metadata.role, 'tuteur');
    assert.equal(changed.user.app_metadata.provider, 'email');
    assert.equal((await ok(admin.getUserById(user.id))).user.email, user.email);
    assert.ok((await ok(admin.listUsers({ perPage: 1000 }))).users.some(({ id }) => id === user.id));
    await ok(admin.deleteUser(user.id));
    assert.equal((await admin.getUserById(user.id)).error.status, 404);
  });

  test('one address is one person', async () => {
    const { email } = await signUp();
    const { error } = await service.auth.admin.createUser({ email, password: 'a good long password' });
    assert.equal(error.status, 422);
  });
});

describe('the data API', () => {
  test('prints times as RFC 3339', async () => {
    const entry = await ok(service.from('audit_logs').insert({ action: 'x' }).select().single());
    assert.match(entry.timestamp, TIMESTAMP);
    const past = await ok(service.from('audit_logs').insert({ action: 'x', timestamp: '2020-02-29T12:00:00+05:30' }).select().single());
    assert.equal(past.timestamp, '2020-02-29T06:30:00+00:00');
  });

  test('stores JSON as JSON, however deep', async () => {
    const metadata = { text: 'é "quoted" \\ \u{1F300}', list: [1, 2.5, null, true, { deep: [[]] }], none: null };
    const { id } = await ok(service.from('audit_logs').insert({ action: 'x', metadata }).select().single());
    assert.deepEqual((await ok(service.from('audit_logs').select('metadata').eq('id', id).single())).metadata, metadata);
    assert.equal((await ok(service.from('audit_logs').select('text:metadata->>text').eq('id', id).single())).text, metadata.text);
  });

  test('a broken rule of a table is the caller\'s fault, with its code', async () => {
    const error = await refused(service.from('settings').insert({ key: 'x', value: [] }), 400);
    assert.equal(error.code, '23514');
    assert.match(error.message, /violates check constraint/);
  });

  test('a function\'s own error has its status, code and text', async () => {
    const error = await refused(service.rpc('get_credits'), 401);
    assert.deepEqual(error, { code: 'PT401', message: 'sign in first', details: null, hint: null });
  });

  test('an unknown table and function are 404', async () => {
    await refused(service.from('nothing').select(), 404);
    await refused(service.rpc('nothing'), 404);
  });
});

describe('storage', () => {
  const bucket = service.storage.from('scenes');
  const put = (name, bytes, contentType = 'image/webp') => ok(bucket.upload(name, bytes, { contentType, upsert: true }));

  test('keeps the content type whatever the name, and large files whole', async () => {
    const name = `${randomUUID()}/no-extension`;
    const bytes = new Uint8Array(3_000_000).map((_, index) => (index * 7919) % 251);
    await put(name, bytes);
    const blob = await ok(bucket.download(name));
    assert.equal(blob.type, 'image/webp');
    assert.deepEqual(Buffer.from(await blob.arrayBuffer()), Buffer.from(bytes));
  });

  test('one file uploaded five times at once is one file', async () => {
    const folder = randomUUID();
    await Promise.all([1, 2, 3, 4, 5].map((byte) => put(`${folder}/0.png`, Uint8Array.of(byte))));
    assert.equal((await ok(bucket.list(folder))).length, 1);
  });

  test('lists one folder at a time', async () => {
    const top = randomUUID();
    for (const name of ['b/1', 'b/2', 'a', 'c/d/e']) await put(`${top}/${name}`, Uint8Array.of(1));
    const names = async (...options) => (await ok(bucket.list(...options))).map(({ name, id }) => (id ? name : `${name}/`));
    assert.deepEqual(await names(top), ['a', 'b/', 'c/']);
    assert.deepEqual(await names(`${top}/b`), ['1', '2']);
    assert.deepEqual(await names(top, { limit: 1, offset: 1 }), ['b/']);
    assert.deepEqual(await names(top, { sortBy: { column: 'name', order: 'desc' } }), ['c/', 'b/', 'a']);
    assert.deepEqual(await names(top, { search: 'a' }), ['a']);
  });

  test('a missing file is an error', async () => {
    assert.notEqual((await bucket.download(`${randomUUID()}/x`)).error, null);
  });

  test('a file is read and removed by its address, by its owner alone', async () => {
    const [owner, stranger] = [await signUp(), await signUp()];
    const name = `${owner.id}/${randomUUID()}/0 é.png`;
    await put(name, Uint8Array.of(1, 2, 3), 'image/png');
    const ask = (method, route, { token }) => fetch(`${url}/storage/v1/object${route}/scenes/${encodeURI(name)}`, { method, headers: headersOf(publishableKey, token) });
    assert.equal((await ask('GET', '/authenticated', stranger)).status, 400);
    assert.equal((await ask('DELETE', '', stranger)).status, 400);
    assert.deepEqual(Buffer.from(await (await ask('GET', '/authenticated', owner)).arrayBuffer()), Buffer.from([1, 2, 3]));
    assert.deepEqual(await (await ask('DELETE', '', owner)).json(), { message: 'Successfully deleted' });
    assert.equal((await ask('GET', '', owner)).status, 400);
    assert.equal((await (await ask('DELETE', '', owner)).json()).message, 'Object not found');
  });
});

describe('a page of another origin', () => {
  for (const route of ['/auth/v1/token', '/rest/v1/scenes', '/storage/v1/object/scenes/x']) {
    test(`may call ${route} with its key and a body`, async () => {
      const headers = { origin: 'https://page.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'apikey,authorization,content-type' };
      const answer = await fetch(url + route, { method: 'OPTIONS', headers });
      assert.equal(answer.status, 204);
      assert.equal(answer.headers.get('access-control-allow-origin'), '*');
      assert.match(answer.headers.get('access-control-allow-headers'), /content-type/);
    });
  }

  test('may read the answer, also when it is a refusal', async () => {
    const answer = await fetch(`${url}/auth/v1/token?grant_type=password`, {
      method: 'POST', headers: { ...headersOf(publishableKey), origin: 'https://page.example', 'content-type': 'application/json' }, body: '{"email":"a@example.com","password":"x"}',
    });
    assert.equal(answer.status, 400);
    assert.equal(answer.headers.get('access-control-allow-origin'), '*');
  });
});

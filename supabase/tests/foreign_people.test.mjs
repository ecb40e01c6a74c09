// People of other issuers, whom Auth has never seen: they come with a token that the edge signed with the project's key, and
// have the rights of anybody, over their own rows.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import * as jose from 'jose';
import { claimJob, clientWithToken, completeJob, createImages, createJob, finish, ok, refused, service, signUp, signingKey, uploadImages, url } from './support.mjs';

/** As the edge writes it (`edge/src/auth/exchange.rs`). */
async function tokenFor(id, { role = null, expiresIn = 900, key = signingKey } = {}) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: `${url}/auth/v1`, aud: 'authenticated', role: 'authenticated', sub: id, email: null, app_metadata: { role }, iat: now, exp: now + expiresIn };
  return new jose.SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: key.kid, typ: 'JWT' }).sign(await jose.importJWK(key, 'ES256'));
}

async function arrive(options) {
  const id = randomUUID();
  return { id, client: clientWithToken(await tokenFor(id, options)) };
}

describe('people of other issuers', () => {
  let ada, eve, member;
  before(async () => {
    [ada, eve, member] = [await arrive(), await arrive(), await signUp()];
  });

  test('have no row among the people of Auth, and need none', async () => {
    assert.notEqual((await service.auth.admin.getUserById(ada.id)).error, null);
    const { balance, reserved } = await ok(ada.client.rpc('get_credits'));
    assert.deepEqual([balance, reserved], [100, 0]);
    assert.equal(await ok(ada.client.rpc('is_admin')), false);
  });

  test('order, are charged once, and read their own rows alone', async () => {
    const job = await createImages(ada);
    assert.deepEqual([job.user_id, (await ok(ada.client.rpc('get_credits'))).reserved], [ada.id, 2]);
    await claimJob(job);
    const outputs = await uploadImages(job);
    await ok(finish(job, outputs));
    await ok(finish(job, outputs));
    const { balance, reserved } = await ok(ada.client.rpc('get_credits'));
    assert.deepEqual([balance, reserved], [98, 0]);
    const scene = await completeJob(ada);
    for (const [table, column, value, count] of [
      ['jobs', 'user_id', ada.id, 2],
      ['image_generations', 'job_id', job.id, 1],
      ['image_files', 'generationId', job.input.generation_id, 2],
      ['scenes', 'id', scene.id, 1],
      ['credit_ledger', 'user_id', ada.id, 3],
    ]) {
      const seenBy = async ({ client }) => (await ok(client.from(table).select().eq(column, value))).length;
      assert.deepEqual([await seenBy(ada), await seenBy(eve), await seenBy(member)], [count, 0, 0], table);
    }
    const name = outputs[0].path.slice('images/'.length);
    assert.equal((await ada.client.storage.from('images').download(name)).error, null);
    for (const { client } of [eve, member]) assert.notEqual((await client.storage.from('images').download(name)).error, null);
  });

  test('see nothing of the members of Auth, and change nothing of theirs', async () => {
    const job = await createJob(member);
    assert.deepEqual(await ok(eve.client.from('jobs').select().eq('id', job.id)), []);
    await refused(eve.client.rpc('cancel_job', { p_id: job.id }), 404);
    await refused(eve.client.rpc('get_credits', { p_user_id: member.id }), 403);
    await refused(eve.client.from('credit_ledger').insert({ user_id: eve.id, kind: 'grant', amount: 100, reason: 'mine' }), 403);
  });

  test('are admins when their token says so, or a row does', async () => {
    const byToken = await arrive({ role: 'admin' });
    assert.equal(await ok(byToken.client.rpc('is_admin')), true);
    const byRow = await arrive();
    await ok(service.from('user_roles').insert({ user_id: byRow.id, role: 'admin' }));
    assert.equal(await ok(byRow.client.rpc('is_admin')), true);
  });

  test('come with a valid token of the project\'s key or not at all', async () => {
    const expired = clientWithToken(await tokenFor(randomUUID(), { expiresIn: -60 }));
    await refused(expired.rpc('get_credits'), 401);
    const { privateKey } = await jose.generateKeyPair('ES256', { extractable: true });
    const another = { ...(await jose.exportJWK(privateKey)), kid: signingKey.kid };
    const forged = clientWithToken(await tokenFor(randomUUID(), { key: another }));
    await refused(forged.rpc('get_credits'), 401);
  });
});

// The people of the tests and what they do often. Everything goes through the official client, as in a real front end.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createClient } from '@supabase/supabase-js';
import WebSocket from 'ws';

const env = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run these tests with \`npm run db:test\``);
  return value;
};

export const url = env('SUPABASE_URL');
export const publishableKey = env('SUPABASE_PUBLISHABLE_KEY');
export const secretKey = env('SUPABASE_SECRET_KEY');

/** What the database's own tokens are signed with; the edge has it too. */
export const signingKey = JSON.parse(env('SUPABASE_SIGNING_KEY'));

const PASSWORD = 'a good long password';

export const clientWith = (key) => clientWithAt(url, key);

export function clientWithAt(address, key) {
  return createClient(address, key, {
    auth: { persistSession: false, autoRefreshToken: false },
    realtime: { transport: WebSocket }, // Node 20 has none of its own
  });
}

/** With a token that no sign-in gave. */
export function clientWithToken(token) {
  return createClient(url, publishableKey, { accessToken: async () => token, realtime: { transport: WebSocket } });
}

/** Nobody: the key that is in every browser. */
export const anon = clientWith(publishableKey);
/** The edge's own jobs. */
export const service = clientWith(secretKey);

/** A new person, signed in. Costs half a second of hashing: make the people of a file once. */
export async function signUp({ isAdmin = false, userMetadata = {} } = {}) {
  const email = `${randomUUID()}@example.com`;
  const created = await service.auth.admin.createUser({
    email,
    password: PASSWORD,
    email_confirm: true,
    user_metadata: userMetadata,
    app_metadata: isAdmin ? { role: 'admin' } : {},
  });
  assert.ifError(created.error);
  const client = clientWith(publishableKey);
  const signedIn = await client.auth.signInWithPassword({ email, password: PASSWORD });
  assert.ifError(signedIn.error);
  return { client, id: created.data.user.id, email, token: signedIn.data.session.access_token };
}

/** The data of an answer that must be good. */
export async function ok(query) {
  const answer = await query;
  assert.equal(answer.error, null, JSON.stringify(answer.error));
  return answer.data;
}

/** The error of an answer that must have this status. */
export async function refused(query, status) {
  const answer = await query;
  assert.notEqual(answer.error, null, `expected ${status}, got ${JSON.stringify(answer.data)}`);
  assert.equal(answer.status, status, JSON.stringify(answer.error));
  return answer.error;
}

export const sceneInput = (world = 'a drowned city') => ({
  world, era: 'bronze age', class: 'witch', pose: 'kneeling', decor: 'ruins',
});

export async function createJob(person, id = randomUUID(), input = sceneInput()) {
  return ok(person.client.rpc('create_job', { p_id: id, p_kind: 'scene', p_input: input }));
}

export async function claimJob(job, leaseSeconds = 30) {
  return ok(service.rpc('claim_job', { p_id: job.id, p_lease_seconds: leaseSeconds }));
}

export const PNG = Uint8Array.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

export const imageName = (job) => `${job.user_id}/${job.id}/0.png`;

export async function uploadImage(job) {
  await ok(service.storage.from('scenes').upload(imageName(job), PNG, { contentType: 'image/png', upsert: true }));
  return [{ path: `scenes/${imageName(job)}`, content_type: 'image/png', bytes: PNG.length, width: 8, height: 8 }];
}

export function finish(job, outputs) {
  return service.rpc('finish_job', { p_id: job.id, p_outputs: outputs, p_metadata: { run_ms: 1500 } });
}

/** An order that went all the way. */
export async function completeJob(person) {
  const job = await createJob(person);
  const outputs = await uploadImage(job);
  await ok(finish(job, outputs));
  return job;
}

export const imageInput = (id, changes = {}) => ({
  generation_id: id, prompt: 'a cat with sunglasses', num_images: 2, size: '64x32', format: 'PNG', style: 'illustration', quality: 'high', ...changes,
});

/** An order for images under the caller's own id. */
export async function createImages(person, { id = `test-${randomUUID()}`, jobId = randomUUID(), changes = {}, owner } = {}) {
  return ok(person.client.rpc('create_job', { p_id: jobId, p_kind: 'image', p_input: imageInput(id, changes), ...(owner && { p_user_id: owner }) }));
}

export async function uploadImages(job, count = job.input.num_images) {
  const folder = job.input.generation_id;
  return Promise.all(Array.from({ length: count }, async (_, index) => {
    const name = `${folder}/image_${index + 1}.png`;
    await ok(service.storage.from('images').upload(name, PNG, { contentType: 'image/png', upsert: true }));
    return {
      path: `images/${name}`, content_type: 'image/png', bytes: PNG.length, sha256: '00', width: 64, height: 32, seed: index,
      model: 'tiny', model_revision: 'r1', url: `https://files.example/${name}`,
    };
  }));
}

export const readJob = (id) => ok(service.from('jobs').select().eq('id', id).single());

/** Leaves a person this many credits. */
export async function leaveCredits(person, credits) {
  const { balance } = await ok(person.client.rpc('get_credits'));
  await ok(service.from('credit_ledger').insert({
    user_id: person.id, kind: 'charge', amount: credits - balance, reason: 'test', job_id: randomUUID(),
  }));
}

export const ago = (days) => new Date(Date.now() - days * 86_400_000).toISOString();

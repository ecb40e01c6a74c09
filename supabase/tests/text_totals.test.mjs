// text_totals: sums for metrics; the secret key reads them, and only the functions add to them.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { anon, ok, refused, service, signUp } from './support.mjs';

describe('text_totals', () => {
  let person, admin;
  before(async () => {
    [person, admin] = [await signUp(), await signUp({ isAdmin: true })];
  });
  const row = { kind: 'poem', status: 'completed', cached: 'miss' };
  const totals = async (kind) => ok(service.from('text_totals').select().eq('kind', kind).order('cached'));

  test('neither anon nor people nor admins read them', async () => {
    await refused(anon.from('text_totals').select(), 401);
    for (const { client } of [person, admin]) await refused(client.from('text_totals').select(), 403);
  });

  test('nobody writes them', async () => {
    for (const client of [person.client, admin.client, service]) {
      await refused(client.from('text_totals').insert(row), 403);
      await refused(client.from('text_totals').update({ runs: 0 }).eq('kind', 'poem'), 403);
      await refused(client.from('text_totals').delete().eq('kind', 'poem'), 403);
    }
  });

  test('each end is counted once, kept answers apart', async () => {
    const kind = 'counted';
    for (const p_status of ['completed', 'completed', 'failed']) {
      const p_id = randomUUID();
      await ok(person.client.rpc('open_text_run', {
        p_id, p_kind: kind, p_model: 'm', p_room: randomBytes(32).toString('hex'), p_request_id: 'r', p_max_tokens: 10,
      }));
      const end = {
        p_id, p_status, p_prompt_tokens: 5, p_completion_tokens: 3, p_is_charged: false,
        p_switches: 1, p_first_token_ms: 10, p_duration_ms: 30, p_error: null,
      };
      await ok(service.rpc('settle_text_run', end));
      await ok(service.rpc('settle_text_run', end));
    }
    await ok(service.rpc('record_free_text', {
      p_id: randomUUID(), p_user_id: person.id, p_kind: kind, p_model: 'm', p_room: 'b'.repeat(64), p_request_id: 'r',
      p_cache: 'hit', p_duration_ms: 2,
    }));
    const sums = { prompt_tokens: 10, completion_tokens: 6, switches: 2, first_token_ms: 20, duration_ms: 60 };
    const found = await totals(kind);
    const of = (status, cached) => found.find((each) => each.status === status && each.cached === cached);
    assert.equal(found.length, 3);
    assert.deepEqual(of('completed', 'miss'), { kind, status: 'completed', cached: 'miss', runs: 2, ...sums });
    assert.equal(of('failed', 'miss').runs, 1);
    assert.deepEqual([of('completed', 'hit').runs, of('completed', 'hit').duration_ms], [1, 2]);
  });
});

// The part of the Auth admin API that set-ups and tests need; lite 0.10 has none. Only for the secret key.

import { randomUUID } from 'node:crypto';
import { json } from './responses.mjs';

const ROUTE = /^\/auth\/v1\/admin\/users(?:\/([0-9a-f-]{36}))?$/;

/**
 * @param {{database: import('./database.mjs').Database, access: object, signUp: (body: object) => Promise<Response>}} parts
 * @returns {(request: Request) => Promise<Response> | undefined} undefined for any other route
 */
export function createAdminApi({ database, access, signUp }) {
  const find = async (id) => (await database.query('select * from auth.users where id = $1', [id]))[0];

  async function list(url) {
    const perPage = Math.min(Number(url.searchParams.get('per_page')) || 50, 1000);
    const page = Math.max(Number(url.searchParams.get('page')) || 1, 1);
    const rows = await database.query(
      'select * from auth.users order by created_at desc, id limit $1 offset $2',
      [perPage, (page - 1) * perPage],
    );
    return json({ users: rows.map(toUser), aud: 'authenticated' });
  }

  async function create(body) {
    const response = await signUp({
      email: body.email,
      password: body.password ?? randomUUID(),
      data: body.user_metadata,
    });
    if (!response.ok) return response;
    const answer = await response.json();
    return update((answer.user ?? answer).id, body);
  }

  async function update(id, body) {
    const user = await find(id);
    if (!user) return notFound();
    const merged = (column, patch) => JSON.stringify({ ...toObject(user[column]), ...patch });
    // Values go in as text and are cast there: the two drivers disagree on how a parameter becomes jsonb.
    await database.query(
      `update auth.users set
         raw_app_meta_data = $2::text::jsonb, raw_user_meta_data = $3::text::jsonb,
         email_confirmed_at = case when $4::boolean then now() else email_confirmed_at end, updated_at = now()
       where id = $1`,
      [id, merged('raw_app_meta_data', body.app_metadata), merged('raw_user_meta_data', body.user_metadata), body.email_confirm === true],
    );
    return json(toUser(await find(id)));
  }

  async function remove(id) {
    const user = await find(id);
    if (!user) return notFound();
    await database.query('delete from auth.users where id = $1', [id]);
    return json(toUser(user));
  }

  async function route(request, url, id) {
    if (request.headers.get('apikey') !== access.secret_key) {
      return json({ code: 403, error_code: 'not_admin', msg: 'User not allowed' }, 403);
    }
    const { method } = request;
    if (method === 'GET' && !id) return list(url);
    if (method === 'POST' && !id) return create(await request.json());
    if (method === 'GET') {
      const user = await find(id);
      return user ? json(toUser(user)) : notFound();
    }
    if (method === 'PUT' && id) return update(id, await request.json());
    if (method === 'DELETE' && id) return remove(id);
    return json({ code: 405, error_code: 'method_not_allowed', msg: 'Method not allowed' }, 405);
  }

  return (request) => {
    const url = new URL(request.url);
    const match = ROUTE.exec(url.pathname);
    return match ? route(request, url, match[1]) : undefined;
  };
}

const notFound = () => json({ code: 404, error_code: 'user_not_found', msg: 'User not found' }, 404);

const toObject = (value) => (typeof value === 'string' ? JSON.parse(value) : (value ?? {}));

function toUser(row) {
  return {
    id: row.id,
    aud: row.aud,
    role: row.role,
    email: row.email,
    phone: row.phone ?? '',
    app_metadata: toObject(row.raw_app_meta_data),
    user_metadata: toObject(row.raw_user_meta_data),
    identities: [],
    created_at: row.created_at,
    updated_at: row.updated_at,
    email_confirmed_at: row.email_confirmed_at,
    last_sign_in_at: row.last_sign_in_at,
    is_anonymous: false,
  };
}

// The people of a local stack: a demo user and an admin, made through the Auth admin API as hosted Supabase has it.

import { Problem } from '../progress.mjs';

/** Makes the person unless it exists, and checks that it can sign in. */
export async function ensurePerson(access, { email, password }, role) {
  const body = { email, password, email_confirm: true, ...(role && { app_metadata: { role } }) };
  const response = await ask(access, '/auth/v1/admin/users', body, access.secret_key);
  if (!response.ok && ![409, 422].includes(response.status)) {
    throw new Problem(`making ${email}: ${response.status} ${await response.text()}`);
  }
  await signIn(access, { email, password });
}

/** Signs in with a password; resolves with Supabase's session (`access_token`, `user`). */
export async function signIn(access, { email, password }) {
  const response = await ask(access, '/auth/v1/token?grant_type=password', { email, password }, access.publishable_key);
  if (!response.ok) throw new Problem(`signing ${email} in: ${response.status} ${await response.text()}`);
  return response.json();
}

const ask = (access, path, body, key) =>
  fetch(`${access.supabase_url}${path}`, {
    method: 'POST',
    headers: { apikey: key, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  });

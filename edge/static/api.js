// Talks to Supabase Auth and to the edge. Knows no page.

const KEY = 'chandelle.session';
let settings;

/** An answer that is no success: `status` and, for a refused body, `errors`. */
export class ApiError extends Error {
  constructor(status, problem = {}) {
    super(problem.detail ?? `status ${status}`);
    this.status = status;
    this.errors = problem.errors ?? [];
  }
}

export const session = {
  get: () => JSON.parse(sessionStorage.getItem(KEY) ?? 'null'),
  set: (value) => sessionStorage.setItem(KEY, JSON.stringify(value)),
  clear: () => sessionStorage.removeItem(KEY),
};

async function auth(path, body) {
  settings ??= await (await fetch('/api/config')).json();
  const answer = await fetch(`${settings.supabase_url}/auth/v1/${path}`, {
    method: 'POST',
    headers: { apikey: settings.supabase_publishable_key, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const content = await answer.json();
  if (!answer.ok || !content.access_token) throw new ApiError(answer.status);
  session.set({
    access: content.access_token,
    refresh: content.refresh_token,
    email: content.user.email,
    expires: Date.now() + content.expires_in * 1000,
  });
}

export const signIn = (email, password) => auth('token?grant_type=password', { email, password });
export const signUp = (email, password) => auth('signup', { email, password });

async function token() {
  const now = session.get();
  if (!now) throw new ApiError(401);
  if (now.expires - Date.now() < 60_000) await auth('token?grant_type=refresh_token', { refresh_token: now.refresh });
  return session.get().access;
}

/** A request with the caller's token; anything but a success throws. */
export async function call(path, { method = 'GET', body, headers = {} } = {}) {
  const answer = await fetch(path, {
    method,
    headers: {
      authorization: `Bearer ${await token()}`,
      ...(body ? { 'content-type': 'application/json' } : {}),
      ...headers,
    },
    body: body && JSON.stringify(body),
  });
  if (!answer.ok) throw new ApiError(answer.status, await answer.json().catch(() => ({})));
  return answer;
}

/** Follows a job to its end, across broken connections. `EventSource` can't send a token, hence fetch. */
export async function follow(jobId, onEvent) {
  let lastId;
  for (let failures = 0; failures < 30; failures += 1) {
    try {
      const answer = await call(`/api/jobs/${jobId}/events`, {
        headers: { accept: 'text/event-stream', ...(lastId ? { 'last-event-id': lastId } : {}) },
      });
      for await (const event of events(answer.body)) {
        failures = 0;
        if (event.id) lastId = event.id;
        const job = JSON.parse(event.data);
        onEvent(job);
        if (['completed', 'failed', 'cancelled'].includes(job.status)) return job;
      }
    } catch (error) {
      if (error instanceof ApiError && error.status < 500) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(1000 * (failures + 1), 5000)));
  }
  throw new ApiError(503);
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const event = { data: '' };
      for (const line of text.slice(0, end).split('\n')) {
        const [, name, content] = line.match(/^([^:]*): ?(.*)$/) ?? [];
        if (name === 'data') event.data += content;
        else if (name) event[name] = content;
      }
      text = text.slice(end + 2);
      if (event.data) yield event;
    }
  }
}

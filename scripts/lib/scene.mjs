// The main job as a client does it: order a scene, follow it, fetch its picture and its row.

import { Problem } from './progress.mjs';

const STALL_MS = 120_000;

/** `POST /api/generate/scene`; resolves with the job. */
export async function orderScene(edgeUrl, token, scene) {
  const response = await fetch(`${edgeUrl}/api/generate/scene`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify(scene),
  });
  if (!response.ok) throw new Problem(`the edge refused the scene: ${response.status} ${await response.text()}`);
  return response.json();
}

/** Follows `GET /api/jobs/{id}/events` to the end, resuming where a connection broke. `tell` gets each event. */
export async function followJob(edgeUrl, token, id, tell) {
  let last;
  let quietSince = Date.now();
  while (Date.now() - quietSince < STALL_MS) {
    const headers = { authorization: `Bearer ${token}`, ...(last && { 'last-event-id': last }) };
    const response = await fetch(`${edgeUrl}/api/jobs/${id}/events`, { headers }).catch(() => undefined);
    if (response?.ok) {
      for await (const event of eventsOf(response)) {
        last = event.id ?? last;
        quietSince = Date.now();
        const data = JSON.parse(event.data);
        tell(data);
        if (data.status === 'completed') return data;
        if (['failed', 'cancelled'].includes(data.status)) throw new Problem(`the job ${data.status}: ${data.error?.detail ?? data.message}`);
      }
    } else if (response && response.status < 500) {
      throw new Problem(`the events were refused: ${response.status} ${await response.text()}`);
    }
    await new Promise((done) => setTimeout(done, 500));
  }
  throw new Problem(`nothing was heard of job ${id} for ${STALL_MS / 1000} s`);
}

async function* eventsOf(response) {
  const decoder = new TextDecoder();
  let text = '';
  try {
    for await (const chunk of response.body) {
      text += decoder.decode(chunk, { stream: true });
      let end;
      while ((end = text.indexOf('\n\n')) >= 0) {
        const block = text.slice(0, end);
        text = text.slice(end + 2);
        const field = (name) => block.match(new RegExp(`^${name}: ?(.*)$`, 'm'))?.[1];
        const data = field('data');
        if (data !== undefined) yield { id: field('id'), data };
      }
    }
  } catch {
    // A broken connection ends the stream; the caller asks again from the last event.
  }
}

/** `GET /api/scenes/{id}/image` as bytes. */
export async function fetchPicture(edgeUrl, token, id) {
  const response = await fetch(`${edgeUrl}/api/scenes/${id}/image`, { headers: { authorization: `Bearer ${token}` } });
  if (!response.ok) throw new Problem(`the picture could not be fetched: ${response.status} ${await response.text()}`);
  return Buffer.from(await response.arrayBuffer());
}

/** The stored row, read from Supabase itself with the user's token: row-level security lets the owner see it. */
export async function readRow({ supabase_url, publishable_key }, token, id) {
  const headers = { apikey: publishable_key, authorization: `Bearer ${token}` };
  const response = await fetch(`${supabase_url}/rest/v1/scenes?id=eq.${id}`, { headers });
  const rows = response.ok ? await response.json() : [];
  if (rows.length !== 1) throw new Problem(`the row of scene ${id} is not in Supabase (${response.status})`);
  return rows[0];
}

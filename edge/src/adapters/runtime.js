// The runtime's side of the bridge and of the counters: one call where Rust alone would need several per header.

/** Method, address and headers of a request, a line each; none of them can hold a line break. */
export function head(request) {
  let text = `${request.method}\n${request.url}`;
  for (const [name, value] of request.headers) text += `\n${name}:${value}`;
  return text;
}

/** An answer: its headers a line each; its body a text, bytes, a stream or null. */
export function answer(status, head, body) {
  const headers = new Headers();
  for (const line of head.split('\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.append(line.slice(0, colon), line.slice(colon + 1));
  }
  return new Response(body, { status, headers });
}

/** Counts one more for the key: a promise of `{ success }`. */
export function count(env, binding, key) {
  return env[binding].limit({ key });
}

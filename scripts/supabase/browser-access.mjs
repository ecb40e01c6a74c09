// What a page of another origin may do: everything, as with hosted Supabase; keys and row-level security decide the rest.
// lite says so for some routes only, and for Auth and Storage it refuses every header in the question before a request.

/** The answer to a browser's question before a request, or undefined when this is none. */
export function answerPreflight(request) {
  if (request.method !== 'OPTIONS' || !request.headers.has('access-control-request-method')) return undefined;
  return new Response(null, {
    status: 204,
    headers: {
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS',
      'access-control-allow-headers': request.headers.get('access-control-request-headers') ?? '*',
      'access-control-max-age': '3600',
      vary: 'access-control-request-headers',
    },
  });
}

/** Lets pages read an answer, refusals too. */
export function openToPages(response) {
  if (response.headers.has('access-control-allow-origin')) return response;
  const headers = new Headers(response.headers);
  headers.set('access-control-allow-origin', '*');
  return new Response(response.body, { status: response.status, headers });
}

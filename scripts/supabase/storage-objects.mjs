// Two routes of hosted Storage that lite 0.10 lacks: reading below /authenticated/, and removing one file by its address.

import { json } from './responses.mjs';

const AUTHENTICATED = /^\/storage\/v1\/object\/authenticated\//;
const OBJECT = /^\/storage\/v1\/object\/([^/]+)\/(.+)$/;

/**
 * The request as lite knows it, and how its answer reads on hosted Storage; undefined when lite has the route.
 * @returns {{request: Request, shape(response: Response): Promise<Response>} | undefined}
 */
export function translateObject(request) {
  const url = new URL(request.url);
  if (['GET', 'HEAD'].includes(request.method) && AUTHENTICATED.test(url.pathname)) {
    url.pathname = url.pathname.replace('/authenticated/', '/');
    return { request: new Request(url, { method: request.method, headers: request.headers }), shape: async (response) => response };
  }
  const [, bucket, name] = (request.method === 'DELETE' && OBJECT.exec(url.pathname)) || [];
  if (!bucket) return undefined;
  url.pathname = `/storage/v1/object/${bucket}`;
  const headers = new Headers(request.headers);
  headers.delete('content-length');
  headers.set('content-type', 'application/json');
  const body = JSON.stringify({ prefixes: [decodeURIComponent(name)] });
  return { request: new Request(url, { method: 'DELETE', headers, body }), shape: shapeRemoval };
}

async function shapeRemoval(response) {
  if (response.status !== 200) return response;
  const removed = await response.json();
  return removed.length ? json({ message: 'Successfully deleted' }) : json({ statusCode: '404', error: 'not_found', message: 'Object not found' }, 400);
}

// What stands between a client and lite: the routes lite lacks, its tokens turned in and out, and the answers it shapes
// differently from hosted Supabase.

import { createAdminApi } from './admin-api.mjs';
import { answerPreflight, openToPages } from './browser-access.mjs';
import { createQueues } from './one-at-a-time.mjs';
import { json } from './responses.mjs';
import { foldListing, widenListing } from './storage-list.mjs';
import { translateObject } from './storage-objects.mjs';

const BEARER_JWT = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/i;
const SIGN_ROUTE = /^\/storage\/v1\/object\/(upload\/)?sign\//;
const OBJECT_ROUTE = /^\/storage\/v1\/object\//;
const LIST_ROUTE = /^\/storage\/v1\/object\/list\/[^/]+$/;

/**
 * @param {{app: object, database: object, tokens: object, access: object}} parts
 * @returns {(request: Request, peerAddress?: string) => Promise<Response>}
 */
export function createGateway({ app, database, tokens, access }) {
  const issuer = `${access.url}/auth/v1`;
  const adminApi = createAdminApi({
    database,
    access,
    signUp: (body) => app.fetch(new Request(`${access.url}/auth/v1/signup`, {
      method: 'POST',
      headers: { apikey: access.publishable_key, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })),
  });

  async function reshape(pathname, method, response) {
    const isAuth = pathname.startsWith('/auth/v1/');
    const isSigning = method === 'POST' && SIGN_ROUTE.test(pathname);
    const isJson = response.headers.get('content-type')?.includes('json');
    if (!(isAuth || isSigning) || response.status !== 200 || !isJson) return response;

    let body = await response.json();
    if (isAuth && body?.access_token && body.user) {
      body.access_token = await tokens.toOuter(body.access_token, body.user, issuer);
    }
    if (isSigning && body?.signedUrl) {
      // Hosted Storage gives the address below its own root, under another name.
      const url = body.signedUrl.replace(/^\/storage\/v1/, '');
      body = pathname.includes('/upload/sign/') ? { url, token: body.token } : { signedURL: url };
    }
    return replaceBody(response, body);
  }

  const oneAtATime = createQueues();

  function forward(request, peerAddress) {
    const send = () => app.fetch(request, { peerAddress: peerAddress ?? null });
    const { pathname } = new URL(request.url);
    // lite looks for an object, then writes it: two uploads of one path at once would be a 500 for all but one.
    const isUpload = ['POST', 'PUT'].includes(request.method) && OBJECT_ROUTE.test(pathname);
    return isUpload ? oneAtATime(pathname, send) : send();
  }

  async function list(request, peerAddress) {
    const body = await request.json().catch(() => ({}));
    const response = await forward(withBody(request, widenListing(body)), peerAddress);
    return response.status === 200 ? replaceBody(response, foldListing(await response.json(), body)) : response;
  }

  return async (request, peerAddress) => openToPages(await route(request, peerAddress));

  async function route(request, peerAddress) {
    const { pathname } = new URL(request.url);
    if (pathname === '/auth/v1/.well-known/jwks.json') return json(tokens.keySet);
    const answered = answerPreflight(request) ?? adminApi(request);
    if (answered) return answered;

    const bearer = BEARER_JWT.exec(request.headers.get('authorization') ?? '')?.[1];
    const inner = bearer && (await tokens.toInner(bearer));
    const ours = inner ? withHeader(request, 'authorization', `Bearer ${inner}`) : request;
    if (request.method === 'POST' && LIST_ROUTE.test(pathname)) return list(ours, peerAddress);
    const object = translateObject(ours);
    if (object) return object.shape(await forward(object.request, peerAddress));
    return reshape(pathname, request.method, await forward(ours, peerAddress));
  }
}

function withHeader(request, name, value) {
  const headers = new Headers(request.headers);
  headers.set(name, value);
  return new Request(request, { headers });
}

function withBody(request, body) {
  const headers = new Headers(request.headers);
  headers.delete('content-length');
  return new Request(request.url, { method: request.method, headers, body: JSON.stringify(body) });
}

function replaceBody(response, body) {
  const headers = new Headers(response.headers);
  headers.delete('content-length');
  return new Response(JSON.stringify(body), { status: response.status, headers });
}

// What stands between a client and lite: the routes lite lacks, its tokens turned in and out, and the answers it shapes
// differently from hosted Supabase.

import { createAdminApi } from './admin-api.mjs';
import { json } from './responses.mjs';

const BEARER_JWT = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/i;
const SIGN_ROUTE = /^\/storage\/v1\/object\/(upload\/)?sign\//;

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
    const headers = new Headers(response.headers);
    headers.delete('content-length');
    return new Response(JSON.stringify(body), { status: response.status, headers });
  }

  return async (request, peerAddress) => {
    const { pathname } = new URL(request.url);
    if (pathname === '/auth/v1/.well-known/jwks.json') return json(tokens.keySet);
    const answered = adminApi(request);
    if (answered) return answered;

    const bearer = BEARER_JWT.exec(request.headers.get('authorization') ?? '')?.[1];
    const inner = bearer && (await tokens.toInner(bearer));
    let forwarded = request;
    if (inner) {
      const headers = new Headers(request.headers);
      headers.set('authorization', `Bearer ${inner}`);
      forwarded = new Request(request, { headers });
    }
    const response = await app.fetch(forwarded, { peerAddress: peerAddress ?? null });
    return reshape(pathname, request.method, response);
  };
}

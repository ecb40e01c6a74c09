// Access tokens as hosted Supabase signs them: ES256 with a published key and the claims that policies and the edge read.
// lite 0.10 only knows HS256 and an empty key set, so its tokens are signed anew on the way out and turned back on the way in.

import * as jose from 'jose';

/**
 * @param {object} signingKey private JWK with `kid`
 * @param {string} innerSecret lite's own HS256 secret; no token signed with it ever leaves
 */
export async function createTokens(signingKey, innerSecret) {
  const privateKey = await jose.importJWK(signingKey, 'ES256');
  const { d: _private, ...publicJwk } = signingKey;
  const publicKey = await jose.importJWK(publicJwk, 'ES256');
  const inner = new TextEncoder().encode(innerSecret);

  return {
    keySet: { keys: [{ ...publicJwk, use: 'sig', key_ops: ['verify'], ext: true }] },

    /** lite's token → the token a client gets. */
    async toOuter(token, user, issuer) {
      const claims = jose.decodeJwt(token);
      return new jose.SignJWT({
        ...claims,
        iss: issuer,
        phone: user.phone ?? '',
        app_metadata: user.app_metadata ?? {},
        user_metadata: user.user_metadata ?? {},
        aal: 'aal1',
        amr: [{ method: 'password', timestamp: claims.iat }],
        is_anonymous: false,
      })
        .setProtectedHeader({ alg: 'ES256', kid: signingKey.kid, typ: 'JWT' })
        .sign(privateKey);
    },

    /** A client's token → lite's, or undefined when it is not ours: lite then refuses what it got. */
    async toInner(token) {
      try {
        const claims = await verifyEvenIfExpired(token, publicKey);
        return await new jose.SignJWT(claims).setProtectedHeader({ alg: 'HS256', typ: 'JWT' }).sign(inner);
      } catch {
        return undefined;
      }
    },
  };
}

/** An expired token passes with its `exp`, so that lite answers with its own word for it. */
async function verifyEvenIfExpired(token, publicKey) {
  try {
    return (await jose.jwtVerify(token, publicKey, { algorithms: ['ES256'] })).payload;
  } catch (error) {
    if (error instanceof jose.errors.JWTExpired) return error.payload;
    throw error;
  }
}

// What lite 0.10's two database drivers do differently from hosted PostgREST, mended on the connection itself.
// It touches lite's internals: package.json pins the version exactly.

const TIMESTAMPTZ = 1184;
const TIMESTAMP = 1114;
const NUMERIC = 1700;
const JSON_TYPES = [114, 3802];

export function fixDriver(connection) {
  fixValues(connection.driver);
  fixErrors(connection);
  keepGrants(connection);
}

function fixValues(driver) {
  const parsers = driver.parsers ?? driver.options.parsers;
  // PostgreSQL prints "2026-11-21 09:00:00+00"; RFC 3339, which clients parse, wants a T and minutes in the offset.
  parsers[TIMESTAMPTZ] = (text) => text.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00');
  parsers[TIMESTAMP] = (text) => text.replace(' ', 'T');
  // "1.50" came out as a string.
  parsers[NUMERIC] = Number;

  const serializers = driver.options?.serializers;
  if (serializers) {
    // lite hands postgres.js JSON text, which was then encoded once more: a jsonb column held a string.
    for (const type of JSON_TYPES) {
      serializers[type] = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
    }
  }
}

/** The SQLSTATEs for which lite answers as PostgREST does; it turns all others into `500 SUP`. */
const WELL_MAPPED = /^(PGRST|PT\w{3}|42\w{3}|22\w{3}|21\w{3}|23502|23503|23505|25006|53\w{3}|55\w{3})$/;

function fixErrors(connection) {
  const normalize = connection.normalizeDbError.bind(connection);
  connection.normalizeDbError = (error) => {
    const known = normalize(error);
    const code = known?.code;
    if (typeof code !== 'string' || !/^[0-9A-Z]{5}$/.test(code) || WELL_MAPPED.test(code)) return known;
    // lite lets an error with the code PGRST choose its own status and body.
    const body = { code, message: known.message, details: known.detail ?? null, hint: known.hint ?? null };
    return Object.assign(new Error(JSON.stringify(body)), {
      code: 'PGRST',
      detail: JSON.stringify({ status: statusOf(code), headers: {} }),
    });
  };
}

/** PostgREST's table from SQLSTATE to status. */
function statusOf(code) {
  if (code === 'P0001') return 400;
  if (/^(08|53)/.test(code) || code === '57P01') return 503;
  if (/^(0L|0P|28)/.test(code)) return 403;
  if (/^(09|25|2D|38|39|3B|40|54|55|57|58|F0|HV|P0|XX)/.test(code)) return 500;
  return 400;
}

/** Before its first query lite grants every role everything on every table, which would undo the migrations' revokes. */
function keepGrants(connection) {
  connection.rlsState = 'active';
}

// One environment of wrangler.toml as a configuration of its own. wrangler's environments inherit no bindings, and
// three copies of them would drift apart: so ours state only what differs.

import { parse } from 'smol-toml';
import { Problem } from './progress.mjs';

/** The configuration that `wrangler deploy` gets for environment `name`. */
export function deployConfig(toml, name) {
  const { env: environments, build: _build, ...base } = parse(toml);
  const own = environments?.[name];
  if (!own) throw new Problem(`Say which environment: npm run deploy -- --env ${Object.keys(environments ?? {}).join('|')}`);
  const vars = { ...base.vars, ...own.vars };
  const missing = ['SUPABASE_URL'].filter((key) => !vars[key]?.startsWith('https://'));
  if (vars.JWT_ISSUERS === '[]') missing.push('JWT_ISSUERS');
  if (missing.length) throw new Problem(`wrangler.toml, [env.${name}.vars]: set ${missing.join(' and ')} first.`);
  const queue = (entry) => ({
    ...entry,
    queue: `${entry.queue}-${name}`,
    ...(entry.dead_letter_queue && { dead_letter_queue: `${entry.dead_letter_queue}-${name}` }),
  });
  return {
    ...base,
    ...own,
    vars,
    queues: { producers: base.queues.producers.map(queue), consumers: base.queues.consumers.map(queue) },
  };
}

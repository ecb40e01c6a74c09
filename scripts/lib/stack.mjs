// A whole local system: Supabase, the edge, nodes and the clock, started, broken and ended as the caller wishes.
// Everything about a running one stands in DIR/stack.json, so that any script or client can find and end it.

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildEdge } from './edge-build.mjs';
import { LOCAL, ROOT } from './paths.mjs';
import { answers, DEFAULT_PORTS, freePorts, pause, requirePort, waitFor } from './ports.mjs';
import { CARGO_BAR, groupRuns, launch, logSince, logSize, logTail, quietly, stopGroup } from './processes.mjs';
import { Problem, step } from './progress.mjs';
import { configureEdge, edgeVars, placeEdge } from './stack/edge.mjs';
import { commandOf, environmentOf, nodeNames, partNames, urlOf } from './stack/parts.mjs';
import { ensurePerson } from './stack/people.mjs';

const FLEET_MS = 60_000;

/** A part that said why it never will be well. */
class Refusal extends Problem {}

const fileOf = (dir) => join(dir, 'stack.json');
const secret = () => randomBytes(24).toString('base64url');

/** What DIR/stack.json says, or undefined when no stack was started there. */
export function readStack(dir = LOCAL) {
  return existsSync(fileOf(dir)) ? JSON.parse(readFileSync(fileOf(dir), 'utf8')) : undefined;
}

function writeStack(dir, stack) {
  writeFileSync(`${fileOf(dir)}.new`, `${JSON.stringify(stack, null, 2)}\n`, { mode: 0o600 });
  renameSync(`${fileOf(dir)}.new`, fileOf(dir));
}

/**
 * Starts a stack and waits until every part answers.
 * @param {{dir?: string, freePorts?: boolean, driver?: 'pglite' | 'postgres', nodes?: number, cronSeconds?: number,
 *   standIns?: boolean, edgeKind?: 'release' | 'fast', vars?: object, nodeVars?: object, deliveries?: object}} options
 *   vars and nodeVars: more settings of the edge and of the nodes; standIns: with the tests' stand-ins for Discord's
 *   webhook, for other issuers of tokens, for the product's own server and for a resolver of names; deliveries: by queue, after how many repeats a message is a dead letter
 */
export async function startStack({ dir = LOCAL, edgeKind = 'release', ...options } = {}) {
  const old = readStack(dir);
  if (old && Object.values(old.parts).some(groupRuns)) {
    throw new Problem('A stack runs here already: `npm run stack -- status` shows it, `npm run stack -- down` ends it.');
  }
  mkdirSync(dir, { recursive: true });
  const plan = await makePlan(options, old);
  await buildNode();
  placeEdge(dir, await buildEdge(edgeKind));

  const stack = describe(plan, old);
  writeStack(dir, stack);
  const handle = handleOf(dir);
  try {
    await step(`Supabase (${plan.driver}) at ${stack.supabase_url}`, () => handle.start('supabase'));
    // Imported late: ending a stack must not need any package.
    const { readSigningKey } = await import('../supabase/keys.mjs');
    const signingKey = readSigningKey(join(dir, 'supabase'));
    const access = JSON.parse(readFileSync(join(dir, 'supabase', 'access.json'), 'utf8'));
    writeStack(dir, { ...readStack(dir), publishable_key: access.publishable_key, secret_key: access.secret_key });
    await configureEdge(dir, edgeVars({ ...plan, supabaseUrl: stack.supabase_url, publishableKey: access.publishable_key, secretKey: access.secret_key, signingKey, issuers: issuersOf(plan), vars: varsOf(plan) }), plan.deliveries);
    for (const name of partNames(plan).slice(1)) {
      await step(`${name}${titleOf(name, plan)}`, () => handle.start(name));
    }
    await step('the edge knows the node', () => fleetReady(stack.edge_url, plan.nodes));
    await step('demo user and admin', async () => {
      const now = readStack(dir);
      await ensurePerson(now, now.demo_user);
      await ensurePerson(now, now.admin_user, 'admin');
    });
    return handle;
  } catch (error) {
    await handle.stop();
    throw error;
  }
}

async function makePlan({ freePorts: anyPorts = false, driver = process.env.SUPABASE_DRIVER ?? 'pglite', nodes = 1, cronSeconds = 60, standIns = false, vars = {}, nodeVars = {}, deliveries = {} }, old) {
  const count = 7 + nodes;
  const [inspector, ...free] = await freePorts(count);
  const ports = anyPorts
    ? { supabase: free[0], edge: free[1], nodes: free.slice(6, 6 + nodes) }
    : { ...DEFAULT_PORTS, nodes: Array.from({ length: nodes }, (_, index) => DEFAULT_PORTS.node + index) };
  for (const [part, port] of Object.entries({ supabase: ports.supabase, edge: ports.edge, node: ports.nodes[0] })) await requirePort(port, part);
  const secrets = old?.plan.secrets ?? { node_token: secret(), node_join_token: secret(), metrics_token: secret(), issuer_secret: secret(), webhook_secret: secret() };
  return { ports: { ...ports, inspector, ...(standIns && { discord: free[2], issuer: free[3], receiver: free[4], resolver: free[5] }) }, driver, nodes, cronSeconds, vars, nodeVars, deliveries, secrets };
}

const describe = (plan, old) => ({
  edge_url: urlOf(plan.ports.edge),
  node_url: urlOf(plan.ports.nodes[0]),
  supabase_url: urlOf(plan.ports.supabase),
  ...(plan.ports.discord && { discord_url: urlOf(plan.ports.discord) }),
  ...(plan.ports.issuer && { issuer_url: urlOf(plan.ports.issuer) }),
  ...(plan.ports.receiver && { receiver_url: urlOf(plan.ports.receiver) }),
  ...(plan.ports.resolver && { resolver_url: urlOf(plan.ports.resolver) }),
  node_token: plan.secrets.node_token,
  metrics_token: plan.secrets.metrics_token,
  // The people stay in Supabase's data, so their passwords stay too.
  demo_user: old?.demo_user ?? { email: 'demo@chandelle.local', password: secret() },
  admin_user: old?.admin_user ?? { email: 'admin@chandelle.local', password: secret() },
  parts: {},
  plan,
});

const varsOf = ({ ports, secrets, vars }) => ({
  ...(ports.discord && { DISCORD_WEBHOOK_URL: `${urlOf(ports.discord)}/api/webhooks/1/token` }),
  ...(ports.receiver && { WEBHOOK_URL: `${urlOf(ports.receiver)}/hook`, WEBHOOK_SECRET: secrets.webhook_secret, INPUT_IMAGE_ORIGINS: urlOf(ports.receiver) }),
  ...(ports.resolver && { DNS_URL: `${urlOf(ports.resolver)}/dns-query` }),
  ...vars,
});

/** The issuers beside Supabase: one with keys, one with a secret, one with ids of its own as Clerk has them. */
const issuersOf = ({ ports }) =>
  ports.issuer
    ? [
        { issuer: `${urlOf(ports.issuer)}/keys`, audience: 'chandelle', algorithms: ['ES256', 'RS256', 'EdDSA'], jwks_url: `${urlOf(ports.issuer)}/jwks.json` },
        { issuer: `${urlOf(ports.issuer)}/secret`, audience: 'chandelle', algorithms: ['HS256'], hs256_secret_name: 'JWT_HS256_SECRET' },
        { issuer: `${urlOf(ports.issuer)}/clerk`, authorized_parties: ['https://app.example'], algorithms: ['RS256', 'EdDSA'], jwks_url: `${urlOf(ports.issuer)}/jwks.json`, is_foreign: true },
      ]
    : [];

function titleOf(name, { ports, cronSeconds }) {
  if (name === 'ticker') return `, calling the cron every ${cronSeconds} s`;
  const port = ports[name] ?? ports.nodes[nodeNames(ports.nodes.length).indexOf(name)];
  return ` at ${urlOf(port)}`;
}

/** Nodes register by themselves; until they have, orders are refused. */
async function fleetReady(edgeUrl, wanted) {
  const deadline = Date.now() + FLEET_MS;
  for (;;) {
    const response = await fetch(`${edgeUrl}/api/health`);
    const health = await response.json();
    if (health.checks?.nodes.healthy >= wanted) return;
    if (Date.now() > deadline) throw new Problem(`The edge knows ${health.checks?.nodes.healthy ?? 'no'} of ${wanted} nodes: ${JSON.stringify(health)}`);
    await pause(300);
  }
}

async function buildNode() {
  await step('node, compiled', (update) =>
    quietly('cargo', ['build', '--release', '-p', 'gpu-node'], { cwd: ROOT, env: { ...process.env, ...CARGO_BAR }, update }),
  );
}

/** What can be done with the stack in `dir`, also from another process than the one that started it. */
export function handleOf(dir = LOCAL) {
  const known = () => {
    const stack = readStack(dir);
    if (!stack) throw new Problem(`No stack was started in ${dir}.`);
    return stack;
  };
  const remember = (name, part) => {
    const stack = known();
    writeStack(dir, { ...stack, parts: { ...stack.parts, [name]: part } });
  };
  const handle = {
    dir,
    file: fileOf(dir),
    info: known,

    /** Starts a part on its port and data, and waits until it answers. */
    async start(name) {
      const { parts, plan } = known();
      if (!partNames(plan).includes(name)) throw new Problem(`No part is called ${name}; there are ${partNames(plan).join(', ')}.`);
      if (parts[name] && groupRuns(parts[name])) return;
      const command = commandOf(name, dir, plan);
      const logFile = join(dir, 'logs', `${name}.log`);
      const earlier = logSize(logFile);
      const part = launch(command.program, command.args, { cwd: command.cwd ?? ROOT, env: environmentOf(command), logFile });
      remember(name, part);
      if (!command.health) return;
      const check = () => {
        if (!groupRuns(part)) throw new Problem(`${name} ended before it answered:\n${logTail(part.log)}`);
        const refusal = command.refusal && logSince(logFile, earlier).match(command.refusal);
        if (refusal) throw new Refusal(`${name} does not start: ${refusal[0]}`);
      };
      try {
        await waitFor(command.health, { timeoutMs: 90_000, check, what: name });
      } catch (error) {
        if (error instanceof Refusal) throw error;
        throw new Problem(`${error.message}\nlast lines of ${part.log}:\n${logTail(part.log)}`);
      }
    },

    /** SIGKILL to the part with everything it started, as a machine that loses power. */
    async kill(name) {
      await stopGroup(known().parts[name], { signal: 'SIGKILL' });
    },

    async restart(name) {
      await stopGroup(known().parts[name]);
      await handle.start(name);
    },

    /** Which part answers. */
    async status() {
      const { parts, plan } = known();
      return Promise.all(
        partNames(plan).map(async (name) => {
          const { health } = commandOf(name, dir, plan);
          const runs = Boolean(parts[name] && groupRuns(parts[name]));
          return { name, runs, answers: health ? await answers(health) : runs, url: health, log: parts[name]?.log };
        }),
      );
    },

    /** Ends every part, the latest first; the data stay. */
    async stop() {
      const stack = readStack(dir);
      if (!stack) return;
      const last = partNames(stack.plan).reverse();
      await Promise.all(last.filter((name) => name !== 'supabase').map((name) => stopGroup(stack.parts[name])));
      await stopGroup(stack.parts.supabase);
      writeStack(dir, { ...known(), parts: {} });
    },

    /** Ends everything and forgets the data. */
    async remove() {
      await handle.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
  return handle;
}

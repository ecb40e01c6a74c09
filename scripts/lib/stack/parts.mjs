// The parts of a local stack: how each is started and where it says that it is well.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeEnv } from '../packages.mjs';
import { inRoot, ROOT } from '../paths.mjs';
import { edgeCommand } from './edge.mjs';

export const urlOf = (port) => `http://127.0.0.1:${port}`;

/** The names of all parts, in the order in which they start. */
export function partNames({ nodes, ports }) {
  return ['supabase', ...['discord', 'issuer', 'receiver', 'resolver'].filter((name) => ports[name]), 'edge', ...nodeNames(nodes), 'ticker'];
}

export const nodeNames = (count) => Array.from({ length: count }, (_, index) => (index ? `node-${index + 1}` : 'node'));

/** `{program, args, env?, cwd?, health?, refusal?}` of a part (refusal: what its log says when it never will be well), from the plan alone: a killed part starts again as it was. */
export function commandOf(name, dir, plan) {
  const { ports, secrets, driver, cronSeconds } = plan;
  if (name === 'supabase') {
    const args = ['--data', join(dir, 'supabase'), '--port', String(ports.supabase), '--driver', driver];
    return {
      program: 'node',
      args: [inRoot('scripts', 'supabase', 'server.mjs'), ...args],
      health: `${urlOf(ports.supabase)}/auth/v1/.well-known/jwks.json`,
    };
  }
  if (name === 'discord') {
    const args = [inRoot('tests', 'stand-ins', 'discord.mjs'), '--port', String(ports.discord)];
    return { program: 'node', args, health: `${urlOf(ports.discord)}/messages` };
  }
  if (name === 'issuer') {
    const args = [inRoot('tests', 'stand-ins', 'issuer.mjs'), '--port', String(ports.issuer)];
    return { program: 'node', args, env: { ISSUER_SECRET: secrets.issuer_secret }, health: `${urlOf(ports.issuer)}/fetches` };
  }
  if (name === 'receiver') {
    const args = [inRoot('tests', 'stand-ins', 'receiver.mjs'), '--port', String(ports.receiver)];
    return { program: 'node', args, env: { RECEIVER_SECRET: secrets.webhook_secret }, health: `${urlOf(ports.receiver)}/asked` };
  }
  if (name === 'resolver') {
    const args = [inRoot('tests', 'stand-ins', 'resolver.mjs'), '--port', String(ports.resolver)];
    return { program: 'node', args, health: `${urlOf(ports.resolver)}/asked` };
  }
  if (name === 'edge') return edgeCommand(dir, { port: ports.edge, inspectorPort: ports.inspector });
  if (name === 'ticker') {
    const script = fileURLToPath(new URL('./ticker.mjs', import.meta.url));
    return { program: 'node', args: [script, urlOf(ports.edge), String(cronSeconds)] };
  }
  const port = ports.nodes[nodeNames(plan.nodes).indexOf(name)];
  return {
    program: inRoot('target', 'release', 'gpu-node'),
    args: ['serve'],
    cwd: ROOT,
    env: {
      CHANDELLE_HOST: '127.0.0.1',
      CHANDELLE_PORT: String(port),
      NODE_TOKENS: secrets.node_token,
      NODE_JOIN_TOKEN: secrets.node_join_token,
      NODE_ID: `local-${name}`,
      NODE_PUBLIC_URL: urlOf(port),
      EDGE_URL: urlOf(ports.edge),
      MODELS_DIR: inRoot('models'),
      // Locally nobody waits for results of a node that is being ended.
      DRAIN_TIMEOUT_S: '5',
      DRAIN_LINGER_S: '1',
      ...plan.nodeVars,
    },
    health: `${urlOf(port)}/health/ready`,
  };
}

export const environmentOf = ({ env }) => nodeEnv(env);

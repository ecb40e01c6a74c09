// `npm test [-- STAGE…]`: installs what is missing, then every test, stage by stage; the first failing stage ends it.

import { existsSync, readdirSync } from 'node:fs';
import { nodeEnv } from './lib/packages.mjs';
import { inRoot, ROOT } from './lib/paths.mjs';
import { command, Problem, say, seconds } from './lib/progress.mjs';
import { testDialects } from './lib/dialect-clients.mjs';
import { testClients } from './lib/openai-clients.mjs';
import { ensureSetup } from './lib/setup.mjs';
import { runCounted } from './lib/test-counts.mjs';

/** Each runs what it names and resolves with `{passed, failed}`; `needs` tells whether its sources are in the tree. */
const STAGES = {
  scripts: { run: () => node(['--test', ...testFiles()]), needs: 'scripts/tests' },
  native: { run: () => cargo(['test', '--no-fail-fast', '-p', 'chandelle-shared', '-p', 'edge']), needs: 'edge/src' },
  node: { run: () => cargo(['test', '--release', '--no-fail-fast', '-p', 'gpu-node']), needs: 'gpu-node/src' },
  clients: { run: clients, needs: 'models/embedded-text/manifest.toml' },
  wasm: { run: buildWasm, needs: 'edge/src' },
  database: { run: () => node(['scripts/supabase/test.mjs', '--all']), needs: 'scripts/supabase/test.mjs' },
  stories: { run: (stack) => stories(stack), needs: 'tests/tests', onStack: true },
  browser: { run: (stack) => browser(stack), needs: 'tests/browser', onStack: true },
};

const environment = (extra) => nodeEnv({ NO_COLOR: '1', CARGO_TERM_COLOR: 'never', RUST_BACKTRACE: '0', ...extra });
const cargo = (args, extra) => runCounted('cargo', args, { cwd: ROOT, env: environment(extra) });
const node = (args) => runCounted('node', args, { cwd: ROOT, env: environment() });
const testFiles = () => readdirSync(inRoot('scripts', 'tests')).filter((name) => name.endsWith('.test.mjs')).map((name) => inRoot('scripts', 'tests', name));
// One at a time: the stories kill parts that the others stand on.
const stories = ({ file }) => cargo(['test', '-p', 'e2e', '--', '--test-threads=1'], { CHANDELLE_STACK: file });
const browser = ({ file }) =>
  runCounted('playwright', ['test', '--config', inRoot('tests', 'browser', 'playwright.config.mjs')], { cwd: ROOT, env: environment({ CHANDELLE_STACK: file, NO_COLOR: undefined }) });

async function clients() {
  const [openai, dialects] = [await testClients(), await testDialects()];
  return { passed: openai.passed + dialects.passed, failed: openai.failed + dialects.failed, code: openai.code + dialects.code };
}

async function buildWasm() {
  const { buildEdge } = await import('./lib/edge-build.mjs');
  await buildEdge('release');
  return { passed: 1, failed: 0 };
}

await command(async () => {
  const started = Date.now();
  const asked = process.argv.slice(2);
  const unknown = asked.find((name) => !STAGES[name]);
  if (unknown) throw new Problem(`No stage is called ${unknown}; there are ${Object.keys(STAGES).join(', ')}.`);
  const names = Object.keys(STAGES).filter((name) => (asked.length ? asked.includes(name) : existsSync(inRoot(STAGES[name].needs))));
  say(`stages: ${names.join(', ')}`);
  await ensureSetup({ postgres: names.includes('database'), chromium: names.includes('browser') });

  const results = [];
  const attempt = async (name, stack) => {
    say(`\n━━ ${name}`);
    const from = Date.now();
    const result = { name, passed: 0, failed: 0 };
    results.push(result);
    try {
      Object.assign(result, await STAGES[name].run(stack));
      if (result.code) result.failed ||= 1;
    } catch (error) {
      result.failed ||= 1;
      say(error instanceof Problem ? error.message : error.stack);
    }
    result.took = seconds(Date.now() - from);
    say(`━━ ${name}: ${result.failed ? 'FAILED' : 'passed'} after ${result.took}`);
    if (result.failed) throw new Problem(`stage ${name} failed`);
  };

  try {
    for (const name of names.filter((name) => !STAGES[name].onStack)) await attempt(name);
    const onStack = names.filter((name) => STAGES[name].onStack);
    if (onStack.length) {
      const { withTestStack } = await import('./lib/test-stack.mjs');
      await withTestStack({}, async (stack) => {
        for (const name of onStack) await attempt(name, stack);
      });
    }
  } finally {
    summarise(names, results, Date.now() - started);
  }
});

function summarise(names, results, ms) {
  const total = (field) => results.reduce((sum, result) => sum + result[field], 0);
  console.log('');
  for (const { name, passed, failed, took } of results) console.log(`${failed ? '✗' : '✓'} ${name.padEnd(10)} ${passed} passed, ${failed} failed in ${took}`);
  for (const name of names.slice(results.length)) console.log(`- ${name.padEnd(10)} not run`);
  console.log(`all in ${seconds(ms)}`);
  console.log(`${total('passed')} passed, ${total('failed')} failed`);
}

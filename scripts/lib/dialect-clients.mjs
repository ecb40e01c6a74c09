// The other half of the stage `clients`: RunPod's and Replicate's own clients, and OpenAI's below a RunPod endpoint, against a node that really runs.

import { join } from 'node:path';
import { EDIT_MODEL, ensurePythonClients, IMAGE_MODEL, placeModels, startNode } from './openai-clients.mjs';
import { nodeEnv } from './packages.mjs';
import { inRoot, ROOT } from './paths.mjs';
import { stopGroup } from './processes.mjs';
import { runCounted } from './test-counts.mjs';

const TESTS = inRoot('tests', 'dialects');

/** Resolves with `{passed, failed, code}`; the node must have been built. */
export async function testDialects() {
  const python = await ensurePythonClients(TESTS, 'dialects-python');
  const node = await startNode({ MODELS_DIR: await placeModels(), DEFAULT_MODEL: IMAGE_MODEL, WEBHOOKS_ALLOW_LOCAL: 'true' });
  try {
    const env = nodeEnv({ NO_COLOR: '1', NODE_URL: node.url, NODE_TOKEN: node.token, RUNPOD_ENDPOINT_BASE_URL: `${node.url}/v2`, CHANDELLE_IMAGE_MODEL: IMAGE_MODEL, CHANDELLE_EDIT_MODEL: EDIT_MODEL, PYTHONDONTWRITEBYTECODE: '1' });
    const results = [
      await runCounted('node', ['--test', '--test-concurrency=1', ...['clients', 'pictures'].map((name) => join(TESTS, `${name}.test.mjs`))], { cwd: ROOT, env }),
      await runCounted(python, ['-m', 'unittest', 'discover', '-s', TESTS], { cwd: ROOT, env }),
    ];
    const sum = (field) => results.reduce((total, result) => total + result[field], 0);
    return { passed: sum('passed'), failed: sum('failed'), code: sum('code') };
  } finally {
    await stopGroup(node.part);
  }
}

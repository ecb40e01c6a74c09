// The stage `clients`: OpenAI's own JavaScript and Python clients against a node that really runs, and the hub's Python client on one cache with it.

import { createHash, randomBytes } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nodeEnv } from './packages.mjs';
import { inRoot, LOCAL, ROOT, toolDir } from './paths.mjs';
import { answers, freePorts, pause } from './ports.mjs';
import { groupRuns, launch, logTail, quietly, stopGroup } from './processes.mjs';
import { Problem, step } from './progress.mjs';
import { ensurePython } from './system-packages.mjs';
import { runCounted } from './test-counts.mjs';

const TESTS = inRoot('tests', 'openai');
const MODEL = 'embedded-text';
const TOOL_MODEL = 'embedded-tools';
const EMBEDDING_MODEL = 'tiny-embedding';
export const IMAGE_MODEL = 'embedded-scene';
export const EDIT_MODEL = 'tiny-pictures';
const READY_MS = 120_000;
const EMBEDDING_FILES = ['config.json', 'model.safetensors', 'modules.json', '1_Pooling/config.json'];
const PICTURE_FILES = [
  'model_index.json',
  'scheduler/scheduler_config.json',
  ...['text_encoder/config.json', 'text_encoder/model.safetensors'],
  ...['tokenizer/merges.txt', 'tokenizer/tokenizer.json', 'tokenizer/tokenizer_config.json', 'tokenizer/vocab.json'],
  ...['unet', 'vae'].flatMap((part) => [`${part}/config.json`, `${part}/diffusion_pytorch_model.safetensors`]),
];
const sha256 = (content) => createHash('sha256').update(content).digest('hex');

/** Resolves with `{passed, failed, code}` of both clients together. */
export async function testClients() {
  const python = await ensurePythonClients(TESTS, 'openai-python');
  await step('the node (cargo build --release)', (update) => quietly('cargo', ['build', '--release', '-p', 'gpu-node'], { cwd: ROOT, update }));
  const node = await startNode({ MODELS_DIR: await placeModels(), DEFAULT_MODEL: MODEL });
  try {
    const models = { CHANDELLE_TEXT_MODEL: MODEL, CHANDELLE_TOOL_MODEL: TOOL_MODEL, CHANDELLE_EMBEDDING_MODEL: EMBEDDING_MODEL, CHANDELLE_IMAGE_MODEL: IMAGE_MODEL, CHANDELLE_EDIT_MODEL: EDIT_MODEL };
    const env = nodeEnv({ NO_COLOR: '1', OPENAI_BASE_URL: `${node.url}/v1`, OPENAI_API_KEY: node.token, ...models });
    const results = [
      await runCounted('node', ['--test', ...['clients', 'images'].map((name) => join(TESTS, `${name}.test.mjs`))], { cwd: ROOT, env }),
      await runCounted(python, ['-m', 'unittest', 'discover', '-s', TESTS], { cwd: ROOT, env: { ...env, PYTHONDONTWRITEBYTECODE: '1' } }),
      await runCounted(python, ['-m', 'unittest', 'discover', '-s', inRoot('tests', 'hub-cache')], { cwd: ROOT, env: { ...env, PYTHONDONTWRITEBYTECODE: '1' } }),
    ];
    const sum = (field) => results.reduce((total, result) => total + result[field], 0);
    return { passed: sum('passed'), failed: sum('failed'), code: sum('code') };
  } finally {
    await stopGroup(node.part);
  }
}

/** The Python with the clients that a folder of tests pins, in a virtual environment that clones share. */
export async function ensurePythonClients(tests, name) {
  const requirements = join(tests, 'requirements.txt');
  const folder = toolDir(name, sha256(readFileSync(requirements)).slice(0, 12));
  const python = join(folder, 'bin', 'python');
  if (existsSync(join(folder, 'installed'))) return python;
  await ensurePython();
  rmSync(folder, { recursive: true, force: true });
  await step(`the Python clients of ${name} (pip)`, async (update) => {
    await quietly('python3', ['-m', 'venv', folder], { update });
    await quietly(python, ['-m', 'pip', 'install', '--disable-pip-version-check', '-r', requirements], { update, timeoutMs: 600_000 });
  });
  writeFileSync(join(folder, 'installed'), '');
  return python;
}

/** A node that is ready, with settings of its own. */
export async function startNode(settings) {
  const [port] = await freePorts(1);
  const token = randomBytes(16).toString('hex');
  const url = `http://127.0.0.1:${port}`;
  const env = nodeEnv({ CHANDELLE_PORT: String(port), NODE_TOKENS: token, QUEUE_CAPACITY: '8', DRAIN_TIMEOUT_S: '5', DRAIN_LINGER_S: '0', ...settings });
  const logFile = join(LOCAL, 'clients', 'node.log');
  rmSync(logFile, { force: true });
  const part = launch(inRoot('target', 'release', 'gpu-node'), ['serve'], { logFile, cwd: ROOT, env });
  const deadline = Date.now() + READY_MS;
  while (!(await answers(`${url}/health/ready`))) {
    if (!groupRuns(part) || Date.now() > deadline) {
      await stopGroup(part);
      throw new Problem(`the node did not come up:\n${logTail(logFile)}`);
    }
    await pause(100);
  }
  return { part, url, token };
}

/** A models folder with the embedded models as they are, the text model once more with a template that knows tools, and models of random numbers for vectors and for pictures from pictures. */
export async function placeModels() {
  const { parse, stringify } = await import('smol-toml');
  const source = inRoot('models', MODEL);
  const folder = join(LOCAL, 'clients', 'models');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  symlinkSync(source, join(folder, MODEL));
  symlinkSync(inRoot('models', IMAGE_MODEL), join(folder, IMAGE_MODEL));

  const manifest = parse(readFileSync(join(source, 'manifest.toml'), 'utf8'));
  const target = join(folder, TOOL_MODEL);
  for (const { path } of manifest.files) cpSync(join(source, path), join(target, path), { recursive: true });
  const settings = JSON.parse(readFileSync(join(source, 'tokenizer_config.json'), 'utf8'));
  settings.chat_template = readFileSync(join(TESTS, 'tools.jinja'), 'utf8');
  writeFileSync(join(target, 'tokenizer_config.json'), JSON.stringify(settings));
  const files = manifest.files.map(({ path }) => describe(target, path));
  writeFileSync(join(target, 'manifest.toml'), stringify({ ...manifest, name: TOOL_MODEL, files }));
  writeFileSync(join(placeEmbedding(folder), 'manifest.toml'), stringify(embeddingManifest(folder)));
  placePictures(folder, stringify);
  return folder;
}

const describe = (folder, path) => ({ path, bytes: statSync(join(folder, path)).size, sha256: sha256(readFileSync(join(folder, path))) });

/** Its numbers are random and its tokenizer is another tiny model's: enough to see that vectors travel well. */
function placeEmbedding(folder) {
  const target = join(folder, EMBEDDING_MODEL);
  for (const path of EMBEDDING_FILES) cpSync(inRoot('models', 'tiny', 'qwen3-embedding', path), join(target, path), { recursive: true });
  cpSync(inRoot('models', 'tiny', 'stable-diffusion', 'tokenizer', 'tokenizer.json'), join(target, 'tokenizer.json'));
  return target;
}

function embeddingManifest(folder) {
  const files = [...EMBEDDING_FILES, 'tokenizer.json'].map((path) => describe(join(folder, EMBEDDING_MODEL), path));
  const about = { name: EMBEDDING_MODEL, modality: 'embedding', architecture: 'qwen3', revision: '1', licence: 'Apache-2.0', memory_bytes: 10_000_000 };
  return { ...about, source: { kind: 'folder' }, defaults: { context_tokens: 48 }, files };
}

/** Its numbers are random, but it has both halves of its picture code: enough to see that pictures go in and come out. */
function placePictures(folder, stringify) {
  const target = join(folder, EDIT_MODEL);
  for (const path of PICTURE_FILES) cpSync(inRoot('models', 'tiny', 'stable-diffusion', path), join(target, path), { recursive: true });
  const about = { name: EDIT_MODEL, modality: 'image', architecture: 'stable-diffusion', revision: '1', licence: 'Apache-2.0', dtype: 'f32', memory_bytes: 10_000_000 };
  const defaults = { width: 32, height: 32, steps: 4, guidance: 2.5, scheduler: 'ddim', size_multiple: 16, side_max: 256, input_images: 1 };
  const files = PICTURE_FILES.map((path) => describe(target, path));
  writeFileSync(join(target, 'manifest.toml'), stringify({ ...about, source: { kind: 'folder' }, defaults, files }));
}

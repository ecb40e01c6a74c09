// How far our numbers are from the reference implementations': `npm run parity`, and in bf16 or on a card
// `npm run parity -- [--device cuda] [--dtype bf16]`. Writes docs/parity….md from the tests' own words.

import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './bench/report.mjs';
import { CUDA_FLAGS, cudaEnv } from './lib/cuda-tools.mjs';
import { paritySection, readParity } from './lib/parity.mjs';
import { command, Problem, say } from './lib/progress.mjs';

const DIFFUSERS = 'diffusers 0.42.1 and transformers 5.23.0';
const TRANSFORMERS = 'transformers 5.23.0';
const TWICE = "where half precision plays a part, a relative root mean square error of twice the reference's own in bf16";
// The programs of tests, which of their tests run, and what they hold themselves to.
const SUITES = {
  'cpu-f32': [
    ['golden_images', ['--skip', 'passes::'], 'Images', DIFFUSERS, '1e-4 of the larger of 1 and the value (schedules 1e-6)'],
    ['golden_text', ['--skip', 'bf16'], 'Text', TRANSFORMERS, '1e-5 of the larger of 1 and the value; 16 greedy tokens equal'],
    ['golden_embeddings', ['--skip', 'bf16'], 'Embeddings', TRANSFORMERS, '1e-5, largest absolute difference of unit vectors'],
  ],
  f32: [
    ['golden_images', ['agree', 'notice', '--skip', 'passes::'], 'Images', DIFFUSERS, '1e-4 of the larger of 1 and the value'],
    ['golden_text', ['card::', '--skip', 'bf16'], 'Text', TRANSFORMERS, '1e-4 of the larger of 1 and the value; 16 greedy tokens equal'],
    ['golden_embeddings', ['card_computes'], 'Embeddings', TRANSFORMERS, '1e-5, largest absolute difference of unit vectors'],
  ],
  bf16: [
    ['golden_images', ['agree', 'notice', '--skip', 'passes::'], 'Images', DIFFUSERS, `${TWICE}; else 1e-4 of the larger of 1 and the value`],
    ['golden_text', ['card::bf16'], 'Text', TRANSFORMERS, TWICE],
    ['golden_embeddings', ['bf16'], 'Embeddings', TRANSFORMERS, `${TWICE} (models of the BERT kind stay in f32)`],
  ],
};
const SAID = {
  cpu: 'on the CPU',
  'card-on-cpu': "on the CPU, by the operations that a card has (our CPU's own kernels know f32 only)",
  cuda: 'on an NVIDIA card',
};

/** Builds the programs of tests; their paths by name. */
async function programs(suites, cuda, capability) {
  const more = cuda ? CUDA_FLAGS : [];
  const env = cuda ? await cudaEnv(capability) : process.env;
  if (cuda) delete env.RUSTFLAGS;
  const wanted = suites.flatMap(([name]) => ['--test', name]);
  const built = spawnSync('cargo', ['test', '--release', '-p', 'gpu-node', ...more, ...wanted, '--no-run', '--message-format=json'], {
    cwd: root,
    env,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (built.status !== 0) throw new Problem('The tests do not compile.');
  const artifacts = built.stdout.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  const tests = artifacts.filter(({ reason, executable }) => reason === 'compiler-artifact' && executable);
  return new Map(tests.map(({ target, executable }) => [target.name, executable]));
}

function arguments_(filters) {
  return [...filters, '--nocapture', '--test-threads=1'];
}

/** The programs, the models, and a script that runs them on a machine that has a card and nothing else of ours. */
function carry(folder, suites, paths, env) {
  mkdirSync(folder, { recursive: true });
  cpSync(join(root, 'models/tiny'), join(folder, 'tiny'), { recursive: true });
  const set = Object.entries({ ...env, PARITY_MODELS: '"$PWD/tiny"' }).map(([name, value]) => `export ${name}=${value}`);
  const runs = suites.map(([name, filters]) => {
    copyFileSync(paths.get(name), join(folder, name));
    return `echo "suite ${name}" >> told.txt\n./${name} ${arguments_(filters).join(' ')} >> told.txt 2>&1 || failed=1`;
  });
  const script = ['#!/bin/sh', '# Runs the suite; what it says is in told.txt.', 'cd "$(dirname "$0")" || exit 1', ...set, 'failed=0', ': > told.txt', ...runs, 'grep "^test result" told.txt', 'exit $failed'];
  writeFileSync(join(folder, 'run.sh'), `${script.join('\n')}\n`, { mode: 0o755 });
}

/** What each suite said: by running it, or as a carried run wrote it down. */
function told(suites, paths, env) {
  return suites.map(([name, filters]) => {
    const run = spawnSync('sh', ['-c', '"$@" 2>&1', 'sh', paths.get(name), ...arguments_(filters)], { cwd: join(root, 'gpu-node'), env: { ...process.env, ...env }, encoding: 'utf8', maxBuffer: 2 ** 26 });
    return { name, output: run.stdout };
  });
}

function written(path) {
  if (!existsSync(path)) throw new Problem(`${path} is not there.`);
  const parts = readFileSync(path, 'utf8').split(/^suite (\w+)$/m).slice(1);
  return parts.flatMap((name, at) => (at % 2 ? [] : [{ name, output: parts[at + 1] }]));
}

function page(key, where, dtype, sections) {
  const asked = key === 'cpu-f32' ? '' : ` -- --device ${where === 'cuda' ? 'cuda' : 'cpu'} --dtype ${dtype}`;
  const bf16 = `
A golden that bf16 takes part in is held to a bound of its own: with the same weights and inputs rounded to bf16 the reference itself moves away from
its f32 result; its relative root mean square error (\`golden/bf16.json\` beside each golden, measured by \`models/tiny/make_bf16.py\`) times two is
what ours may be away from the same f32 result. Autoencoders, samplers, what passes between two steps, tables of rotary positions and of moments are f32
here as they are in production, and hold f32's tolerance. A mistake made on purpose must exceed the bound that the right result keeps.
`;
  const notes = key === 'cpu-f32' ? `The same comparisons are tests of \`npm test -- node\`, which also makes those of images once more by a card's operations, in f32 and in bf16. Integer
kernels of compressed weights round their inputs and have bounds of their own (\`gpu-node/tests/golden_gguf.rs\`).

On a card: \`npm run parity -- --device cuda --dtype bf16\` (or f32) where Rust and Node.js are; else \`npm run parity -- --device cuda --dtype bf16
--carry parity\` builds the programs on any Linux machine, without a card or CUDA, and lays them with the tiny models into the folder
\`parity\`. There \`./run.sh\` (driver 580 or newer; cuBLAS and cuRAND of CUDA 13 where the loader finds them, as in the node's image) runs them and exits
with 0 when all hold; its \`told.txt\`, brought back, becomes the table: \`npm run parity -- --device cuda --dtype bf16 --told parity/told.txt\`.
` : '';
  return `# Parity with the reference implementations${key === 'cpu-f32' ? '' : `: ${dtype}, ${where}`}

Made by \`npm run parity${asked}\`: ${dtype} ${SAID[where]}, tiny random weights in the real layouts (\`models/tiny\`), random inputs with batches of two and odd sizes.
${dtype === 'bf16' ? bf16 : notes}
${sections.join('\n')}`;
}

await command(async () => {
  const options = { device: 'cpu', dtype: 'f32', capability: '90' };
  const string = (value) => ({ type: 'string', ...(value && { default: value }) });
  const { values } = parseArgs({ options: { ...Object.fromEntries(Object.entries(options).map(([name, value]) => [name, string(value)])), carry: string(), told: string() } });
  if (!['cpu', 'cuda'].includes(values.device) || !['f32', 'bf16'].includes(values.dtype)) throw new Problem('--device is cpu or cuda, --dtype f32 or bf16.');
  const { dtype } = values;
  const where = values.device === 'cpu' && dtype === 'bf16' ? 'card-on-cpu' : values.device;
  const key = `${where}-${dtype}`;
  const suites = SUITES[key] ?? SUITES[dtype];
  const env = { PARITY_DEVICE: where === 'card-on-cpu' ? 'card' : where, PARITY_DTYPE: dtype };
  const paths = values.told ? new Map() : await programs(suites, where === 'cuda', values.capability);
  if (values.carry) {
    carry(values.carry, suites, paths, env);
    return say(`✓ ${values.carry}: ./run.sh on the machine with the card, then --told ${basename(values.carry)}/told.txt`);
  }
  const sections = (values.told ? written(values.told) : told(suites, paths, env)).map(({ name, output }) => {
    const suite = suites.find(([known]) => known === name);
    if (!/^test result: ok\. [1-9]/m.test(output)) throw new Problem(`${name} failed:\n${output.slice(-4000)}`);
    const parity = readParity(output);
    if (!suite || parity.agreements.length === 0) throw new Problem(`${name} told no difference.`);
    const [, , title, reference, tolerance] = suite;
    return paritySection({ title, reference, tolerance }, parity);
  });
  const file = key === 'cpu-f32' ? 'parity' : `parity-${key}`;
  writeFileSync(`${root}/docs/${file}.md`, page(key, where, dtype, sections));
  say(`✓ docs/${file}.md`);
});

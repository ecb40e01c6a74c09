// How far our numbers are from the reference implementations': `npm run parity`. Writes docs/parity.md from the tests' own words.

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { root } from './bench/report.mjs';
import { readParity } from './lib/parity.mjs';

/** Test binaries of golden files, the reference each was made with, and what they hold themselves to. */
const SUITES = [
  ['golden_images', 'Images', 'diffusers 0.42.1 and transformers 5.23.0', '1e-4 of the larger of 1 and the value (schedules 1e-6)'],
  ['golden_text', 'Text', 'transformers 5.23.0', '1e-5 of the larger of 1 and the value; 16 greedy tokens equal'],
  ['golden_embeddings', 'Embeddings', 'transformers 5.23.0', '1e-5, largest absolute difference of unit vectors'],
];

const sections = [];
for (const [binary, title, reference, tolerance] of SUITES) {
  const found = spawnSync('sh', ['-c', `cargo test --release -p gpu-node --test ${binary} -- --nocapture --test-threads=1 2>&1`], { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (found.status !== 0) throw new Error(`${binary} failed:\n${found.stdout.slice(-4000)}`);
  const { agreements, faults } = readParity(found.stdout);
  if (agreements.length === 0) throw new Error(`${binary} told no difference`);
  const rows = agreements.map(({ module, what, difference }) => `| ${module} | ${what} | ${difference} |`);
  const noticed = faults.map(({ module, what, difference }) => `${module ? `${module}: ` : ''}${what} (${difference})`);
  sections.push(`## ${title}

Reference: ${reference}, on the same weights. Tolerance: ${tolerance}.

| module | component | differs by |
| --- | --- | --- |
${rows.join('\n')}

Put wrong on purpose, and noticed: ${noticed.join('; ')}.
`);
}

writeFileSync(
  `${root}/docs/parity.md`,
  `# Parity with the reference implementations

Made by \`npm run parity\`: f32 on the CPU, tiny random weights in the real layouts (\`models/tiny\`), random inputs with batches of two and odd sizes.
The same comparisons are tests of \`npm test -- node\`. Integer kernels of compressed weights round their inputs and have bounds of their own (\`gpu-node/tests/golden_gguf.rs\`).

${sections.join('\n')}`,
);
console.log('docs/parity.md written');

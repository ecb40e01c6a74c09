// Writing figures down: what was run, on which machine, what came out.

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

export const median = (numbers) => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];

const table = (head, rows) => [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

/** Prints the figures and keeps them in `docs/benchmarks/<name>.md`. */
export function report(name, title, head, rows, notes = [], command = name) {
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
  const text = `# ${title}

- Command: \`npm run bench -- ${command}\`
- Date and commit: ${new Date().toISOString().slice(0, 10)}, ${commit}
- Machine: ${os.cpus().length} × ${os.cpus()[0].model.trim()}, ${Math.round(os.totalmem() / 2 ** 30)} GiB, ${os.type()} ${os.release()}; load average when it started: ${os.loadavg()[0].toFixed(2)}

${table(head, rows)}
${notes.length ? `\n${notes.map((note) => `- ${note}`).join('\n')}\n` : ''}`;
  mkdirSync(`${root}/docs/benchmarks`, { recursive: true });
  writeFileSync(`${root}/docs/benchmarks/${name}.md`, text);
  console.log(text);
}

// Text on the CPU against llama.cpp, on the same GGUF files and threads, in turns: a prompt, one and eight texts at once.

import { execFileSync } from 'node:child_process';
import os from 'node:os';
import { python } from './python.mjs';
import { median, root } from './report.mjs';

const FORMATS = ['Q8_0', 'Q4_K_M'];
const [PROMPT, START, TOKENS, SEQUENCES] = [512, 32, 48, [1, 8]];
const ROUNDS = 3;
const TARGETS = { decode_8: 1.0, decode_1: 0.8 };
const folder = `${root}/.local/bench-text`;

const measured = {
  decode_1: 'decode, 1 text',
  decode_8: 'decode, 8 texts at once',
  prompt: `prompt of ${PROMPT} tokens`,
};

/** Figures of both, as medians of the rounds, and the ratio of ours to theirs. */
export function benchText() {
  const threads = Math.min(2, os.availableParallelism());
  python([`${root}/scripts/bench/text/make_model.py`, folder], 'text');
  execFileSync('cargo', ['build', '--release', '--quiet', '-p', 'gpu-node', '--example', 'decode_speed'], { cwd: root, stdio: 'inherit' });
  const target = process.env.CARGO_TARGET_DIR ?? `${root}/target`;
  const rows = [];
  let version;
  for (const format of FORMATS) {
    const settings = [`${folder}/qwen2-0.5b-${format}.gguf`, threads, PROMPT, START, TOKENS, ...SEQUENCES].map(String);
    const [ours, theirs] = [[], []];
    for (let round = 0; round < ROUNDS; round += 1) {
      ours.push(JSON.parse(execFileSync(`${target}/release/examples/decode_speed`, settings, { encoding: 'utf8' })));
      theirs.push(JSON.parse(python([`${root}/scripts/bench/text/llama_cpp_speed.py`, ...settings], 'text')));
    }
    version = theirs[0].version;
    for (const [name, words] of Object.entries(measured)) {
      const [our, their] = [ours, theirs].map((runs) => median(runs.map((run) => run[name])));
      rows.push([format, words, our.toFixed(1), their.toFixed(1), (our / their).toFixed(2), TARGETS[name] ? `≥ ${TARGETS[name].toFixed(1)}` : '']);
    }
  }
  const notes = [
    `The shape of Qwen2.5-0.5B with random weights; llama.cpp compressed them. Tokens per second, medians of ${ROUNDS} rounds in turns, ${threads} threads each.`,
    `Decoding starts after ${START} tokens and makes ${TOKENS} per text; the logits are computed, nothing is sampled. llama.cpp is that of llama-cpp-python ${version}, compiled for this machine.`,
  ];
  return { rows, notes };
}

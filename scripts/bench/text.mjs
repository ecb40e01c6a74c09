// Text on the CPU against llama.cpp, on the same GGUF files and threads, in turns: a prompt, one and eight texts at once.

import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, rmSync } from 'node:fs';
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
  const examples = ['--example', 'decode_speed', '--example', 'text_lane'];
  execFileSync('cargo', ['build', '--release', '--quiet', '-p', 'gpu-node', ...examples], { cwd: root, stdio: 'inherit' });
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
  const lane = laneFigures(`${target}/release/examples/text_lane`, threads);
  const notes = [
    `The shape of Qwen2.5-0.5B with random weights; llama.cpp compressed them. Tokens per second, medians of ${ROUNDS} rounds in turns, ${threads} threads each.`,
    `Decoding starts after ${START} tokens and makes ${TOKENS} per text; the logits are computed, nothing is sampled. llama.cpp is that of llama-cpp-python ${version}, compiled for this machine.`,
    ...lane,
  ];
  return { rows, notes };
}

/** What a whole lane does, in words: many waiting, many served, a beginning that is known. */
function laneFigures(program, threads) {
  const settings = [`${root}/models`, `${folder}/lane/qwen2-0.5b-Q8_0.gguf`, String(threads)];
  mkdirSync(`${folder}/lane`, { recursive: true });
  rmSync(settings[1], { force: true });
  linkSync(`${folder}/qwen2-0.5b-Q8_0.gguf`, settings[1]);
  const found = JSON.parse(execFileSync(program, settings, { encoding: 'utf8' }));
  const [few, many] = [found.waiting_32_per_s, found.waiting_256_per_s];
  return [
    `A lane with the embedded model, requests of 24 + 8 tokens: ${few.toFixed(0)} a second with 32 in the lane, ${many.toFixed(0)} with 256 (ratio ${(many / few).toFixed(2)}, target ≥ 0.90); after 10,000 requests ${found.memory_before_mb.toFixed(1)} → ${found.memory_after_mb.toFixed(1)} MB resident.`,
    `First token after a prompt of 2,000 tokens, Q8_0: ${found.first_token_cold_ms.toFixed(0)} ms cold, ${found.first_token_known_ms.toFixed(0)} ms when its beginning is in the cache.`,
  ];
}

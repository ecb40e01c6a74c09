// Speed and size against peers, in one run: `npm run bench [-- edge|node|text|image]`. Writes docs/benchmarks/.

import { ensureSetup } from './lib/setup.mjs';
import { report } from './bench/report.mjs';

const wanted = process.argv.slice(2);
const isWanted = (name) => wanted.length === 0 || wanted.includes(name);
await ensureSetup();

if (isWanted('edge')) {
  const { buildEdge } = await import('./lib/edge-build.mjs');
  const { benchEdge, benchRouters } = await import('./bench/edge.mjs');
  await buildEdge('release');
  const routers = await benchRouters();
  const { rows, wasmKiB } = await benchEdge();
  report('edge', 'The edge against Hono, jose and zod', ['tokens', 'CPU per request, ours / theirs', 'ratio', 'p50', 'p99', 'requests per second'], rows, [
    'Route: `POST /api/generate/scene` with one empty field: token, three rate limits, validation, a 422 with the pointer. 16 clients, plain `workerd serve`, both sides in the same run; medians of three rounds.',
    `Wasm: ${wasmKiB} KiB gzipped (budget 1,024 KiB).`,
  ]);
  report('edge-routers', "Our bridge and axum against the worker crate's own Router", ['route', 'CPU per request, ours / Router', 'difference', 'target'], routers, [
    'Both in one Worker (feature `bench`), taking turns; 16 clients, plain `workerd serve`; medians of three rounds. Trivial but for the token: this is what routing, headers and bodies cost.',
  ], 'edge');
}

if (isWanted('node')) {
  const { benchNode } = await import('./bench/node.mjs');
  report('node', 'The node against diffusers', ['what', 'figure', 'target'], await benchNode());
}

if (isWanted('text')) {
  const { benchText } = await import('./bench/text.mjs');
  const { rows, notes } = benchText();
  report('text', 'Text against llama.cpp', ['file', 'what', 'ours, tokens/s', 'llama.cpp, tokens/s', 'ratio', 'target'], rows, notes);
}

if (isWanted('image')) {
  const { benchImage } = await import('./bench/image.mjs');
  const { rows, notes } = benchImage();
  report('image', 'Image models against diffusers', ['what', 'ours', 'compared to', 'ratio', 'target'], rows, notes);
}

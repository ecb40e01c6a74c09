// Plays the clock of a local stack: calls the edge's cron, which nothing calls by itself under `wrangler dev`.
//   node ticker.mjs EDGE_URL SECONDS

const [edgeUrl, seconds] = process.argv.slice(2);
const url = `${edgeUrl}/cdn-cgi/handler/scheduled?cron=*+*+*+*+*`;

async function tick() {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(60_000) });
    if (!response.ok) console.error(`${new Date().toISOString()} the cron answered ${response.status}: ${await response.text()}`);
  } catch (error) {
    console.error(`${new Date().toISOString()} the cron could not be called: ${error.cause?.code ?? error.message}`);
  }
  setTimeout(tick, Number(seconds) * 1000);
}
setTimeout(tick, Number(seconds) * 1000);

// Stands in for a resolver of names over HTTPS that answers in JSON.
//
//   node tests/stand-ins/resolver.mjs --port N          ("READY <url>" once it answers)
//   GET /dns-query?name=NAME&type=A|AAAA                by the name's first label:
//     inside: 10.0.0.1; half: a public address, and a private one of the sixth version; alias: leads to inside;
//     outside: public addresses; broken: its own servers fail; silent: nothing, ever; any other: no such name
//   GET /asked                                          ["NAME TYPE"] of what was asked

import { createServer } from 'node:http';

const [NO_ERROR, SERVER_FAILURE, NO_SUCH_NAME] = [0, 2, 3];
const [A, CNAME, AAAA] = [1, 5, 28];
const PUBLIC = { [A]: '93.184.216.34', [AAAA]: '2606:2800:21f:cb07:6820:80da:af6b:8b2c' };
const asked = [];

const record = (name, type, data) => ({ name, type, TTL: 60, data });
const found = (...Answer) => ({ Status: NO_ERROR, Answer });

function lookUp(name, type) {
  switch (name.split('.')[0]) {
    case 'inside':
      return type === A ? found(record(name, A, '10.0.0.1')) : found();
    case 'half':
      return found(record(name, type, type === A ? PUBLIC[A] : 'fd00::1'));
    case 'alias':
      return found(record(name, CNAME, 'inside.example.'), ...(type === A ? [record('inside.example', A, '10.0.0.1')] : []));
    case 'outside':
      return found(record(name, type, PUBLIC[type]));
    case 'broken':
      return { Status: SERVER_FAILURE };
    case 'silent':
      return undefined;
    default:
      return { Status: NO_SUCH_NAME };
  }
}

const server = createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost');
  const json = (status, type, body) => response.writeHead(status, { 'content-type': type }).end(JSON.stringify(body));
  if (pathname === '/asked') return json(200, 'application/json', asked);
  const [name, kind] = [searchParams.get('name'), searchParams.get('type')];
  const type = { A, AAAA }[kind];
  if (pathname !== '/dns-query' || !name || !type || request.headers.accept !== 'application/dns-json') {
    return json(400, 'application/json', { message: 'not a question' });
  }
  asked.push(`${name} ${kind}`);
  const answer = lookUp(name, type);
  if (answer) json(200, 'application/dns-json', answer);
});
const at = process.argv.indexOf('--port');
server.listen(at < 0 ? 0 : Number(process.argv[at + 1]), '127.0.0.1', () => {
  console.log(`READY http://127.0.0.1:${server.address().port}`);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));

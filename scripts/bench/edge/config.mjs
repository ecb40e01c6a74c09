// Configurations for `workerd serve`: our Worker and its peer, with the same limits, and no network but the key set.

const text = (name, value) => `(name = "${name}", text = ${JSON.stringify(value)})`;

// A limiter that allows everything, as the runtime's own would below the limit.
const LIMITER = `
const limiter :Workerd.Extension = (modules = [
  (name = "bench:limiter", internal = true, esModule = "export default () => ({ limit: async () => ({ success: true }) });")
]);`;
const limits = ['IP_LIMIT', 'USER_LIMIT', 'GENERATE_LIMIT'].map((name) => `(name = "${name}", wrapped = (moduleName = "bench:limiter"))`);

const objects = { ACCOUNT: 'AccountDo', JOB_ROOM: 'JobRoomDo', FLEET: 'FleetDo', TEXT_ROOM: 'TextRoomDo' };

function config({ port, modules, bindings, durable, compatibilityDate }) {
  const namespaces = Object.values(durable).map((name) => `(className = "${name}", uniqueKey = "${name}", enableSql = true)`);
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    (name = "local", network = (allow = ["private", "public"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
  extensions = [.limiter],
);
${LIMITER}
const worker :Workerd.Worker = (
  modules = [${modules.join(', ')}],
  compatibilityDate = "${compatibilityDate}",
  bindings = [${[...bindings, ...limits].join(', ')}],
  globalOutbound = "local",
  durableObjectNamespaces = [${namespaces.join(', ')}],
  durableObjectStorage = (inMemory = void),
);
`;
}

/** The Rust Worker, as worker-build left it in `edge/build`. */
export function ours({ port, modules, vars, compatibilityDate }) {
  const bindings = [
    ...Object.entries(vars).map(([name, value]) => text(name, value)),
    ...Object.entries(objects).map(([name, className]) => `(name = "${name}", durableObjectNamespace = "${className}")`),
    ...['GENERATION', 'OUTBOX', 'AUDIT'].map((name) => `(name = "${name}", queue = "sink")`),
  ];
  return config({ port, modules, bindings, durable: objects, compatibilityDate }).replace(
    '(name = "local"',
    '(name = "sink", worker = .sink),\n    (name = "local"',
  ) + `
const sink :Workerd.Worker = (
  serviceWorkerScript = "addEventListener('fetch', (event) => event.respondWith(new Response('{}')));",
  compatibilityDate = "${compatibilityDate}",
);
`;
}

/** The JavaScript peer, bundled into one module. */
export function peer({ port, modules, vars, compatibilityDate }) {
  const bindings = Object.entries(vars).map(([name, value]) => text(name, value));
  return config({ port, modules, bindings, durable: {}, compatibilityDate });
}

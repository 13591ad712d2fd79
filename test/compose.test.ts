/**
 * The container files, checked as far as a machine without a container engine can: their shape, their order, that what
 * they name is there, and that no setting was forgotten. Where a `docker compose` client is present, it is asked too.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { parse } from 'yaml';

const root = join(__dirname, '..');
const text = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Service {
  image?: string;
  build?: string;
  container_name?: string;
  restart?: string;
  ports?: string[];
  volumes?: string[];
  command?: string[];
  profiles?: string[];
  environment?: Record<string, string | null>;
  healthcheck?: { test: string[] };
  depends_on?: Record<string, { condition: string }>;
}

interface ComposeFile {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
}

const compose = parse(text('docker-compose.yml'), { merge: true }) as ComposeFile;
const { services } = compose;
const service = (name: string): Service => {
  const found = services[name];
  if (!found) throw new Error(`docker-compose.yml has no service ${name}.`);
  return found;
};
const environmentOf = (name: string): Record<string, string | null> => service(name).environment ?? {};

/** Names of all `${NAME…}` in a file. */
const variablesIn = (file: string): string[] => [
  ...new Set([...text(file).matchAll(/\$\{([A-Z][A-Z0-9_]*)/g)].map((match) => match[1] as string)),
];

/** Names set in `.env.example`, also those that stand there commented out. */
const exampleNames = (): string[] =>
  [...text('.env.example').matchAll(/^#?\s*([A-Z][A-Z0-9_]*)=/gm)].map((match) => match[1] as string);

/** Every service that must have come up, or come to its end, before `name`, with the condition waited for. */
function before(name: string, seen = new Map<string, string>()): Map<string, string> {
  for (const [other, { condition }] of Object.entries(service(name).depends_on ?? {})) {
    if (seen.has(other)) continue;
    seen.set(other, condition);
    before(other, seen);
  }
  return seen;
}

test('every variable is explained in .env.example', () => {
  const explained = exampleNames();
  expect(variablesIn('docker-compose.yml').filter((name) => !explained.includes(name))).toEqual([]);
});

test('every setting of the application is handed to it', () => {
  const settings = [...text('src/config.ts').matchAll(/^ {2}([A-Z][A-Z0-9_]*):/gm)].map(
    (match) => match[1] as string,
  );
  expect(settings).toContain('DATABASE_URL');
  for (const name of ['migrate', 'api', 'worker']) {
    const given = Object.keys(environmentOf(name));
    expect(settings.filter((setting) => !given.includes(setting))).toEqual([]);
  }
});

test('secrets have no default, and say what to do when they are missing', () => {
  const file = text('docker-compose.yml');
  for (const secret of [
    'POSTGRES_PASSWORD',
    'DATABASE_PASSWORD',
    'DATABASE_READONLY_PASSWORD',
    'TEMPORAL_DB_PASSWORD',
    'APP_SECRET',
    'PAYLOAD_KEYS',
  ]) {
    const uses = file.match(new RegExp(`\\$\\{${secret}[^}]*\\}`, 'g')) ?? [];
    expect(uses.length).toBeGreaterThan(0);
    for (const use of uses) expect(use).toMatch(/:\?\S+ .{10,}\}$/);
  }
});

test('the Temporal UI has its payloads opened by the API, which expects it where it is published', () => {
  const ui = environmentOf('temporal-ui');
  expect(ui).toMatchObject({
    // The names are those of the image's config/docker.yaml (temporalio/ui-server 2.50.1).
    TEMPORAL_CODEC_ENDPOINT: expect.stringMatching(/^\$\{PUBLIC_URL:\?[^}]+\}\/codec$/) as string,
    TEMPORAL_CODEC_INCLUDE_CREDENTIALS: 'true',
    TEMPORAL_CODEC_DEFAULT_ERROR_LINK: expect.stringMatching(/\}\/codec\/sign-in$/) as string,
  });
  // The image's template puts it into YAML without quotes, and escapes what HTML would: an apostrophe shows as &#39;.
  expect(ui['TEMPORAL_CODEC_DEFAULT_ERROR_MESSAGE']).toMatch(/^[A-Z][\w ,.]+$/);
  const published = service('temporal-ui').ports?.[0]?.replace(/^127\.0\.0\.1:|:8080$/g, '');
  expect(environmentOf('api')['TEMPORAL_UI_ORIGIN']).toBe(
    `\${TEMPORAL_UI_ORIGIN:-http://localhost:${published}}`,
  );
});

test('every image is pinned to a full version', () => {
  for (const [name, { image }] of Object.entries(services)) {
    expect([name, image]).toEqual([name, expect.stringMatching(/:v?\d+\.\d+(\.\d+)?(-[a-z-]+)?$/)]);
  }
  const bases = [...text('Dockerfile').matchAll(/^FROM (\S+)/gm)].map((match) => match[1] as string);
  expect(bases.filter((base) => base !== 'node')).toEqual([
    expect.stringMatching(/^node:\d+\.\d+\.\d+-[a-z-]+$/),
  ]);
});

test('the schema, the server, the namespace, the migrations and the application start in this order', () => {
  expect(Object.fromEntries(before('worker'))).toEqual({
    postgres: 'service_healthy',
    'temporal-schema': 'service_completed_successfully',
    temporal: 'service_healthy',
    'temporal-namespace': 'service_completed_successfully',
    migrate: 'service_completed_successfully',
  });
  expect(before('api')).toEqual(before('worker'));
  expect([...before('temporal').keys()]).toEqual(['postgres', 'temporal-schema']);
});

test('a service that is waited for until healthy has a health check', () => {
  const waitedFor = Object.values(services)
    .flatMap((each) => Object.entries(each.depends_on ?? {}))
    .filter(([, { condition }]) => condition === 'service_healthy')
    .map(([name]) => name);
  for (const name of [...new Set(waitedFor), 'api', 'worker']) {
    expect([name, service(name).healthcheck?.test[0]]).toEqual([name, 'CMD']);
  }
});

test('one-shot services end, the others come back', () => {
  const oneShots = ['temporal-schema', 'temporal-namespace', 'migrate'];
  for (const [name, { restart }] of Object.entries(services)) {
    expect([name, restart]).toEqual([
      name,
      oneShots.includes(name) ? expect.stringMatching(/^on-failure/) : 'unless-stopped',
    ]);
  }
});

test('nothing is published beyond the loopback address, and workers can be many', () => {
  for (const { ports } of Object.values(services)) {
    for (const port of ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:/);
  }
  expect(service('postgres').ports).toBeUndefined();
  expect(service('worker').ports).toBeUndefined();
  expect(service('worker').container_name).toBeUndefined();
});

test('what is mounted is there', () => {
  for (const volume of Object.values(services).flatMap((each) => each.volumes ?? [])) {
    const [source = '', target = ''] = volume.split(':');
    if (!source.startsWith('.')) {
      expect(Object.keys(compose.volumes)).toContain(source);
      continue;
    }
    expect([source, existsSync(join(root, source))]).toEqual([source, true]);
    // A file mounted as a folder, or the other way round, is a container that does not start.
    expect([source, statSync(join(root, source)).isDirectory()]).toEqual([source, !/\.\w+$/.test(target)]);
  }
});

test('Temporal runs with the settings of a small installation', () => {
  expect(environmentOf('temporal')).toMatchObject({ DB: 'postgres12_pgx', NUM_HISTORY_SHARDS: '4' });
  const file = environmentOf('temporal')['DYNAMIC_CONFIG_FILE_PATH'] as string;
  const mount = service('temporal').volumes?.[0]?.split(':') as [string, string];
  const dynamic = parse(text(join(mount[0], file.slice(mount[1].length)))) as Record<
    string,
    { value: unknown }[]
  >;
  expect(Object.fromEntries(Object.entries(dynamic).map(([key, [first]]) => [key, first?.value]))).toEqual({
    'matching.numTaskqueueReadPartitions': 1,
    'matching.numTaskqueueWritePartitions': 1,
    'system.enableActivityEagerExecution': true,
    'history.hostLevelCacheMaxSize': 4096,
  });
});

test('monitoring comes only when asked for, scrapes both processes where they listen, and reads the files that are there', () => {
  for (const [name, { profiles }] of Object.entries(services)) {
    expect([name, profiles]).toEqual([
      name,
      ['prometheus', 'grafana'].includes(name) ? ['monitoring'] : undefined,
    ]);
  }
  const [mount = '', folder = ''] = service('prometheus').volumes?.[0]?.split(':') ?? [];
  const config = service('prometheus').command?.[0]?.replace(`--config.file=${folder}/`, '') ?? '';
  const prometheus = parse(text(join(mount, config))) as {
    rule_files: string[];
    scrape_configs: {
      static_configs?: { targets: string[] }[];
      dns_sd_configs?: { names: string[]; port: number }[];
    }[];
  };
  expect(prometheus.rule_files.map((file) => existsSync(join(root, mount, file)))).toEqual([true]);
  const [api, worker] = prometheus.scrape_configs;
  expect(api?.static_configs?.[0]?.targets).toEqual([`api:${environmentOf('api')['PORT']}`]);
  expect(worker?.dns_sd_configs?.[0]).toMatchObject({
    names: ['worker'],
    port: Number(environmentOf('worker')['METRICS_PORT']),
  });
  const [source = '', target = ''] = service('grafana').volumes?.[0]?.split(':') ?? [];
  const atHome = (name: string) =>
    text(join(source, environmentOf('grafana')[name]?.slice(target.length) ?? ''));
  expect(JSON.parse(atHome('GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH'))).toMatchObject({ uid: 'payfirst' });
  const provisioning = join(
    source,
    environmentOf('grafana')['GF_PATHS_PROVISIONING']?.slice(target.length) ?? '',
  );
  const { datasources } = parse(text(join(provisioning, 'datasources/prometheus.yml'))) as {
    datasources: { url: string }[];
  };
  expect(datasources).toMatchObject([{ url: 'http://prometheus:9090' }]);
  const { providers } = parse(text(join(provisioning, 'dashboards/payfirst.yml'))) as {
    providers: { options: { path: string } }[];
  };
  expect(providers).toMatchObject([{ options: { path: target } }]);
});

test('the scripts are shell without an error of form', () => {
  for (const script of [
    'deploy/temporal/setup-schema.sh',
    'deploy/temporal/create-namespace.sh',
    'deploy/postgres/roles.sh',
  ]) {
    expect([script, spawnSync('sh', ['-n', join(root, script)], { encoding: 'utf8' }).stderr]).toEqual([
      script,
      '',
    ]);
  }
});

test('the namespace gets exactly the search attributes the workflows use', () => {
  const used = [
    ...text('src/workflows/messages.ts').matchAll(
      /defineSearchAttributeKey\('(\w+)', SearchAttributeType\.(\w+)\)/g,
    ),
  ].map(([, name, type]) => `${name} ${type?.replace('_', '').toLowerCase()}`);
  const made = [
    ...text('deploy/temporal/create-namespace.sh').matchAll(/^search_attribute (\w+) (\w+)$/gm),
  ].map(([, name, type]) => `${name} ${type?.toLowerCase()}`);
  expect(used.length).toBeGreaterThan(0);
  expect(made.sort()).toEqual(used.sort());
});

test('the image copies what is there and runs what the compiler writes', () => {
  const dockerfile = text('Dockerfile');
  const copies = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, sources]) =>
    sources?.split(' '),
  );
  expect(copies.length).toBeGreaterThan(0);
  const allowed = text('.dockerignore').match(/^!\S+/gm) ?? [];
  for (const source of copies) {
    expect([source, existsSync(join(root, source as string))]).toEqual([source, true]);
    expect(allowed).toContain(`!${source}`);
  }
  const commands = [
    ...[...dockerfile.matchAll(/^CMD (\[.+\])$/gm)].map(
      ([, command]) => JSON.parse(command as string) as string[],
    ),
    ...['migrate', 'worker'].map((name) => service(name).command as string[]),
  ];
  for (const command of commands) {
    const target = command.at(-1) as string;
    const source = target.replace(/^dist\//, '').replace(/\.js$/, '.ts');
    expect([target, existsSync(join(root, source))]).toEqual([target, true]);
  }
  expect(dockerfile).toMatch(/^USER node$/m);
});

const client = spawnSync('docker', ['compose', 'version']).status === 0;

(client ? test : test.skip)('docker compose itself accepts the file', () => {
  const needed = Object.fromEntries(variablesIn('docker-compose.yml').map((name) => [name, '8080']));
  const answer = spawnSync('docker', ['compose', '--env-file', '/dev/null', 'config', '--quiet'], {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, ...needed },
  });
  expect(answer.stderr).toBe('');
  expect(answer.status).toBe(0);
});

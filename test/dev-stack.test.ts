/**
 * The development stack's promises that need no Payfirst: nothing is left behind however the parent ends, a CLI is
 * built once, ports do not collide. The children here are small stand-ins.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer as createHttpServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { Client } from 'pg';

import { buildOnce } from '../dev/go-build';
import { freePorts, LOOPBACK, portAnswers } from '../dev/ports';
import { startPostgres } from '../dev/postgres';
import { Processes, type Spec } from '../dev/processes';
import { projectRoot } from '../dev/project';
import { planGateways } from '../dev/gateways';
import { secretsFrom } from '../dev/settings';
import { findTemporalCli } from '../dev/temporal-cli';
import { serveTemporalUi } from '../dev/temporal-ui';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'payfirst-dev-test-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Alive, and no zombie that its new parent has not asked after yet. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const stat = `/proc/${pid}/stat`;
  return !existsSync(stat) || !/\) Z /.test(readFileSync(stat, 'utf8'));
}

async function until(condition: () => boolean, withinMs = 10_000): Promise<void> {
  const end = Date.now() + withinMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error('It did not come true in time.');
    await sleep(20);
  }
}

function node(name: string, script: string, rest: Partial<Spec> = {}): Spec {
  return { name, command: process.execPath, args: ['-e', script], ...rest };
}

const SAY_UP_AND_STAY = "console.log('up');setInterval(()=>{},1000);";
const IGNORE_SIGTERM = `process.on('SIGTERM',()=>console.log('no'));${SAY_UP_AND_STAY}`;
const WITH_A_CHILD =
  "const c=require('node:child_process').spawn(process.execPath,['-e','setInterval(()=>{},1000)']);" +
  "console.log('child '+c.pid);setInterval(()=>{},1000);";

/**
 * A parent in a process of its own, with three children under keepers: an obedient one, one that ignores SIGTERM, and
 * one with a child of its own. Answers once all are up.
 */
async function startParent(): Promise<{ parent: ChildProcess; pids: number[]; data: string }> {
  const data = join(folder, 'data');
  mkdirSync(data);
  const built = (name: string): string => JSON.stringify(join(projectRoot, 'dist', 'dev', name));
  const specs = [
    node('obedient', SAY_UP_AND_STAY, { remove: [data] }),
    node('deaf', IGNORE_SIGTERM, { graceMs: 300 }),
    node('family', WITH_A_CHILD),
  ];
  const script = `
    const { Processes, stopOnSignals } = require(${built('processes.js')});
    const processes = new Processes(${JSON.stringify(join(folder, 'logs'))});
    stopOnSignals(() => processes.stopAll());
    (async () => {
      const pids = [];
      for (const spec of ${JSON.stringify(specs)}) {
        const { pid, readyLine } = await processes.start({ ...spec, ready: { line: /up|child/ } });
        pids.push(pid);
        if (readyLine.startsWith('child')) pids.push(Number(readyLine.slice(6)));
      }
      console.log(JSON.stringify(pids));
    })();`;
  const parent = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  return { parent, pids: JSON.parse(line.toString()) as number[], data };
}

describe('nothing is left behind', () => {
  test('when the parent is killed', async () => {
    const { parent, pids, data } = await startParent();
    expect(pids).toHaveLength(4);
    expect(pids.every(isAlive)).toBe(true);
    parent.kill('SIGKILL');
    await until(() => !pids.some(isAlive));
    // The data goes with the process that had it.
    await until(() => !existsSync(data));
  });

  test('on Ctrl-C', async () => {
    const { parent, pids, data } = await startParent();
    const exit = once(parent, 'exit');
    parent.kill('SIGINT');
    expect(await exit).toEqual([130, null]);
    // The parent waited: all are gone when it is.
    expect(pids.filter(isAlive)).toEqual([]);
    expect(existsSync(data)).toBe(false);
  });

  test('when the parent throws', async () => {
    const { parent, pids } = await startParent();
    // Stands for an exception: the process ends without a word to anyone.
    parent.kill('SIGABRT');
    await until(() => !pids.some(isAlive));
  });
});

describe('processes by name', () => {
  let processes: Processes;
  let said: string[];
  beforeEach(() => {
    said = [];
    processes = new Processes(join(folder, 'logs'), (line) => said.push(line));
  });
  afterEach(() => processes.stopAll());

  test('are killed, paused and started again', async () => {
    const counting = "let n=0;setInterval(()=>console.log('n'+n++),20)";
    const first = await processes.start(node('counter', counting, { ready: { line: /^n1$/ } }));
    processes.signal('counter', 'SIGSTOP');
    await sleep(100);
    const before = readFileSync(first.logFile, 'utf8');
    await sleep(200);
    expect(readFileSync(first.logFile, 'utf8')).toBe(before);
    processes.signal('counter', 'SIGCONT');
    await until(() => readFileSync(first.logFile, 'utf8') !== before);
    await processes.kill('counter');
    expect(await first.ended).toEqual({ code: null, signal: 'SIGKILL' });
    expect(processes.pid('counter')).toBeUndefined();
    const second = await processes.startAgain('counter');
    expect(second.pid).not.toBe(first.pid);
    // A paused process takes no SIGTERM, and is stopped all the same.
    processes.signal('counter', 'SIGSTOP');
    await processes.stop('counter');
    expect(isAlive(second.pid)).toBe(false);
  });

  test('are killed without a word when they have just ended by themselves', async () => {
    const { pid, ended } = await processes.start(node('short', SAY_UP_AND_STAY, { ready: { line: /up/ } }));
    process.kill(pid, 'SIGKILL');
    // Its keeper takes it off the kernel's list, and cannot say so before this process listens again.
    const end = Date.now() + 10_000;
    while (existsSync(`/proc/${pid}`) && Date.now() < end)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    await processes.kill('short');
    expect(await ended).toEqual({ code: null, signal: 'SIGKILL' });
  });

  test('tell why they did not start', async () => {
    const broken = node('broken', "console.error('the reason');process.exit(3)", {
      ready: { line: /never/ },
    });
    await expect(processes.start(broken)).rejects.toThrow(/exit code 3[^]*the reason/);
    const slow = node('slow', SAY_UP_AND_STAY, { ready: { line: /never/ }, readyWithinMs: 3_000 });
    await expect(processes.start(slow)).rejects.toThrow(/not ready[^]*up/);
    expect(processes.pid('slow')).toBeUndefined();
    const missing: Spec = { name: 'missing', command: join(folder, 'nothing'), args: [] };
    await expect(processes.start(missing)).rejects.toThrow(/missing could not be started.*ENOENT/);
    await expect(processes.run(node('one-shot', 'process.exit(4)'))).rejects.toThrow(
      /one-shot failed \(exit code 4\)/,
    );
  });

  test('are missed when they end by themselves', async () => {
    const running = await processes.start(node('short', 'setTimeout(()=>process.exit(5),50)'));
    expect(await running.ended).toEqual({ code: 5, signal: null });
    expect(said.at(-1)).toMatch(/short ended by itself \(exit code 5\)/);
  });
});

describe('the Temporal CLI', () => {
  const FAKE = "#!/bin/sh\necho '  --db-filename  --headless'\n";
  const refuse = (): Promise<void> => Promise.reject(new Error('no way there'));
  const quiet = (): void => undefined;
  const emptied = (): NodeJS.ProcessEnv => ({ PAYFIRST_CACHE: folder, PATH: '' });

  test('is built once when two processes want it at the same time', async () => {
    const log = join(folder, 'builds');
    const script = `
      const { appendFileSync, writeFileSync } = require('node:fs');
      const { findTemporalCli } = require(${JSON.stringify(join(projectRoot, 'dist', 'dev', 'temporal-cli.js'))});
      findTemporalCli(() => {}, {
        env: ${JSON.stringify(emptied())},
        download: () => Promise.reject(new Error('no way there')),
        build: async (target) => {
          appendFileSync(${JSON.stringify(log)}, 'built\\n');
          await new Promise((resolve) => setTimeout(resolve, 700));
          writeFileSync(target, ${JSON.stringify(FAKE)}, { mode: 0o755 });
        },
      }).then(({ path }) => console.log(path));`;
    const outputs = await Promise.all(
      [1, 2].map(async () => {
        const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
        const chunks: Buffer[] = [];
        child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
        await once(child, 'close');
        return Buffer.concat(chunks).toString().trim();
      }),
    );
    expect(outputs[0]).toContain(folder);
    expect(outputs[1]).toBe(outputs[0]);
    expect(readFileSync(log, 'utf8')).toBe('built\n');
    // A third finds it without asking anyone.
    const again = await findTemporalCli(quiet, { env: emptied(), download: refuse, build: refuse });
    expect(again).toEqual({ path: outputs[0], flags: new Set(['--db-filename', '--headless']) });
  });

  test('does not wait for a builder that died', async () => {
    const target = join(folder, 'temporal');
    const abandoned = `${target}.lock`;
    mkdirSync(abandoned);
    const longAgo = new Date(Date.now() - 60_000);
    utimesSync(abandoned, longAgo, longAgo);
    await buildOnce(target, quiet, async (path) => appendFileSync(path, 'built'));
    expect(readFileSync(target, 'utf8')).toBe('built');
  });

  test('is asked for in a clear sentence when neither the download nor Go is there', async () => {
    const looking = findTemporalCli(quiet, { env: emptied(), download: refuse });
    await expect(looking).rejects.toThrow(
      /Install the Temporal CLI .* or Go .* TEMPORAL_CLI_PATH .* TEMPORAL_ADDRESS/,
    );
  });

  test('says what went wrong when Go could not build it', async () => {
    const looking = findTemporalCli(quiet, { env: emptied(), download: refuse, build: refuse });
    await expect(looking).rejects.toThrow(/no way there[^]*Go could not build it/);
  });

  test('is the one named by hand or found on the PATH, if it has a development server', async () => {
    const path = join(folder, 'temporal');
    writeFileSync(path, '#!/bin/sh\necho some other program\n');
    chmodSync(path, 0o755);
    const byHand = { ...emptied(), TEMPORAL_CLI_PATH: path };
    await expect(findTemporalCli(quiet, { env: byHand })).rejects.toThrow(
      /TEMPORAL_CLI_PATH .* no `server start-dev`/,
    );
    writeFileSync(path, FAKE);
    expect((await findTemporalCli(quiet, { env: byHand })).path).toBe(path);
    expect((await findTemporalCli(quiet, { env: { PATH: folder } })).path).toBe(path);
  });
});

test('the Temporal UI and the codec endpoint stand under one address, whether or not they are up', async () => {
  const [port, uiPort, apiPort] = (await freePorts(3)) as [number, number, number];
  const echo = (name: string): Server =>
    createHttpServer((request, response) => {
      const { origin, cookie } = request.headers;
      response.writeHead(401, { 'Set-Cookie': 'a=b' });
      request.pipe(response);
      response.write([name, request.method, request.url, origin, cookie, ''].join(' '));
    });
  const both = await serveTemporalUi({ port, uiPort, apiPort });
  const ask = async (path: string): Promise<string> => {
    const headers = { Origin: both.url, Cookie: 'c=d' };
    const answer = await fetch(`${both.url}${path}`, { method: 'POST', headers, body: 'sent' });
    return `${answer.status} ${answer.headers.get('set-cookie')} ${await answer.text()}`;
  };
  expect(await ask('/codec/decode')).toMatch(/^502 /);
  const servers = [echo('ui').listen(uiPort, LOOPBACK), echo('api').listen(apiPort, LOOPBACK)];
  await Promise.all(servers.map((server) => once(server, 'listening')));
  expect(await ask('/codec/decode?x=y')).toBe(`401 a=b api POST /codec/decode?x=y ${both.url} c=d sent`);
  expect(await ask('/codecs')).toBe(`401 a=b ui POST /codecs ${both.url} c=d sent`);
  expect(await ask('//elsewhere.example/codec/')).toMatch(/^401 a=b ui /);
  await both.stop();
  expect(await portAnswers(port)).toBe(false);
  for (const server of servers) server.close();
});

test('PostgreSQL keeps what was committed when it is killed, and leaves nothing when stopped', async () => {
  const processes = new Processes(join(folder, 'logs'));
  const postgres = await startPostgres(processes, { name: 'durable' });
  const query = async (database: string, sql: string): Promise<unknown[]> => {
    const client = new Client({ connectionString: postgres.url(database) });
    await client.connect();
    try {
      return (await client.query(sql)).rows as unknown[];
    } finally {
      await client.end();
    }
  };
  try {
    await postgres.createDatabase('first');
    await query('first', 'create table kept (n int); insert into kept values (42);');
    expect(await query('first', 'show fsync')).toEqual([{ fsync: 'on' }]);
    await processes.kill('durable');
    await processes.startAgain('durable');
    await postgres.createDatabase('copy', 'first');
    expect(await query('copy', 'select n from kept')).toEqual([{ n: 42 }]);
  } finally {
    await postgres.stop();
  }
  expect(await portAnswers(Number(new URL(postgres.adminUrl).port))).toBe(false);
});

test('no two stacks share a secret, and what is set is used', () => {
  const [one, other] = [secretsFrom({}), secretsFrom({})];
  for (const name of Object.keys(one) as (keyof typeof one)[]) expect(one[name]).not.toBe(other[name]);
  expect(one.payloadKeys).toMatch(/^k1:[A-Za-z0-9+/]{43}=$/);
  expect(secretsFrom({ APP_SECRET: 'mine' }).appSecret).toBe('mine');
});

describe('the gateways of a development stack', () => {
  const ports = { stripe: 1, razorpay: 2, phonepe: 3 };
  const plan = (env: NodeJS.ProcessEnv) =>
    Object.fromEntries(planGateways(env, ports).map((one) => [one.name, one]));

  test('are sandboxes with secrets of their own', () => {
    const [one, other] = [plan({}), plan({})];
    expect(Object.values(one).map(({ name, sandbox, url }) => [name, sandbox, url])).toEqual([
      ['stripe', true, 'http://127.0.0.1:1'],
      ['razorpay', true, 'http://127.0.0.1:2'],
      ['phonepe', true, 'http://127.0.0.1:3'],
    ]);
    expect(one['phonepe']?.settings['PHONEPE_API_BASE']).toBe('http://127.0.0.1:3/apis/pg-sandbox');
    expect(one['razorpay']?.settings['RAZORPAY_KEY_SECRET']).not.toBe(
      other['razorpay']?.settings['RAZORPAY_KEY_SECRET'],
    );
  });

  test('are those that the environment names', () => {
    const standIn = plan({ STRIPE_SECRET_KEY: 'sk_test_1', STRIPE_API_BASE: 'http://127.0.0.1:9' });
    expect(standIn['stripe']).toMatchObject({
      sandbox: false,
      url: 'http://127.0.0.1:9',
      settings: { STRIPE_SECRET_KEY: 'sk_test_1' },
    });
    const account = plan({ RAZORPAY_KEY_ID: 'rzp_test_1' });
    expect(account['razorpay']).toMatchObject({ sandbox: false, url: undefined });
    expect(account['stripe']).toMatchObject({ sandbox: true });
  });

  test.each([
    { STRIPE_SECRET_KEY: 'sk_live_123' },
    { RAZORPAY_KEY_ID: 'rzp_live_123' },
    { PHONEPE_CLIENT_ID: 'M123' },
    { PHONEPE_API_BASE: 'https://api.phonepe.com/apis' },
  ])('are never live: %j', (env) => {
    expect(() => plan(env)).toThrow(/only runs with test accounts/);
  });
});

/** The program as `npm run token` runs it, in a process of its own; what it printed, or its complaint. */
async function runToken(args: string[], env: NodeJS.ProcessEnv): Promise<{ out: string; err: string }> {
  const program = join(projectRoot, 'dist', 'dev', 'token.js');
  const child = spawn(process.execPath, [program, ...args], { env: { PATH: process.env['PATH'], ...env } });
  const texts = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => (texts.out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (texts.err += chunk.toString()));
  await once(child, 'close');
  return texts;
}

test('a development token says who and what, for as long as asked', async () => {
  const { authJwtSecret: secret } = secretsFrom({});
  const env = { AUTH_JWT_SECRET: secret, AUTH_ISSUER: 'https://issuer.test', AUTH_AUDIENCE: 'payfirst' };
  const args = ['--sub', 'alice', '--scope', 'bookings ops', '--minutes', '5'];
  const { out, err } = await runToken(args, env);
  expect(err).toBe('');
  const [header = '', claims = '', signature] = out.trim().split('.');
  const decoded = (part: string): unknown => JSON.parse(Buffer.from(part, 'base64url').toString());
  expect(decoded(header)).toEqual({ alg: 'HS256' });
  const { iat, exp, ...rest } = decoded(claims) as { iat: number; exp: number };
  expect(exp - iat).toBe(300);
  expect(rest).toEqual({ sub: 'alice', scope: 'bookings ops', iss: 'https://issuer.test', aud: 'payfirst' });
  // The state file of a demo that runs in this checkout comes second to what is set by hand.
  expect(signature).toBe(createHmac('sha256', secret).update(`${header}.${claims}`).digest('base64url'));
  expect((await runToken(['--scope', 'ops'], env)).err).toMatch(/^Usage: npm run token/);
});

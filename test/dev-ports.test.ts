/** Servers of the development stack whose port somebody takes between the look for a free one and their own bind. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts, LOOPBACK, portAnswers } from '../dev/ports';
import { startPostgres } from '../dev/postgres';
import { Processes, type Running, type Spec } from '../dev/processes';
import { findTemporalCli } from '../dev/temporal-cli';
import { startTemporalServer } from '../dev/temporal-server';

/** Takes the ports of the first starts, the moment they begin. */
class WithRivals extends Processes {
  readonly rivals: Server[] = [];
  /** Ports that a start was told to use. */
  readonly tried: number[] = [];
  toTake = 1;

  override async start(spec: Spec): Promise<Running> {
    const port = Number(/(?:^| )(?:--port |port=)(\d+)/.exec(spec.args.join(' '))?.[1]);
    this.tried.push(port);
    if (this.rivals.length < this.toTake) {
      const rival = createServer((socket) => socket.destroy()).listen(port, LOOPBACK);
      this.rivals.push(rival);
      await once(rival, 'listening');
    }
    return super.start(spec);
  }
}

let folder: string;
let processes: WithRivals;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'payfirst-dev-test-'));
  processes = new WithRivals(join(folder, 'logs'));
});
afterEach(async () => {
  await processes.stopAll();
  for (const rival of processes.rivals) rival.close();
  rmSync(folder, { recursive: true, force: true });
});

const servers: [string, (options: { port?: number }) => Promise<unknown>][] = [
  [
    'Temporal',
    async (options) =>
      startTemporalServer(processes, await findTemporalCli(() => undefined), { ui: false, ...options }),
  ],
  ['PostgreSQL', (options) => startPostgres(processes, options)],
];

describe.each(servers)('%s', (_name, start) => {
  test('starts on another port', async () => {
    await start({});
    expect(new Set(processes.tried).size).toBe(2);
  });

  test('says so when the port was prescribed', async () => {
    const [port] = await freePorts(1);
    await expect(start({ port: port as number })).rejects.toThrow(/address already in use/i);
    expect(processes.tried).toEqual([port]);
  });
});

// They share how often a port is tried, and PostgreSQL starts faster.
test('gives up when every port is taken', async () => {
  processes.toTake = Infinity;
  await expect(startPostgres(processes)).rejects.toThrow(/address already in use/i);
  expect(processes.tried).toHaveLength(5);
});

test('a server that does not start for another reason is started once', async () => {
  processes.toTake = 0;
  const settings = ['no_such_setting=1'];
  await expect(startPostgres(processes, { settings })).rejects.toThrow(/no_such_setting/);
  expect(processes.tried).toHaveLength(1);
});

test('a second start is not blamed for what the first one said', async () => {
  const failing = (text: string): Spec => {
    const script = `console.log(${JSON.stringify(text)});process.exit(1)`;
    return { name: 'twice', command: process.execPath, args: ['-e', script], ready: { line: /up/ } };
  };
  processes.toTake = 0;
  await expect(processes.start(failing('address already in use'))).rejects.toThrow('in use');
  const second = await processes.start(failing('another trouble')).catch((error: unknown) => String(error));
  expect(second).toContain('another trouble');
  expect(second).not.toContain('in use');
});

test('two sets of ports can be used side by side', async () => {
  const sets = await Promise.all([freePorts(6), freePorts(6)]);
  const all = sets.flat();
  expect(new Set(all).size).toBe(12);
  const servers = all.map((port) => createServer().listen(port, LOOPBACK));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  expect(await Promise.all(all.map(portAnswers))).toEqual(all.map(() => true));
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  expect(await portAnswers(all[0] as number)).toBe(false);
});

/**
 * Keeps one child process, and ends it when the process that asked for it is gone, however that one died: the IPC
 * channel closes with its last holder, also on SIGKILL. Linux's parent-death signal would do the same, but Node cannot
 * set it. The keeper has its own session, so a terminal's Ctrl-C reaches only the stack, which ends things in order.
 *
 *   node keeper.mjs '{"command":"…","args":[…],"graceMs":5000,"stopSignal":"SIGTERM","remove":[],"uid":0,"gid":0}'
 *
 * It tells its parent `{started: pid}`, then `{ended: {code, signal}}`, or `{failed: sentence}`. Its own standard
 * output and error are the child's.
 */
import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';

const { command, args, graceMs, stopSignal, remove, uid, gid } = JSON.parse(process.argv[2]);

let orphaned = false;

const child = spawn(command, args, {
  // A pipe for standard input: a child that watches it (the sandboxes do) ends even when the keeper itself is killed.
  stdio: ['pipe', 'inherit', 'inherit'],
  // A group of its own, so that what the child started and forgot can be ended with it.
  detached: true,
  ...(uid === undefined ? {} : { uid, gid }),
});
child.stdin.on('error', () => undefined);

function tell(message) {
  if (process.connected) process.send(message, () => undefined);
}

function signalGroup(signal) {
  try {
    process.kill(-child.pid, signal);
  } catch {
    // The group is empty: all of it has ended.
  }
}

function leave() {
  // Whatever the child left behind in its group has no owner any more.
  signalGroup('SIGKILL');
  if (orphaned) {
    for (const path of remove) {
      try {
        rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
      } catch {
        // Another keeper of the same stack may be removing the same folder.
      }
    }
  }
  process.exit(0);
}

function end() {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return leave();
  child.kill(stopSignal);
  // A stopped process takes no signal but SIGKILL and SIGCONT.
  child.kill('SIGCONT');
  setTimeout(() => signalGroup('SIGKILL'), graceMs);
}

child.once('spawn', () => tell({ started: child.pid }));
child.once('error', (error) => {
  if (child.pid !== undefined) return;
  tell({ failed: error.message });
  setImmediate(leave);
});
child.once('exit', (code, signal) => {
  if (!process.connected) return leave();
  process.send({ ended: { code, signal } }, () => leave());
});

process.once('disconnect', () => {
  orphaned = true;
  end();
});
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, end);

import { execSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { historyToJSON } from '@temporalio/common/lib/proto-utils';
import { Worker } from '@temporalio/worker';
import type { History } from './histories-setup';
import fc from 'fast-check';
import { anyList } from './story-lists';
import { openStage } from './story-stage';

test('debug', async () => {
  const stage = await openStage();
  const n = Number(process.env['N'] ?? 20);
  const seed = Number(process.env['SEED'] ?? 1);
  const lists = fc.sample(anyList, { numRuns: n, seed });
  const cpu0 = process.cpuUsage();
  const t0 = Date.now();
  const server = () =>
    execSync("ps -eo pid,ppid,cputime,args | grep 'server start-dev' | grep -v grep | head -3").toString();
  console.log(server());
  const only = process.env['ONLY'];
  if (only) {
    const reps = Array.from({ length: Number(process.env['REP'] ?? 24) }, () => Number(only));
    await Promise.all(
      reps.map(async (i) => {
        const { untrue, play } = await stage.play(lists[i]!);
        if (untrue.length === 0) return;
        appendFileSync(
          '/tmp/story-fail.txt',
          untrue.join('\n') +
            '\n' +
            JSON.stringify({ ...lists[i], commands: 0 }) +
            '\n' +
            play.told.join('\n') +
            '\n' +
            historyToJSON(play.history) +
            '\n',
        );
      }),
    );
    await stage.close();
    return;
  }
  const hist: [string, History][] = [];
  let next = 0;
  const outcomes: Record<string, number> = {};
  const problems: Record<string, number[]> = {};
  let events = 0,
    goes = 0,
    wtime = 0;
  await Promise.all(
    Array.from({ length: 24 }, async () => {
      while (next < lists.length) {
        const i = next++;
        const t = Date.now();
        const { untrue, play } = await stage.play(lists[i]!);
        wtime += Date.now() - t;
        outcomes[play.result ?? 'none'] = (outcomes[play.result ?? 'none'] ?? 0) + 1;
        for (const q of play.questions) {
          const k = `${q.asked}:${q.answer.kind}${q.answer.kind === 'refused' ? ' ' + q.answer.type : ''}`;
          outcomes[k] = (outcomes[k] ?? 0) + 1;
        }
        hist.push([String(i), play.history]);
        events += play.history.events?.length ?? 0;
        goes += play.goes;
        if (untrue.length > 0)
          appendFileSync(
            '/tmp/story-fail.txt',
            `#${i}\n` +
              untrue.join('\n') +
              '\n' +
              JSON.stringify({ ...lists[i], commands: 0 }) +
              '\n' +
              play.told.join('\n') +
              '\n\n',
          );
        for (const u of untrue) (problems[u.replace(/bkg_\w+/g, 'B').slice(0, 160)] ??= []).push(i);
      }
    }),
  );
  const cpu = process.cpuUsage(cpu0);
  console.log(
    JSON.stringify(
      {
        outcomes,
        events,
        goes,
        avgMs: wtime / n,
        wall: Date.now() - t0,
        cpuMs: (cpu.user + cpu.system) / 1000,
      },
      null,
      1,
    ),
    JSON.stringify(problems, null, 1),
  );
  console.log(server());
  const c1 = process.cpuUsage();
  for await (const r of Worker.runReplayHistories(
    { workflowBundle: stage.bundle },
    hist.map(([workflowId, history]) => ({ workflowId, history })),
  )) {
    if (r.error) {
      const h = hist.find(([n]) => n === r.workflowId)![1];
      appendFileSync('/tmp/story-misfit.txt', `#${r.workflowId} ${String(r.error)}\n${historyToJSON(h)}\n`);
    }
  }
  const c2 = process.cpuUsage(c1);
  console.log('replay cpu', (c2.user + c2.system) / 1000);
  await stage.close();
}, 600000);

/** Thread: sends every customer at their time, whether or not anything answers, and tells what became of them. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { makeClient } from './asking';
import type { CrowdNews, CrowdOrder } from './crowd';
import { play, type Town } from './customer';
import { offeringFor } from './shop';

async function sendAll({ api, env, windowSeconds, wishes, shop, loadFrom }: CrowdOrder): Promise<void> {
  let closesAt = Infinity;
  parentPort?.on('message', (at: number) => (closesAt = at));
  const tell = (news: CrowdNews): void => parentPort?.postMessage(news);
  const operator = await makeClient(api, env, { sub: 'operator', scope: 'ops' }, () => undefined);
  const town: Town = { api, env, operator, windowSeconds, closesAt: () => closesAt };
  const stays = [];
  for (const wish of wishes) {
    const plannedAt = loadFrom + wish.afterMs;
    await sleep(Math.max(0, plannedAt - Date.now()));
    stays.push(play(town, wish, offeringFor(shop, wish), plannedAt));
    tell({ came: stays.length });
  }
  tell({ gone: await Promise.all(stays) });
  parentPort?.close();
}

void sendAll(workerData as CrowdOrder);

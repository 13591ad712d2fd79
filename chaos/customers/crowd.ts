/**
 * All customers of a run, in a thread of their own: thousands who wait, and come again, must slow down neither the proxies
 * between the parts nor the looks at the database, which are this process's.
 */
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Visit } from '../evidence/evidence';
import type { Wish } from '../plan';
import type { Shop } from './shop';

/** What the thread is given. */
export interface CrowdOrder {
  /** Origin of the load balancer. */
  api: string;
  env: Record<string, string>;
  windowSeconds: number;
  wishes: readonly Wish[];
  shop: Shop;
  /** Milliseconds since 1970. */
  loadFrom: number;
}

/** What the thread tells: how many have come, and in the end what became of all of them. */
export type CrowdNews = { came: number } | { gone: Visit[] };

/** All of them, once they have been sent. */
export interface Crowd {
  /** The last customer has come. */
  allCame: Promise<void>;
  /** The last customer has gone. */
  visits: Promise<Visit[]>;
  /** When the last customer gives up, in milliseconds since 1970. */
  closeAt(at: number): void;
}

/** How often to say how many have come. */
const sayEvery = 200;

/** Sends the customers on their way. */
export function sendCrowd(order: CrowdOrder, progress: (line: string) => void): Crowd {
  const thread = new Worker(join(__dirname, 'crowd-thread.js'), { workerData: order });
  let lastCame: () => void;
  const allCame = new Promise<void>((resolve) => (lastCame = resolve));
  const visits = new Promise<Visit[]>((resolve, reject) => {
    thread.on('error', reject);
    thread.on('message', (news: CrowdNews) => {
      if ('gone' in news) return resolve(news.gone);
      if (news.came % sayEvery === 0) progress(`${news.came} customers have come`);
      if (news.came === order.wishes.length) lastCame();
    });
  });
  return {
    // A thread that fails brings nobody more.
    allCame: Promise.race([allCame, visits.then(() => undefined)]),
    visits,
    closeAt: (at) => thread.postMessage(at),
  };
}

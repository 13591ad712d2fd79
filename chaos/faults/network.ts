/** Faults of the network between two parts, played by the proxy on each way. */
import { setTimeout as sleep } from 'node:timers/promises';
import { grownBy, type Fault } from './fault';
import type { Proxy, Struck } from '../stack/proxy';
import { linkNames } from '../stack/stack';

interface Trouble {
  name: string;
  struck: keyof Struck;
  begin: (proxy: Proxy) => void;
  /** In ms; 0 is over at once. */
  ms: number;
}

const troubles: readonly Trouble[] = [
  // Another continent.
  { name: 'slow', struck: 'latency', begin: (proxy) => proxy.latency(200), ms: 4_000 },
  { name: 'reset', struck: 'reset', begin: (proxy) => void proxy.reset(), ms: 0 },
  // A cable that was pulled: longer than any single call may take.
  { name: 'silent', struck: 'silence', begin: (proxy) => proxy.silence(true), ms: 10_000 },
  // Short, since nothing gets an answer: each cut is one request whose commit is unknown.
  {
    name: 'cut-after-delivery',
    struck: 'cutAfterDelivery',
    begin: (proxy) => proxy.cutAfterDelivery(true),
    ms: 1_500,
  },
];

export const networkFaults: readonly Fault[] = linkNames.flatMap((link) =>
  troubles.map(({ name, struck, begin, ms }) => ({
    kind: `${link}-${name}`,
    part: link,
    weight: 1,
    play: (stack) => {
      const proxies = stack.links[link];
      const count = (): number => proxies.reduce((sum, proxy) => sum + proxy.struck()[struck], 0);
      return grownBy(count, 'connections', async () => {
        try {
          for (const proxy of proxies) begin(proxy);
          await sleep(ms);
        } finally {
          for (const proxy of proxies) proxy.clear();
        }
      });
    },
  })),
);

/**
 * What every adapter owes the story, in cases that are the same for all of them. A case needs some capabilities, or deeds
 * that only a sandbox can be asked for; a gateway's own test file names those that are ruled out there.
 */
import type { Gateway } from '../src/gateways/gateway';
import { closing } from './gateway-contract-closing';
import { listing } from './gateway-contract-listing';
import { opening } from './gateway-contract-opening';
import { reading } from './gateway-contract-reading';
import { refunding } from './gateway-contract-refunding';
import { webhooks } from './gateway-contract-webhooks';
import type { Ability, Case, Counterpart, Deed } from './gateway-counterpart';

const abilities: Record<Ability, (at: Counterpart) => boolean> = {
  closes: ({ gateway }: Counterpart) => gateway.capabilities.closes,
  'cannot close': ({ gateway }: Counterpart) => !gateway.capabilities.closes,
  'signed bodies': ({ gateway }: Counterpart) => gateway.capabilities.signedBody,
  'unsigned bodies': ({ gateway }: Counterpart) => !gateway.capabilities.signedBody,
  lists: ({ gateway }: Counterpart) => gateway.capabilities.lists,
  'no lists': ({ gateway }: Counterpart) => !gateway.capabilities.lists,
};

const cases: Record<string, readonly Case[]> = { opening, reading, closing, refunding, listing, webhooks };

/**
 * Declares the suite for one gateway.
 * @param start makes a counterpart of its own for each case
 * @param ruledOut names of the cases that it cannot pass, each with the reason; the suite fails when the list is not exact
 */
export function gatewayContract(
  gateway: string,
  start: () => Promise<Counterpart>,
  ruledOut: Readonly<Record<string, string>>,
): void {
  describe(`The contract of gateways, ${gateway}`, () => {
    let at: Counterpart;
    let told: string[];
    beforeEach(async () => {
      told = [];
      const started = await start();
      at = { ...started, gateway: listenedTo(started.gateway, told) };
    });
    afterEach(async () => {
      await at.close();
      const carried = at.wire.requests.map(({ headers }) => headers.authorization?.split(' ').at(-1) ?? '');
      for (const secret of new Set([...at.secrets, ...carried])) {
        if (secret !== '') expect(told.join('\n')).not.toContain(secret);
      }
    });
    const names = Object.values(cases).flatMap((group) => group.map(({ name }) => name));

    test('rules out only what is in its list', () => {
      expect(Object.keys(ruledOut).filter((name) => !names.includes(name))).toEqual([]);
      const lacking = Object.values(cases).flatMap((group) =>
        group.filter((one) => lacks(at, one) !== undefined),
      );
      expect(lacking.map(({ name }) => name).toSorted()).toEqual(Object.keys(ruledOut).toSorted());
    });

    describe.each(Object.entries(cases))('%s', (_, group) => {
      for (const one of group) {
        const why = ruledOut[one.name];
        if (why !== undefined) test.skip(`${one.name} (ruled out: ${why})`, () => undefined);
        else {
          test(
            one.name,
            () => one.run(at as Counterpart & Required<Pick<Counterpart, Deed>>),
            one.timeoutMs ?? 15_000,
          );
        }
      }
    });
  });
}

/** What a case needs that is not to be had; undefined when it can run. */
function lacks(at: Counterpart, { needs = [] }: Case): string | undefined {
  return needs.find((need) =>
    need in abilities ? !abilities[need as Ability](at) : at[need as Deed] === undefined,
  );
}

/** Writes down every reason, detail and error on its way to the story. */
function listenedTo(gateway: Gateway, told: string[]): Gateway {
  const listen = (answer: unknown): unknown => {
    if (answer instanceof Error) told.push(`${answer.message} ${answer.stack ?? ''}`);
    else if (answer !== null && typeof answer === 'object') {
      const { reason, detail, code } = answer as Record<string, unknown>;
      told.push([reason, detail, code].join(' '));
    }
    return answer;
  };
  return new Proxy(gateway, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        try {
          const answer: unknown = Reflect.apply(value, target, args);
          if (!(answer instanceof Promise)) return listen(answer);
          return answer.then(listen, (error: unknown) => {
            listen(error);
            throw error;
          });
        } catch (error) {
          listen(error);
          throw error;
        }
      };
    },
  });
}

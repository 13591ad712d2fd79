/**
 * What the workflows of `src/workflows` find instead of `@temporalio/workflow` in the property test: the real stories run
 * as plain promises, each inside its own `Story`, so that thousands of attempts are told in the time of one server.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { msToNumber } from '@temporalio/common/lib/time';

/** Options of a proxy, as far as the stand-in reads them. */
export interface ProxyOptions {
  scheduleToCloseTimeout?: string;
  /** A local activity has one go. */
  retry?: { maximumAttempts?: number };
}

type Handler = (input?: unknown) => unknown;

/** A running workflow, as its own code sees it. */
export interface Story {
  handlers: Map<string, Handler>;
  handlersRunning: number;
  /** Signals that came with the start: handed over when their handler is registered, as Temporal does. */
  buffered: { name: string; input: unknown }[];
  /** Waits until the condition holds, or for so many ms of the stand-in's clock; says whether it holds. */
  wait(holds: () => boolean, ms: number | undefined): Promise<boolean>;
  execute(activity: string, args: unknown[], options: ProxyOptions): Promise<unknown>;
  /** Starts a workflow by its name. */
  startChild(workflow: string, workflowId: string, input: unknown): void;
}

const telling = new AsyncLocalStorage<Story>();

function story(): Story {
  const current = telling.getStore();
  if (current === undefined) throw new Error('Bug: a workflow’s code runs outside any story');
  return current;
}

/** Runs code as part of a story: its main function, or one of its handlers. */
export function within<T>(one: Story, run: () => T): T {
  return telling.run(one, run);
}

function proxy(options: ProxyOptions): unknown {
  return new Proxy(
    {},
    {
      get: (_, name: string) => {
        const call = (...args: unknown[]) => story().execute(name, args, options);
        return Object.assign(call, {
          executeWithOptions: (_summary: unknown, args: unknown[]) => story().execute(name, args, options),
        });
      },
    },
  );
}

const never = new Promise<never>(() => undefined);

/** Replaces what needs a Temporal worker; everything else is the SDK's own. */
export const workflowStandIns = {
  proxyActivities: proxy,
  proxyLocalActivities: proxy,
  condition: (holds: () => boolean, timeout?: string | number) =>
    story().wait(holds, timeout === undefined ? undefined : msToNumber(timeout)),
  setHandler: ({ name }: { name: string }, handler: Handler) => {
    const one = story();
    one.handlers.set(name, handler);
    for (const signal of one.buffered.filter((early) => early.name === name)) handler(signal.input);
    one.buffered = one.buffered.filter((early) => early.name !== name);
  },
  allHandlersFinished: () => story().handlersRunning === 0,
  startChild: async (workflow: string, { workflowId, args }: { workflowId: string; args: unknown[] }) =>
    story().startChild(workflow, workflowId, args[0]),
  CancellationScope: {
    // Nobody cancels a workflow here: a customer's cancel is an update.
    current: () => ({ cancelRequested: never }),
    nonCancellable: <T>(run: () => T) => run(),
  },
  upsertSearchAttributes: () => undefined,
  setCurrentDetails: () => undefined,
  log: { warn: () => undefined, info: () => undefined },
};

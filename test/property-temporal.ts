/**
 * A Temporal server and worker in one, for the property test: starts the real workflows as promises, runs the real
 * activities in mocked contexts, keeps a clock that moves only when told, and loses or doubles activities when told.
 */
import { setImmediate } from 'node:timers/promises';
import { WorkflowExecutionAlreadyStartedError, WorkflowNotFoundError, type Client } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { within, type ProxyOptions, type Story } from './property-workflow';

type Activity = (...args: unknown[]) => Promise<unknown>;
type Workflow = (input: unknown) => Promise<unknown>;

interface Waiting {
  holds: () => boolean;
  dueAt: number;
  wake: (holds: boolean) => void;
}

interface Running extends Story {
  id: string;
  waiting: Set<Waiting>;
  over: boolean;
  result?: unknown;
}

/**
 * What goes wrong with the next go of an activity. `slow`: it is given up and started again while the first still runs.
 * `lost`: it is done, its worker dies before it says so, and it is done again.
 */
export const losses = ['slow', 'lost'] as const;
export type Loss = (typeof losses)[number];

/** Goes after which an activity without a limit of its own is taken to hang: faults of one list are far fewer. */
const goesUntilStuck = 60;

/** Goes of an activity that gives up within minutes: as many as show that it does. One with hours goes on. */
const goesWithLimit = 3;

/** Activities after which a list is taken to run in circles. */
const activitiesUntilSpinning = 5_000;

/** No log: tests make failures on purpose. What a standing activity swallows is kept as a fault. */
function silentLog(faults: unknown[]) {
  const nothing = () => undefined;
  return {
    log: nothing,
    trace: nothing,
    debug: nothing,
    info: nothing,
    error: nothing,
    warn: (message: string, attributes?: Record<string, unknown>) => {
      if (message === 'standing.round-failed') faults.push(`${message}: ${JSON.stringify(attributes)}`);
    },
  };
}

/** Makes an empty server. `activities` and `workflows` are asked for late: they need the client that is made here. */
export function standInTemporal(parts: {
  activities: () => Record<string, unknown>;
  workflows: Record<string, Workflow>;
}) {
  const stories = new Map<string, Running>();
  const under = new Set<Promise<unknown>>();
  /** What went wrong and must not: errors that are no answer of a gateway. */
  const faults: unknown[] = [];
  const ahead: Loss[] = [];
  let now = 0;
  let executed = 0;

  async function go(id: string, name: string, args: unknown[]): Promise<unknown> {
    executed += 1;
    if (executed > activitiesUntilSpinning) throw new Error(`Running in circles: ${name} in ${id}`);
    const activity = parts.activities()[name] as Activity;
    const environment = new MockActivityEnvironment(
      { workflowExecution: { workflowId: id, runId: 'run' } },
      { logger: silentLog(faults) },
    );
    const doing = environment.run(activity, ...args);
    const kept = doing.catch((error: unknown) => {
      // Only what activities throw by name is expected; anything else Temporal would retry, and nobody would see it.
      if (!(error instanceof ApplicationFailure)) faults.push(error);
    });
    under.add(kept);
    void kept.finally(() => under.delete(kept));
    return doing;
  }

  async function execute(id: string, name: string, args: unknown[], options: ProxyOptions): Promise<unknown> {
    const soon = /minute|second/.test(options.scheduleToCloseTimeout ?? '');
    const limit = options.retry?.maximumAttempts ?? (soon ? goesWithLimit : goesUntilStuck);
    for (let n = 1; ; n += 1) {
      const loss = ahead.shift();
      try {
        const doing = go(id, name, args);
        if (loss === 'slow') doing.catch(() => undefined);
        else await doing;
        if (loss === undefined) return await doing;
        throw ApplicationFailure.retryable('No answer from the worker', 'loss');
      } catch (error) {
        if (!(error instanceof ApplicationFailure) || error.nonRetryable === true || n >= limit) {
          if (n >= goesUntilStuck) faults.push(error);
          throw error;
        }
      }
    }
  }

  function start(workflow: Workflow, id: string, input: unknown, buffered: Story['buffered'] = []): Running {
    const story: Running = {
      id,
      handlers: new Map(),
      handlersRunning: 0,
      buffered,
      waiting: new Set(),
      over: false,
      wait: (holds, ms) => wait(story, holds, ms),
      execute: (name, args, options) => execute(id, name, args, options),
      startChild: (child, childId, childInput) => {
        if (stories.get(childId)?.over === false) throw alreadyStarted(childId);
        const workflow = parts.workflows[child];
        if (workflow === undefined) throw new Error(`Bug: no workflow ${child} here`);
        start(workflow, childId, childInput);
      },
    };
    stories.set(id, story);
    void within(story, async () => workflow(input))
      .then((result) => (story.result = result))
      .catch((error: unknown) => faults.push(error))
      .finally(() => (story.over = true));
    return story;
  }

  function wait(story: Running, holds: () => boolean, ms: number | undefined): Promise<boolean> {
    if (holds()) return Promise.resolve(true);
    const dueAt = ms === undefined ? Infinity : now + ms;
    return new Promise((wake) => story.waiting.add({ holds, dueAt, wake }));
  }

  function alreadyStarted(id: string): WorkflowExecutionAlreadyStartedError {
    return new WorkflowExecutionAlreadyStartedError('It runs already', id, 'any');
  }

  function running(id: string): Running {
    const story = stories.get(id);
    if (story === undefined || story.over) throw new WorkflowNotFoundError('No such workflow', id, undefined);
    return story;
  }

  /** Wakes every wait whose condition holds, or, when `late`, whose time is over. Says whether any woke. */
  function wake(late: boolean): boolean {
    let woke = false;
    for (const story of stories.values()) {
      for (const one of story.waiting) {
        const holds = within(story, one.holds);
        if (!holds && !(late && one.dueAt <= now)) continue;
        story.waiting.delete(one);
        one.wake(holds);
        woke = true;
      }
    }
    return woke;
  }

  /** Lets everything go on until all stories are over or wait for something from outside. */
  async function quiet(): Promise<void> {
    for (;;) {
      await setImmediate();
      if (wake(false)) continue;
      if (under.size === 0) return;
      await Promise.race(under);
    }
  }

  async function update(id: string, name: string, input: unknown): Promise<unknown> {
    const story = running(id);
    const handler = story.handlers.get(name);
    if (handler === undefined) throw new Error(`Bug: ${id} has no handler ${name}`);
    story.handlersRunning += 1;
    try {
      return await within(story, async () => handler(input));
    } finally {
      story.handlersRunning -= 1;
    }
  }

  function signal(id: string, name: string, input: unknown): void {
    const story = running(id);
    const handler = story.handlers.get(name);
    if (handler === undefined) throw new Error(`Bug: ${id} has no handler ${name}`);
    within(story, () => handler(input));
  }

  interface StartOptions {
    workflowId: string;
    args: unknown[];
    signal?: { name: string };
    signalArgs?: unknown[];
  }
  const workflow = {
    getHandle: (id: string) => ({
      signal: async ({ name }: { name: string }, input: unknown) => signal(id, name, input),
    }),
    start: async (type: string, { workflowId, args }: StartOptions) => {
      if (stories.has(workflowId)) throw alreadyStarted(workflowId);
      start(named(type), workflowId, args[0]);
    },
    signalWithStart: async (type: string, options: StartOptions) => {
      const { workflowId, args, signal: definition, signalArgs } = options;
      if (definition === undefined) throw new Error('Bug: a start without a signal');
      const [input] = signalArgs ?? [];
      if (stories.get(workflowId)?.over === false) return signal(workflowId, definition.name, input);
      start(named(type), workflowId, args[0], [{ name: definition.name, input }]);
    },
  };

  function named(type: string): Workflow {
    const found = parts.workflows[type];
    if (found === undefined) throw new Error(`Bug: no workflow ${type}`);
    return found;
  }

  /** Runs a standing activity for one round: it finds itself canceled at its first pause. */
  async function oneRound(name: string): Promise<void> {
    const environment = new MockActivityEnvironment({}, { logger: silentLog(faults) });
    environment.cancel();
    await environment.run(parts.activities()[name] as Activity).catch(() => undefined);
  }

  return {
    client: { workflow } as unknown as Client,
    faults,
    ahead,
    start: (type: string, id: string, input: unknown) => void start(named(type), id, input),
    update,
    signal,
    quiet,
    oneRound,
    runs: (id: string) => stories.get(id)?.over === false,
    resultOf: (id: string) => stories.get(id)?.result,
    /** Stories that are not over. */
    open: () => [...stories.values()].filter((story) => !story.over).map((story) => story.id),
    /** Moves the clock of timers. They ring when `fireTimers` is called, as when a worker comes back late. */
    pass: (ms: number) => void (now += ms),
    fireTimers: () => void wake(true),
  };
}

export type StandInTemporal = ReturnType<typeof standInTemporal>;

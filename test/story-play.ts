/** Playing one list: a real workflow is started, and what the list says is done to it, until it is over. */
import { setTimeout as pause } from 'node:timers/promises';
import { WorkflowNotFoundError, type Client, type WorkflowHandle } from '@temporalio/client';
import type { ApiDependencies } from '../src/api/dependencies';
import { askAttempt, openAttempt, type Outcome as Asked } from '../src/api/attempts';
import type { Outcome } from '../src/booking';
import {
  bookingWorkflowId,
  calledOffSignal,
  cancelUpdate,
  doorbellSignal,
  resolveCaseSignal,
  retryPaymentSignal,
  retryUpdate,
  type BookInput,
  type Ring,
} from '../src/workflows/messages';
import type { History } from './histories-setup';
import { junk, type Command, type Go, type List, type Ringer } from './story-lists';
import { Model } from './story-model';

/** Ms without a beat after which a command waits for no more of them: several times what a workflow task takes. */
const quietMs = 40;
/** Ms between two looks at what is left to be brought to an end. */
const lookMs = 50;
/** Ms after which a story that did not end is stuck. The longest take some 5 s, and 30 more where a server loses a task. */
const stuckMs = 90_000;
/** Ms that the keepers of cases have when the attempt's own workflow is over: they go through a decision and a refund each. */
const lingerMs = 20_000;

/** The first mark of a ring: its instant tells it from any other. */
const firstMark = Date.UTC(2026, 0, 1);

/** An update or a start, and what it was told. */
export interface Question {
  asked: 'open' | 'other body' | 'retry' | 'retry by wallet' | 'cancel' | 'junk';
  /** Of the model's journal: what was true when it was asked, and when it was answered. */
  from: number;
  to: number;
  answer: Asked;
  /** How often it was asked: an earlier go that got no answer in time may have been heard. */
  times: number;
}

/** Where lists are played. */
export interface Ground {
  temporal: Client;
  taskQueue: string;
}

/** One list being played. */
export class Play {
  readonly model: Model;
  readonly questions: Question[] = [];
  /** What happened, in order, for whoever reads a failure. */
  readonly told: string[] = [];
  /** Marks of the rings that Temporal took. */
  readonly rung: string[] = [];
  result: Outcome | undefined;
  /** Why there is no result. */
  failure: unknown;
  history: History = {};
  /** Keepers of cases that did not end, and why. */
  readonly stayed: string[] = [];
  goes = 0;
  sent = 0;
  /** The activity whose time is over. */
  outOfTime: string | undefined;
  /** When the gateway answers again, in ms of Unix time. */
  awayUntil = 0;
  #allSent = false;
  #over = false;
  /** When the attempt's own workflow was over, in ms of Unix time. */
  #overAt = Infinity;
  #marks = 0;
  #unanswered = 0;
  readonly #stirs = new Set<() => void>();
  readonly #asking: Promise<void>[] = [];

  constructor(
    readonly ground: Ground,
    readonly bookingId: string,
    readonly list: List,
  ) {
    this.model = new Model(bookingId, list);
  }

  /** An activity began or ended. */
  beat(what: string): void {
    this.tell(what);
    this.stir();
  }

  private tell(what: string): void {
    this.told.push(`${what} (${this.model.status})`);
  }

  private stir(): void {
    const waiting = [...this.#stirs];
    this.#stirs.clear();
    for (const wake of waiting) wake();
  }

  private stirred(): Promise<void> {
    return new Promise((wake) => this.#stirs.add(wake));
  }

  /** How the next go of an activity goes. */
  nextGo(): Go {
    const go = this.list.goes[this.goes];
    this.goes += 1;
    return go ?? 'plain';
  }

  /** Waits until so many more commands were sent, or all. */
  async untilSent(more: number): Promise<void> {
    const enough = this.sent + more;
    while (this.sent < enough && !this.#allSent) await this.stirred();
  }

  /** Plays the list to its end. */
  async run(): Promise<void> {
    const { temporal } = this.ground;
    this.ask('open', () => openAttempt(this.deps(), this.input('a hash')));
    await this.begun();
    const handle = temporal.workflow.getHandle<() => Promise<Outcome>>(bookingWorkflowId(this.bookingId));
    const over = this.follow(handle);
    for (const command of this.list.commands) {
      await this.waitFor(command.beats);
      if (this.#over) break;
      this.tell(JSON.stringify(command));
      await this.send(handle, command);
      this.sent += 1;
      this.stir();
    }
    this.#allSent = true;
    this.stir();
    await this.bringToEnd();
    await over;
    await Promise.all(this.#asking);
    this.history = await handle.fetchHistory();
  }

  private deps(): ApiDependencies {
    const { temporal, taskQueue } = this.ground;
    // All that starting and asking an attempt needs of what the API has.
    return { temporal, config: { taskQueue, appSecret: 'a secret' } } as ApiDependencies;
  }

  private input(requestHash: string): BookInput {
    return {
      bookingId: this.bookingId,
      customerId: 'a customer',
      requestHash,
      requestId: 'a request',
      request: {
        items: [{ offeringId: 'off_model', seats: 1 }],
        payment: { method: this.model.method },
        customer: { name: 'A Customer', email: 'customer@example.com' },
      },
    };
  }

  /** The start is durable when its first activity runs. */
  private async begun(): Promise<void> {
    while (this.goes === 0) await this.stirred();
  }

  private async follow(handle: WorkflowHandle<() => Promise<Outcome>>): Promise<void> {
    const impatient = new AbortController();
    const stuck = pause(stuckMs, 'stuck' as const, { signal: impatient.signal }).catch(() => 'over' as const);
    try {
      const result = await Promise.race([handle.result(), stuck]);
      if (result === 'stuck') {
        this.failure = `Stuck as ${this.model.status}`;
        await handle.terminate('stuck');
      } else this.result = result as Outcome;
    } catch (error) {
      this.failure = error;
    } finally {
      impatient.abort();
      this.#over = true;
      this.#overAt = Date.now();
      this.stir();
    }
  }

  private async waitFor(beats: number): Promise<void> {
    for (let n = 0; n < beats && !this.#over; n += 1) {
      if ((await Promise.race([this.stirred(), pause(quietMs, 'quiet' as const)])) === 'quiet') return;
    }
  }

  /** After the last command: what is processed is decided, and what a person must decide is decided by one. */
  private async bringToEnd(): Promise<void> {
    const asked = new Set<string>();
    while (!this.#over || (this.isKept() && Date.now() < this.#overAt + lingerMs)) {
      await pause(lookMs);
      this.model.processed(this.list.lastly);
      // A person takes days: everybody is answered before.
      if (this.#unanswered > 0) continue;
      for (const { id, keeper } of this.model.refunds.openCases) {
        if (asked.has(id)) continue;
        const word = { caseId: id, action: 'mark-settled', by: 'an operator' };
        // Its keeper may only just begin.
        if (await this.signal(this.handleOf(keeper), resolveCaseSignal.name, word)) asked.add(id);
      }
    }
    await Promise.all(this.keepers().map((keeper) => this.seeOff(keeper)));
  }

  /** Whether the keeper of a case has something to do: also when the attempt's own workflow is over. */
  private isKept(): boolean {
    const { refunds } = this.model;
    return refunds.toKeep.length > 0 || refunds.followed().length > 0;
  }

  /** Workflows of cases that the attempt's own does not keep. */
  private keepers(): string[] {
    const own = bookingWorkflowId(this.bookingId);
    return [...new Set(this.model.refunds.cases.map(({ keeper }) => keeper))].filter((id) => id !== own);
  }

  /** Waits for the end of a case's keeper; one that does not end, or has failed, is told of. */
  private async seeOff(keeper: string): Promise<void> {
    const impatient = new AbortController();
    const stuck = pause(lingerMs, 'stuck', { signal: impatient.signal }).catch(() => undefined);
    const ended = this.handleOf(keeper)
      .result()
      .then(() => undefined)
      .catch(String);
    const why = await Promise.race([ended, stuck]);
    impatient.abort();
    if (why === undefined) return;
    this.stayed.push(`${keeper}: ${why}`);
    await this.handleOf(keeper)
      .terminate('stuck')
      .catch(() => undefined);
  }

  private handleOf(workflowId: string): WorkflowHandle {
    return this.ground.temporal.workflow.getHandle(workflowId);
  }

  /** Rings at every one of these workflows that is there, except the one that passes the ring on. */
  async passOn(ring: Ring, to: readonly string[], except: string): Promise<void> {
    for (const id of new Set(to)) {
      if (id !== except) await this.signal(this.handleOf(id), doorbellSignal.name, ring);
    }
  }

  /** Sends a signal. @returns whether the workflow was there to take it */
  private async signal(handle: WorkflowHandle, name: string, ...args: unknown[]): Promise<boolean> {
    try {
      await handle.signal(name, ...args);
      return true;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  }

  private async ring(handle: WorkflowHandle, by: Ringer | null): Promise<void> {
    if (by === null) return;
    this.#marks += 1;
    const at = new Date(firstMark + this.#marks).toISOString();
    const event = { gateway: this.model.method, ref: null, eventId: `evt_${this.#marks}`, type: 'rings' };
    const rung: Ring = { by, at, ...(by === 'webhook' ? event : {}) };
    if (await this.signal(handle, doorbellSignal.name, rung)) this.rung.push(at);
  }

  /** Asks without waiting for the answer, and again when there is none. */
  private ask(asked: Question['asked'], ask: () => Promise<Asked>): void {
    const from = Math.max(0, this.model.journal.length - 1);
    this.#unanswered += 1;
    const answered = async (): Promise<void> => {
      for (let n = 1; ; n += 1) {
        const wasOver = this.#over;
        const answer = await ask();
        this.tell(`${asked}: ${JSON.stringify(answer)}`);
        // As a client does that got none within the API's 8 s: on a machine that stalls also when the story ended meanwhile.
        if (answer.kind === 'silent' && !wasOver) continue;
        this.#unanswered -= 1;
        this.questions.push({ asked, from, to: this.model.journal.length, answer, times: n });
        return;
      }
    };
    this.#asking.push(answered());
  }

  private async send(handle: WorkflowHandle, command: Command): Promise<void> {
    const { bookingId, model } = this;
    const { temporal } = this.ground;
    switch (command.does) {
      case 'customer':
        model.customerActs(command.act, command.oldest);
        return this.ring(handle, command.rings);
      case 'refund turns':
        model.refunds.turn(command.to);
        return this.ring(handle, command.rings);
      case 'ring':
        return this.ring(handle, command.by);
      case 'retry': {
        const wish = command.method === null ? {} : { method: command.method };
        const asked = command.method === 'wallet' ? 'retry by wallet' : 'retry';
        return this.ask(asked, () => askAttempt(temporal, bookingId, retryUpdate, [wish]));
      }
      case 'cancel':
        return this.ask('cancel', () =>
          askAttempt(temporal, bookingId, cancelUpdate, [{ reason: 'Why not' }]),
        );
      case 'retryPayment':
        return void (await this.signal(handle, retryPaymentSignal.name));
      case 'calledOff':
        return void (await this.signal(handle, calledOffSignal.name));
      case 'cancel in the UI':
        return this.cancelInUi(handle);
      case 'the window ends':
        return pause(model.windowMs);
      case 'start again':
        return this.ask(command.sameBody ? 'open' : 'other body', () =>
          openAttempt(this.deps(), this.input(command.sameBody ? 'a hash' : 'another hash')),
        );
      case 'resolve':
        return this.resolve(handle, command.action);
      case 'junk':
        return this.sendJunk(handle, command.to, junk[command.input]);
    }
  }

  private async cancelInUi(handle: WorkflowHandle): Promise<void> {
    try {
      await handle.cancel();
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error;
    }
  }

  private async resolve(handle: WorkflowHandle, action: string): Promise<void> {
    const found = this.model.refunds.openCases[0] ?? this.model.refunds.cases.at(-1);
    const keeper = found === undefined ? handle : this.handleOf(found.keeper);
    const word = { caseId: found?.id ?? 'cas_unknown', action, by: 'an operator' };
    await this.signal(keeper, resolveCaseSignal.name, word);
  }

  private async sendJunk(handle: WorkflowHandle, to: string, input: unknown): Promise<void> {
    if (to === 'retry' || to === 'cancel' || to === 'open') {
      const update = { type: 'update', name: to } as never;
      this.ask('junk', () => askAttempt(this.ground.temporal, this.bookingId, update, [input]));
    } else await this.signal(handle, to, input);
  }
}

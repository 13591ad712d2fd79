import { type GateSwitch, isMeant, type Subject } from './switches';
import { pause } from './pause';

/** How many requests or deliveries stand at a gate now, and how many it has let through. */
export interface GateState {
  name: string;
  waiting: number;
  released: number;
  open: boolean;
}

/** Where a request or a delivery stands: before or after the deed of an operation, or before an event is sent. */
export type Point = { operation: string; when: 'before' | 'after' } | { event: string };

interface Gate {
  spec: GateSwitch;
  waiting: (() => void)[];
  released: number;
  open: boolean;
}

const isAt = (spec: GateSwitch, point: Point): boolean => {
  if ('operation' in point)
    return (
      'operation' in spec &&
      spec.when === point.when &&
      (spec.operation === '*' || spec.operation === point.operation)
    );
  return 'event' in spec && (spec.event === '*' || spec.event === point.event);
};

/** Named points where the sandbox stops until told to go on, so that a test can decide the order of things. */
export class Gates {
  private readonly gates = new Map<string, Gate>();

  constructor(private readonly closing: AbortSignal) {}

  /** Throws when a gate of this name is still closed. */
  add(spec: GateSwitch): void {
    if (this.gates.get(spec.name)?.open === false) throw new Error(`gate ${spec.name} is already there`);
    this.gates.set(spec.name, { spec, waiting: [], released: 0, open: false });
  }

  /** Waits at every closed gate of this point. Never rejects; pending for ever once the sandbox has closed. */
  async hold(point: Point, subject: Subject): Promise<void> {
    for (const gate of this.gates.values())
      if (!gate.open && isAt(gate.spec, point) && isMeant(subject, gate.spec.match))
        await new Promise<void>((resolve) => gate.waiting.push(resolve));
  }

  /** Whether a closed gate stands at this point. */
  stands(point: Point, subject: Subject): boolean {
    return [...this.gates.values()].some(
      (gate) => !gate.open && isAt(gate.spec, point) && isMeant(subject, gate.spec.match),
    );
  }

  /** Throws for a name that was never used. */
  state(name: string): GateState {
    const gate = this.find(name);
    return { name, waiting: gate.waiting.length, released: gate.released, open: gate.open };
  }

  /** Waits until `count` stand at the gate; throws after `timeoutMs`. */
  async wait(name: string, count: number, timeoutMs: number): Promise<GateState> {
    const end = Date.now() + timeoutMs;
    while (this.find(name).waiting.length < count) {
      if (Date.now() >= end)
        throw new Error(
          `gate ${name}: ${this.find(name).waiting.length} of ${count} came within ${timeoutMs} ms`,
        );
      // A few milliseconds are short against any network and cost nothing measurable.
      if (!(await pause(5, this.closing))) throw new Error('the sandbox is closing');
    }
    return this.state(name);
  }

  /** Lets everyone through, now and later. Throws for an unknown name. */
  release(name: string): GateState {
    const gate = this.find(name);
    gate.open = true;
    gate.released += gate.waiting.length;
    for (const go of gate.waiting.splice(0)) go();
    return this.state(name);
  }

  /** Opens every gate. */
  releaseAll(): void {
    for (const name of this.gates.keys()) this.release(name);
  }

  private find(name: string): Gate {
    const gate = this.gates.get(name);
    if (gate === undefined) throw new Error(`there is no gate ${name}`);
    return gate;
  }
}

/** A mail as it arrived. `receivedAt` is ISO 8601 with milliseconds; addresses are those of the envelope. */
export interface Message {
  /** The `Message-ID` header with its angle brackets; null when the mail has none. */
  messageId: string | null;
  from: string;
  to: string[];
  subject: string;
  text: string;
  receivedAt: string;
}

/**
 * What goes wrong with the next mails: `refuse` answers 550 and `busy` 451, both without keeping the mail;
 * `lost-after-accept` keeps it and drops the connection without the 250. `times` null: until cleared.
 */
export interface MailFault {
  kind: 'refuse' | 'busy' | 'lost-after-accept';
  times: number | null;
}

/** The mails that arrived and the faults that are switched on. */
export class Inbox {
  private readonly kept: Message[] = [];
  private readonly faults: MailFault[] = [];
  private readonly strikes: Record<MailFault['kind'], number> = {
    refuse: 0,
    busy: 0,
    'lost-after-accept': 0,
  };

  /** Newest first. */
  messages(): Message[] {
    return this.kept.toReversed();
  }

  keep(message: Message): void {
    this.kept.push(message);
  }

  clear(): void {
    this.kept.length = 0;
  }

  addFault(fault: MailFault): void {
    this.faults.push({ ...fault });
  }

  clearFaults(): void {
    this.faults.length = 0;
  }

  /** The fault that strikes the mail now arriving; it is used up by that. */
  takeFault(): MailFault['kind'] | undefined {
    const [first] = this.faults;
    if (first === undefined) return undefined;
    if (first.times !== null && --first.times === 0) this.faults.shift();
    this.strikes[first.kind] += 1;
    return first.kind;
  }

  /** How many mails each kind of fault has struck. */
  struck(): Record<MailFault['kind'], number> {
    return { ...this.strikes };
  }
}

import { type MailFault, type Message } from './inbox';

/** The switches of a mail sink, the same in process (`startMailSink`) and over HTTP (`connectMailSink`). */
export interface MailControl {
  /** Origin of the HTTP view. */
  readonly httpUrl: string;
  /** Newest first. */
  messages(): Promise<Message[]>;
  clearMessages(): Promise<void>;
  /** Makes the next mails go wrong; `times` is 1 unless told, null = until cleared. */
  fault(kind: MailFault['kind'], times?: number | null): Promise<void>;
  clearFaults(): Promise<void>;
  /** How many mails each kind of fault has struck. */
  struck(): Promise<Record<MailFault['kind'], number>>;
}

/** A mail sink that runs in another process, by the origin of its HTTP view. Methods reject on a refused call. */
export const connectMailSink = (httpUrl: string): MailControl => {
  const origin = httpUrl.replace(/\/+$/, '');
  const call = async (method: string, path: string, body?: object): Promise<unknown> => {
    const response = await fetch(`${origin}${path}`, {
      method,
      ...(body === undefined
        ? {}
        : { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }),
    });
    const answer: unknown = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${JSON.stringify(answer)}`);
    return answer;
  };
  const done = async (method: string, path: string, body?: object): Promise<void> => {
    await call(method, path, body);
  };
  return {
    httpUrl: origin,
    // The sink is ours and of the same version: its answers are not validated again.
    messages: async () => (await call('GET', '/messages')) as Message[],
    clearMessages: () => done('DELETE', '/messages'),
    fault: (kind, times = 1) => done('POST', '/_sandbox/faults', { kind, times }),
    clearFaults: () => done('DELETE', '/_sandbox/faults'),
    struck: async () => (await call('GET', '/_sandbox/faults')) as Record<MailFault['kind'], number>,
  };
};

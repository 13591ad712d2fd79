import { type Socket } from 'node:net';
import { type Fault, isMeant, strike, type Subject, type WebhookFault } from './switches';

/** The faults that are switched on, and the connections that one of them holds without an answer. */
export class Faults {
  private readonly requests: Fault[] = [];
  private readonly webhooks: WebhookFault[] = [];
  private readonly hung = new Set<Socket>();
  /** While true every API request finds its connection destroyed. */
  down = false;

  add(fault: Fault): void {
    this.requests.push(fault);
  }

  addForWebhooks(fault: WebhookFault): void {
    this.webhooks.push(fault);
  }

  /** The fault that strikes this request, if any; it is used up by that. */
  takeForRequest(operation: string, subject: Subject): Fault | undefined {
    return strike(
      this.requests,
      (fault) => (fault.operation === '*' || fault.operation === operation) && isMeant(subject, fault.match),
    );
  }

  /** The fault that strikes this event, if any; it is used up by that. */
  takeForEvent(event: string, subject: Subject): WebhookFault | undefined {
    return strike(
      this.webhooks,
      (fault) => (fault.event === '*' || fault.event === event) && isMeant(subject, fault.match),
    );
  }

  /** Keeps a connection without an answer until its client gives up or the faults are cleared. */
  hang(socket: Socket): void {
    this.hung.add(socket);
    socket.once('close', () => this.hung.delete(socket));
  }

  /** Forgets every fault and closes what hangs. */
  clear(): void {
    this.requests.length = 0;
    this.webhooks.length = 0;
    this.down = false;
    for (const socket of this.hung) socket.destroy();
  }
}

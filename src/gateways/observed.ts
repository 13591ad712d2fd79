/** A gateway whose silence is seen: an operator learns of wrong keys or an outage from the log, not from customers. */
import type { Logger, Metrics } from '../telemetry';
import type { Gateway, RefundToSend, TryToOpen } from './gateway';

/**
 * The same gateway. Each call that gets no usable answer is a line `gateway.unanswered` with the adapter's reason, and counted.
 */
export function observed(gateway: Gateway, { log, metrics }: { log: Logger; metrics: Metrics }): Gateway {
  const { name } = gateway;

  function told<Args extends unknown[], Answer extends { status: string; reason?: string }>(
    call: string,
    ask: (...args: Args) => Promise<Answer>,
  ): (...args: Args) => Promise<Answer> {
    return async (...args) => {
      const answer = await ask(...args);
      if (answer.status === 'unknown') {
        metrics.unanswered.inc({ gateway: name, call });
        log.warn({ event: 'gateway.unanswered', gateway: name, call, reason: answer.reason });
      }
      return answer;
    };
  }

  return {
    ...gateway,
    open: told('open', (wanted: TryToOpen) => gateway.open(wanted)),
    read: told('read', (ref: string) => gateway.read(ref)),
    close: told('close', (ref: string) => gateway.close(ref)),
    refund: told('refund', (refund: RefundToSend) => gateway.refund(refund)),
    readRefund: told('readRefund', (refund: RefundToSend) => gateway.readRefund(refund)),
    reversals: told('reversals', (ref: string) => gateway.reversals(ref)),
    ...(gateway.list === undefined ? {} : { list: told('list', gateway.list.bind(gateway)) }),
  };
}

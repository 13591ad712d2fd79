/** A gateway that does not answer is seen in the log and the metrics, by its name and call, with the adapter's reason. */
import { Writable } from 'node:stream';
import pino from 'pino';
import type { RefundToSend, TryToOpen } from '../src/gateways/gateway';
import { observed } from '../src/gateways/observed';
import { makeMetrics } from '../src/telemetry';
import { till } from './till-gateways';

test('A call without a usable answer is logged with its reason and counted; one with an answer is neither', async () => {
  const lines: unknown[] = [];
  const sink = new Writable({
    write: (chunk: Buffer, _, done) => {
      lines.push(JSON.parse(chunk.toString()));
      done();
    },
  });
  const metrics = makeMetrics();
  const card = till('card');
  const down = async () => ({ status: 'unknown', reason: 'down' }) as const;
  const whole = { ...card.gateway, refund: down, readRefund: down, reversals: down, list: down };
  const gateway = observed(whole, { log: pino(sink), metrics });
  expect(await gateway.read('a')).toEqual({ status: 'unpaid' });
  expect(lines).toEqual([]);
  card.down = true;
  expect(await gateway.read('a')).toEqual({ status: 'unknown', reason: 'down' });
  const refund = {} as RefundToSend;
  await gateway.open({} as TryToOpen);
  await gateway.close('a');
  await gateway.refund(refund);
  await gateway.readRefund(refund);
  await gateway.reversals('a');
  await gateway.list?.(new Date(0), new Date(1));
  const calls = ['read', 'open', 'close', 'refund', 'readRefund', 'reversals', 'list'];
  expect(lines).toMatchObject(
    calls.map((call) => ({
      event: 'gateway.unanswered',
      gateway: 'card',
      call,
      reason: 'down',
    })),
  );
  const { values } = await metrics.unanswered.get();
  expect(values.map(({ labels, value }) => [labels, value])).toEqual(
    calls.map((call) => [{ gateway: 'card', call }, 1]),
  );
});

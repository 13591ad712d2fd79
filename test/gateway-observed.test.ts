/** A gateway that does not answer is seen in the log and the metrics, by its name and call, with the adapter's reason. */
import { Writable } from 'node:stream';
import pino from 'pino';
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
  const gateway = observed(card.gateway, { log: pino(sink), metrics });
  expect(await gateway.read('a')).toEqual({ status: 'unpaid' });
  expect(lines).toEqual([]);
  card.down = true;
  expect(await gateway.read('a')).toEqual({ status: 'unknown', reason: 'down' });
  await gateway.close('a');
  expect(lines).toMatchObject(
    ['read', 'close'].map((call) => ({
      event: 'gateway.unanswered',
      gateway: 'card',
      call,
      reason: 'down',
    })),
  );
  const { values } = await metrics.unanswered.get();
  expect(values.map(({ labels, value }) => [labels, value])).toEqual([
    [{ gateway: 'card', call: 'read' }, 1],
    [{ gateway: 'card', call: 'close' }, 1],
  ]);
});

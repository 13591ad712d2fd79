/**
 * The courier's other round: posts queued events to the backends of API clients. Each endpoint has lanes of its own, so
 * that one that hangs keeps neither the others nor the mails waiting.
 */
import { Context } from '@temporalio/activity';
import type { WebhookDeliveryRow } from '../database';
import type { AddressRules } from '../public-address';
import { secretSeal } from '../webhook-secrets';
import type { Dependencies } from './dependencies';
import { standBy } from './standing';
import { postWebhook, type Posted } from './webhook-post';

/** Pause between two looks for endpoints with something due, in ms. */
const roundMs = 500;

/** Lanes of one endpoint, each one post at a time. With the API's limit of endpoints it bounds all posts under way. */
const lanesPerEndpoint = 4;

/**
 * Seconds from a failed post to the next one; after the last the delivery is given up, 75 hours after the event.
 * Source: Standard Webhooks 1.0.0, "Deliverability and reliability", the example schedule
 */
const gapsSeconds = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

/** Up to this part is added to each gap by chance, lest all that failed together come back together. */
const jitter = 0.1;

/** Seconds after which a post counts as lost, should its courier have died: more than any post may take. */
const lostAfterSeconds = 30;

/** What the courier of webhooks needs beside its rows. */
export interface WebhookSettings extends AddressRules {
  appSecret: string;
  /** How long a receiver may take to answer, in ms. */
  timeoutMs: number;
}

/** Time for an answer in ms: the least that Standard Webhooks 1.0.0 recommends. */
export const answerWithinMs = 15_000;

type Claimed = WebhookDeliveryRow & { url: string; secret: string; old_secret: string | null };

export function webhookCourier(deps: Dependencies) {
  const { db, log, metrics, webhooks } = deps;
  const seal = secretSeal(webhooks.appSecret);

  /** Runs until its worker shuts down or the turn is over; what is under way then is cut off and posted again. */
  async function deliverWebhooks(): Promise<void> {
    const lanes = new Lanes();
    const over = new AbortController();
    const interrupted = AbortSignal.any([over.signal, Context.current().cancellationSignal]);
    try {
      await standBy(roundMs, async () => {
        for (const endpointId of await endpointsWithWork(lanes.full())) {
          lanes.add(endpointId, drain(endpointId, interrupted));
        }
      });
    } finally {
      over.abort();
      await lanes.ended();
    }
  }

  async function endpointsWithWork(except: string[]): Promise<string[]> {
    const { rows } = await db.raw<{ rows: { id: string }[] }>(
      `SELECT e.id FROM webhook_endpoints AS e WHERE e.status = 'enabled' AND e.id <> ALL (?) AND EXISTS
         (SELECT FROM webhook_deliveries AS d WHERE d.endpoint_id = e.id AND d.next_try_at <= now())`,
      [except],
    );
    return rows.map(({ id }) => id);
  }

  /** Posts what is due to one endpoint, one after the other, until nothing is. Never throws: the next round tries again. */
  async function drain(endpointId: string, interrupted: AbortSignal): Promise<void> {
    try {
      while (!interrupted.aborted) {
        const claimed = await claim(endpointId);
        if (claimed === undefined) return;
        await deliver(claimed, interrupted);
      }
    } catch (error) {
      // The row's own time says when it is taken up again.
      const reason = error instanceof Error ? error.name : 'unknown';
      log.warn({ event: 'webhook.round-failed', endpointId, reason });
    }
  }

  /**
   * Takes a delivery in hand: counted before the deed, and set to come back should this courier die, later each time. Two at
   * once, as after a pause longer than a heartbeat, take different ones.
   */
  async function claim(endpointId: string): Promise<Claimed | undefined> {
    // Materialized: looked for once. As a subquery it may be run for each row it is joined to (seen when the table's statistics
    // told of one row), each time skips what this statement has just claimed, and so claims everything that is due.
    const result = await db.raw<{ rows: Claimed[] }>(
      `WITH due AS MATERIALIZED (SELECT id FROM webhook_deliveries WHERE endpoint_id = ? AND next_try_at <= now()
         ORDER BY next_try_at LIMIT 1 FOR UPDATE SKIP LOCKED)
       UPDATE webhook_deliveries AS d SET tries = d.tries + 1, step = d.step + 1,
         next_try_at = now() + make_interval(secs => ? + coalesce((?::integer[])[d.step + 1], 0))
       FROM due, webhook_endpoints AS e
       WHERE d.id = due.id AND e.id = d.endpoint_id AND e.status = 'enabled'
       RETURNING d.*, e.url, e.secret, CASE WHEN e.old_secret_until > now() THEN e.old_secret END AS old_secret`,
      [endpointId, lostAfterSeconds, gapsSeconds],
    );
    return result.rows[0];
  }

  async function deliver(delivery: Claimed, interrupted: AbortSignal): Promise<void> {
    // A courier that dies at each post must not post for ever.
    if (delivery.step > gapsSeconds.length + 1) return giveUp(delivery, { error: 'courier-died' });
    const posted = await post(delivery, interrupted);
    if (posted.error === 'interrupted') return putBack(delivery);
    const { statusCode } = posted;
    if (statusCode !== undefined && statusCode >= 200 && statusCode < 300)
      return recordDelivered(delivery, posted);
    if (statusCode === 410) {
      await giveUp(delivery, posted);
      return disable(delivery.endpoint_id, 'gone');
    }
    const gap = gapsSeconds[delivery.step - 1];
    if (gap !== undefined) return tryLater(delivery, posted, gap);
    await giveUp(delivery, posted);
    if (!(await tookAnythingSince(delivery))) await disable(delivery.endpoint_id, 'failing');
  }

  async function post(delivery: Claimed, interrupted: AbortSignal): Promise<Posted> {
    const { id, type, occurred_at: timestamp, data, url, endpoint_id: endpointId } = delivery;
    let secrets: string[];
    try {
      const sealed = [delivery.secret, delivery.old_secret].filter((one) => one !== null);
      secrets = await Promise.all(sealed.map((one) => seal.open(endpointId, one)));
    } catch {
      // APP_SECRET was changed. A signature by anything else would only look like an attack.
      return { error: 'secret-unreadable' };
    }
    const body = JSON.stringify({ type, timestamp, data });
    return postWebhook({ url, id, body, secrets }, webhooks, interrupted);
  }

  /** Its row, unless a newer post was begun meanwhile: then that one's word counts. */
  function rowOf({ id, tries }: Claimed) {
    return db('webhook_deliveries').where({ id, tries });
  }

  /** The same, unless its endpoint was disabled meanwhile: then nothing waits any more. */
  function waitingRowOf(delivery: Claimed) {
    return rowOf(delivery).where({ status: 'queued' });
  }

  async function recordDelivered(delivery: Claimed, posted: Posted): Promise<void> {
    await rowOf(delivery).update({
      ...answerOf(posted),
      status: 'delivered',
      delivered_at: db.fn.now(),
      next_try_at: null,
    });
    metrics.webhooksSent.inc({ result: 'delivered' });
    log.info({ event: 'webhook.delivered', ...namesOf(delivery) });
  }

  async function tryLater(delivery: Claimed, posted: Posted, gap: number): Promise<void> {
    const seconds = Math.max(gap * (1 + Math.random() * jitter), posted.retryAfter ?? 0);
    await waitingRowOf(delivery).update({
      ...answerOf(posted),
      next_try_at: db.raw('now() + make_interval(secs => ?)', [seconds]),
    });
    metrics.webhooksSent.inc({ result: 'retried' });
    log.warn({ event: 'webhook.unsent', ...namesOf(delivery), ...posted });
  }

  async function giveUp(delivery: Claimed, posted: Posted): Promise<void> {
    await rowOf(delivery).update({ ...answerOf(posted), status: 'failed', next_try_at: null });
    metrics.webhooksSent.inc({ result: 'given-up' });
    log.error({ event: 'webhook.given-up', ...namesOf(delivery), ...posted });
  }

  /** Nobody knows whether the receiver has it. It is posted again at once by whoever is next, and its step is not used up. */
  async function putBack(delivery: Claimed): Promise<void> {
    await waitingRowOf(delivery).update({ next_try_at: db.fn.now(), step: delivery.step - 1 });
  }

  async function tookAnythingSince({ endpoint_id, occurred_at }: Claimed): Promise<boolean> {
    const taken = await db('webhook_deliveries')
      .where({ endpoint_id })
      .where('delivered_at', '>=', occurred_at)
      .first<{ id: string } | undefined>('id');
    return taken !== undefined;
  }

  /** After the delivery's own statement, not with it: the trigger then takes the rows of posts that end this moment. */
  async function disable(endpointId: string, because: 'gone' | 'failing'): Promise<void> {
    await db('webhook_endpoints')
      .where({ id: endpointId, status: 'enabled' })
      .update({ status: 'disabled', disabled_because: because });
    log.error({ event: 'webhook.endpoint-disabled', endpointId, because });
  }

  return { deliverWebhooks };
}

/** Lanes under way. Each round opens one more to an endpoint that still has something due, up to its limit. */
class Lanes {
  readonly #open = new Map<string, Set<Promise<void>>>();

  /** Endpoints that get no more. */
  full(): string[] {
    return [...this.#open].filter(([, lanes]) => lanes.size >= lanesPerEndpoint).map(([id]) => id);
  }

  add(endpointId: string, lane: Promise<void>): void {
    const lanes = this.#open.get(endpointId) ?? new Set();
    this.#open.set(endpointId, lanes);
    const counted = lane.finally(() => {
      lanes.delete(counted);
      if (lanes.size === 0) this.#open.delete(endpointId);
    });
    lanes.add(counted);
  }

  async ended(): Promise<void> {
    await Promise.all([...this.#open.values()].flatMap((lanes) => [...lanes]));
  }
}

/** An address may hold a secret of its owner: ids only. */
function namesOf(delivery: Claimed) {
  return {
    deliveryId: delivery.id,
    endpointId: delivery.endpoint_id,
    type: delivery.type,
    try: delivery.tries,
  };
}

function answerOf({ statusCode, error }: Posted) {
  return { last_status_code: statusCode ?? null, last_error: error ?? null };
}

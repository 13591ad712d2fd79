/** Webhooks to the API client's own backend: who wants to hear of what, and one delivery per event and endpoint. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
CREATE TABLE webhook_endpoints (
  id text PRIMARY KEY,
  url text NOT NULL CHECK (length(url) <= 2000),
  events text[] NOT NULL CHECK (cardinality(events) > 0 AND events <@ ARRAY['booking.confirmed', 'booking.refunded', 'booking.expired',
    'booking.canceled', 'case.opened']),
  description text,
  secret text NOT NULL,
  old_secret text,
  old_secret_until timestamptz,
  status text NOT NULL DEFAULT 'enabled' CHECK (status IN ('enabled', 'disabled')),
  disabled_because text CHECK (disabled_because IN ('gone', 'failing')),
  request_hash text,
  created_at timestamptz NOT NULL DEFAULT now(),
  CHECK ((old_secret IS NULL) = (old_secret_until IS NULL)),
  CHECK ((status = 'disabled') = (disabled_because IS NOT NULL))
);
COMMENT ON TABLE webhook_endpoints IS 'Where the API client''s own backend is told what happens, by Standard Webhooks.';
COMMENT ON COLUMN webhook_endpoints.secret IS 'Signs every webhook; sealed by a key derived from APP_SECRET, so that neither the read-only role nor a backup can forge one.';
COMMENT ON COLUMN webhook_endpoints.old_secret IS 'The one before, which signs as well until old_secret_until: receivers change over in that time.';
COMMENT ON COLUMN webhook_endpoints.disabled_because IS 'gone: it answered 410. failing: it took nothing for the length of a whole schedule.';
COMMENT ON COLUMN webhook_endpoints.request_hash IS 'Hash of the creating body when an Idempotency-Key was given: an equal repeat answers this row, another body is refused.';

CREATE TABLE webhook_deliveries (
  id text PRIMARY KEY,
  endpoint_id text NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
  type text NOT NULL,
  subject text NOT NULL,
  data jsonb NOT NULL,
  occurred_at timestamptz NOT NULL DEFAULT now(),
  status text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'delivered', 'failed')),
  tries integer NOT NULL DEFAULT 0,
  step integer NOT NULL DEFAULT 0,
  next_try_at timestamptz DEFAULT now(),
  last_status_code integer,
  last_error text,
  delivered_at timestamptz,
  CONSTRAINT webhook_deliveries_once UNIQUE (endpoint_id, type, subject),
  CHECK ((status = 'queued') = (next_try_at IS NOT NULL))
);
COMMENT ON TABLE webhook_deliveries IS 'One event on its way to one endpoint, queued by triggers in the transaction that causes it; the courier posts it.';
COMMENT ON COLUMN webhook_deliveries.id IS 'The webhook-id that receivers see: the same over retries and repeats.';
COMMENT ON COLUMN webhook_deliveries.subject IS 'The booking or case it tells of. A booking is confirmed, refunded, expired or canceled at most once, as its receivers see it.';
COMMENT ON COLUMN webhook_deliveries.data IS 'Ids and states only: a receiver reads the rest from the API, with its own rights.';
COMMENT ON COLUMN webhook_deliveries.tries IS 'Posts begun, ever. An answer counts only for the newest.';
COMMENT ON COLUMN webhook_deliveries.step IS 'Posts begun since it was queued or repeated: the place in the schedule.';
COMMENT ON COLUMN webhook_deliveries.next_try_at IS 'When the courier takes it up. While a post is under way, when it counts as lost.';
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (endpoint_id, occurred_at DESC, id);

CREATE FUNCTION queue_webhooks(in_type text, in_subject text, in_data jsonb) RETURNS void LANGUAGE sql AS $$
  INSERT INTO webhook_deliveries (id, endpoint_id, type, subject, data)
    SELECT 'whd_' || left(encode(sha256(convert_to(concat_ws(' ', e.id, in_type, in_subject), 'UTF8')), 'hex'), 24),
      e.id, in_type, in_subject, jsonb_strip_nulls(in_data)
    FROM webhook_endpoints AS e WHERE e.status = 'enabled' AND in_type = ANY (e.events)
    -- Locked, so that an endpoint that is deleted or disabled this moment is skipped rather than missed: what causes an
    -- event must never fail by its telling.
    ORDER BY e.id FOR SHARE
    ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION queue_webhooks IS 'Queues one event for every endpoint that wants it; the same event again changes nothing.';

CREATE FUNCTION tell_of_attempt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  -- Settling passes here. Where nobody listens, it costs a look at an empty table.
  IF EXISTS (SELECT FROM webhook_endpoints) THEN
    -- A confirmed booking that is called off is canceled at once, and refunded once the money is back.
    PERFORM queue_webhooks('booking.' || CASE NEW.status WHEN 'refunding' THEN 'canceled' ELSE NEW.status END, NEW.booking_id,
      jsonb_build_object('bookingId', NEW.booking_id,
        'reference', (SELECT b.reference FROM bookings AS b WHERE b.id = NEW.booking_id),
        'status', NEW.status, 'version', NEW.version));
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION tell_of_attempt IS 'Whoever changes an attempt''s status, no event is forgotten, and none is told of that is rolled back.';
CREATE TRIGGER attempts_tell AFTER UPDATE OF status ON attempts FOR EACH ROW
  WHEN (OLD.status <> NEW.status AND (NEW.status IN ('confirmed', 'refunded', 'expired', 'canceled')
    OR OLD.status = 'confirmed' AND NEW.status = 'refunding'))
  EXECUTE FUNCTION tell_of_attempt();

CREATE FUNCTION tell_of_case() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM queue_webhooks('case.opened', NEW.id,
    jsonb_build_object('caseId', NEW.id, 'kind', NEW.kind, 'bookingId', NEW.booking_id));
  RETURN NULL;
END $$;
COMMENT ON FUNCTION tell_of_case IS 'Every new case is told of, whoever opens it.';
CREATE TRIGGER cases_tell AFTER INSERT ON cases FOR EACH ROW EXECUTE FUNCTION tell_of_case();

CREATE FUNCTION stop_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE webhook_deliveries SET status = 'failed', next_try_at = NULL, last_error = 'endpoint-disabled'
    WHERE endpoint_id = NEW.id AND status = 'queued';
  RETURN NULL;
END $$;
COMMENT ON FUNCTION stop_deliveries IS 'Nothing waits for an endpoint that is told nothing any more; what it missed can be repeated once it is enabled.';
CREATE TRIGGER webhook_endpoints_stop AFTER UPDATE OF status ON webhook_endpoints FOR EACH ROW
  WHEN (OLD.status <> NEW.status AND NEW.status = 'disabled') EXECUTE FUNCTION stop_deliveries();
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
DROP TRIGGER attempts_tell ON attempts;
DROP TRIGGER cases_tell ON cases;
DROP TABLE webhook_deliveries, webhook_endpoints;
DROP FUNCTION stop_deliveries(), tell_of_case(), tell_of_attempt(), queue_webhooks(text, text, jsonb);
`);
}

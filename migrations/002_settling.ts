/**
 * Settling in one round trip: while seats are locked, no message crosses the network. Called by the activities
 * `settle` and `reconcile` only.
 */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
CREATE FUNCTION take_seats(in_booking_id text, in_items jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  wanted record;
  caught integer[];
BEGIN
  -- First look: take what nobody else is taking. Buyers of different seats never wait for each other here.
  BEGIN
    FOR wanted IN
      SELECT item ->> 'offeringId' AS offering_id, (item ->> 'seats')::integer AS seats
      FROM jsonb_array_elements(in_items) AS item ORDER BY 1
    LOOP
      SELECT array_agg(seat_no) INTO caught FROM (
        SELECT seat_no FROM seats WHERE offering_id = wanted.offering_id AND booking_id IS NULL
        ORDER BY seat_no LIMIT wanted.seats FOR UPDATE SKIP LOCKED) AS free;
      IF coalesce(cardinality(caught), 0) < wanted.seats THEN
        RAISE EXCEPTION 'too few seats' USING ERRCODE = 'PF001';
      END IF;
      UPDATE seats SET booking_id = in_booking_id
        WHERE offering_id = wanted.offering_id AND seat_no = ANY (caught);
    END LOOP;
    RETURN true;
  EXCEPTION WHEN SQLSTATE 'PF001' THEN
    -- The block's savepoint has given the partial catch back: waiting with it in hand would deadlock. So would waiting
    -- for a single seat without it: a seat that was sold since this statement's snapshot is skipped, but stays locked.
  END;
  -- Second look, waiting: a seat locked by a transaction that then rolls back is a free seat, so only this one is final.
  -- Offerings and seats are locked in one order everywhere, so waiters form no circle.
  BEGIN
    FOR wanted IN
      SELECT item ->> 'offeringId' AS offering_id, (item ->> 'seats')::integer AS seats
      FROM jsonb_array_elements(in_items) AS item ORDER BY 1
    LOOP
      SELECT array_agg(seat_no) INTO caught FROM (
        SELECT seat_no FROM seats WHERE offering_id = wanted.offering_id AND booking_id IS NULL
        ORDER BY seat_no LIMIT wanted.seats FOR UPDATE) AS free;
      IF coalesce(cardinality(caught), 0) < wanted.seats THEN
        RAISE EXCEPTION 'too few seats' USING ERRCODE = 'PF001';
      END IF;
      UPDATE seats SET booking_id = in_booking_id
        WHERE offering_id = wanted.offering_id AND seat_no = ANY (caught);
    END LOOP;
    RETURN true;
  EXCEPTION WHEN SQLSTATE 'PF001' THEN
    RETURN false;
  END;
END $$;
COMMENT ON FUNCTION take_seats(text, jsonb) IS 'Takes every seat of a quote or none, and says whether it did.';

CREATE FUNCTION hear_events(in_heard jsonb) RETURNS void LANGUAGE sql AS $$
  INSERT INTO gateway_events (gateway, event_id, type, gateway_ref, booking_id, heard_at)
    SELECT gateway, "eventId", type, ref, "bookingId", "heardAt"
    FROM jsonb_to_recordset(in_heard)
      AS heard (gateway text, "eventId" text, type text, ref text, "bookingId" text, "heardAt" timestamptz)
  ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION hear_events(jsonb) IS 'Keeps what doorbells carried; the same event twice is one row.';

CREATE FUNCTION settle_payment(
  in_booking_id text, in_gateway text, in_ref text, in_charge text, in_amount_minor integer, in_currency text,
  in_payment_id text, in_refund_id text, in_references text[]
) RETURNS TABLE (status text, refund_id text, newly boolean) LANGUAGE plpgsql AS $$
DECLARE
  attempt attempts%ROWTYPE;
  known payments%ROWTYPE;
  refusal text;
BEGIN
  -- The attempt's row comes first in every transaction: a local activity that timed out may still be running, and
  -- whoever comes second finds here what the other did.
  SELECT * INTO attempt FROM attempts AS a WHERE a.booking_id = in_booking_id FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'Bug: settling % without an attempt', in_booking_id;
  END IF;
  SELECT * INTO known FROM payments AS p WHERE p.gateway = in_gateway AND p.gateway_payment_id = in_charge;
  IF FOUND THEN
    RETURN QUERY SELECT attempt.status,
      (SELECT r.id FROM refunds AS r WHERE r.payment_id = known.id AND r.status <> 'succeeded' LIMIT 1), false;
    RETURN;
  END IF;

  IF attempt.status NOT IN ('awaiting_payment', 'processing') THEN
    refusal := CASE WHEN EXISTS (SELECT FROM payments AS p WHERE p.booking_id = in_booking_id)
      THEN 'second-payment' ELSE 'late-payment' END;
  ELSIF in_amount_minor <> attempt.total_minor OR in_currency <> attempt.currency THEN
    refusal := 'amount-mismatch';
  ELSIF EXISTS (
    SELECT FROM jsonb_array_elements(attempt.quote -> 'items') AS item
    JOIN offerings AS o ON o.id = item ->> 'offeringId'
    WHERE o.status <> 'open' OR o.starts_at <= now()
  ) THEN
    refusal := 'offering-closed';
  ELSE
    BEGIN
      INSERT INTO bookings (id, reference, customer_id, status, total_minor, currency)
        SELECT in_booking_id, candidate, attempt.customer_id, 'confirmed', attempt.total_minor, attempt.currency
        FROM unnest(in_references) WITH ORDINALITY AS candidates (candidate, n)
        WHERE NOT EXISTS (SELECT FROM bookings AS b WHERE b.reference = candidate)
        ORDER BY n LIMIT 1;
      INSERT INTO booking_items (booking_id, offering_id, seats, details)
        SELECT in_booking_id, item ->> 'offeringId', (item ->> 'seats')::integer, item -> 'details'
        FROM jsonb_array_elements(attempt.quote -> 'items') AS item;
      IF NOT take_seats(in_booking_id, attempt.quote -> 'items') THEN
        RAISE EXCEPTION 'too few seats' USING ERRCODE = 'PF002';
      END IF;
    EXCEPTION WHEN SQLSTATE 'PF002' THEN
      refusal := 'slot-unavailable';
    END;
  END IF;

  INSERT INTO payments (id, booking_id, gateway, gateway_ref, gateway_payment_id, amount_minor, currency, status, disposition)
    VALUES (in_payment_id, in_booking_id, in_gateway, in_ref, in_charge, in_amount_minor, in_currency, 'captured',
      CASE WHEN refusal IS NULL THEN 'booked' ELSE 'returned' END);
  UPDATE payment_tries AS t SET status = 'paid', next_look_at = NULL
    WHERE t.booking_id = in_booking_id AND t.gateway = in_gateway AND t.gateway_ref = in_ref;

  IF refusal IS NULL THEN
    UPDATE attempts AS a SET status = 'confirmed', failure = NULL, ended_at = now() WHERE a.booking_id = in_booking_id;
    INSERT INTO messages (booking_id, kind, recipient, locale)
      VALUES (in_booking_id, 'booking-confirmed', attempt.contact ->> 'email', attempt.contact ->> 'locale');
    RETURN QUERY SELECT 'confirmed', NULL::text, true;
    RETURN;
  END IF;

  -- The net under the workflow that sends it: should nobody have sent the refund in a minute, the payment watch asks why.
  INSERT INTO refunds (id, payment_id, amount_minor, status, reason, next_look_at)
    VALUES (in_refund_id, in_payment_id, in_amount_minor, 'unsent', refusal, now() + interval '1 minute');
  UPDATE attempts AS a SET
      status = CASE WHEN a.status IN ('awaiting_payment', 'processing') THEN 'refunding' ELSE a.status END,
      failure = CASE WHEN a.status IN ('awaiting_payment', 'processing')
        THEN jsonb_build_object('type', refusal) ELSE a.failure END
    WHERE a.booking_id = in_booking_id
    RETURNING a.status INTO attempt.status;
  RETURN QUERY SELECT attempt.status, in_refund_id, true;
END $$;
COMMENT ON FUNCTION settle_payment IS 'Decides what one captured payment buys: the booking, or a refund row with its reason. Asking again about the same payment answers what was decided.';
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
DROP FUNCTION settle_payment, hear_events(jsonb), take_seats(text, jsonb);
`);
}

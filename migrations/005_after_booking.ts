/** Life after "confirmed": cancellation by policy, offerings called off, money taken back at the gateway. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
ALTER TABLE offerings
  DROP CONSTRAINT offerings_status_check,
  ADD CONSTRAINT offerings_status_check CHECK (status IN ('open', 'closed', 'canceled')),
  ADD COLUMN refund_until_seconds integer NOT NULL DEFAULT 0 CHECK (refund_until_seconds BETWEEN 0 AND 31536000),
  ADD COLUMN refund_percent integer NOT NULL DEFAULT 100 CHECK (refund_percent BETWEEN 0 AND 100);
COMMENT ON COLUMN offerings.refund_until_seconds IS 'A customer may cancel until this long before the start. A consultation has no start and cannot be canceled.';
COMMENT ON COLUMN offerings.refund_percent IS 'What comes back then, of what was paid; a provider''s own cancellation gives everything back.';
CREATE TRIGGER offerings_stay_canceled BEFORE UPDATE ON offerings FOR EACH ROW
  WHEN (OLD.status = 'canceled' AND NEW.status <> 'canceled') EXECUTE FUNCTION refuse('what is called off stays so');
COMMENT ON TRIGGER offerings_stay_canceled ON offerings IS 'Its bookings are being given back; new ones would be as well.';

ALTER TABLE bookings
  DROP CONSTRAINT bookings_status_check,
  ADD CONSTRAINT bookings_status_check CHECK (status IN ('confirmed', 'canceled')),
  ADD COLUMN canceled_at timestamptz,
  ADD CONSTRAINT bookings_canceled_once CHECK ((status = 'canceled') = (canceled_at IS NOT NULL));
COMMENT ON COLUMN bookings.canceled_at IS 'When its seats were freed, by the customer or by the provider.';

CREATE INDEX attempts_open ON attempts (started_at) WHERE status IN ('awaiting_payment', 'processing');

ALTER TABLE refunds DROP CONSTRAINT refunds_payment_id_reason_key;
CREATE UNIQUE INDEX refunds_once_per_reason ON refunds (payment_id, reason) WHERE reason <> 'external';
COMMENT ON INDEX refunds_once_per_reason IS 'The same cause gives money back once. What others send back may come in several parts.';

ALTER TABLE messages
  DROP CONSTRAINT messages_kind_check,
  ADD CONSTRAINT messages_kind_check CHECK (kind IN ('booking-confirmed', 'payment-refunded', 'refund-failed', 'provider-booked',
    'booking-canceled', 'provider-canceled'));
ALTER TABLE cases
  DROP CONSTRAINT cases_kind_check,
  ADD CONSTRAINT cases_kind_check CHECK (kind IN ('refund-failed', 'refund-overdue', 'unmatched-payment', 'message-failed',
    'external-refund', 'dispute', 'difference'));
DROP INDEX cases_one_open_per_payment;
CREATE UNIQUE INDEX cases_one_open_per_payment ON cases (payment_id, kind, (coalesce(refund_id, '')))
  WHERE resolved_at IS NULL AND payment_id IS NOT NULL AND kind <> 'difference';
COMMENT ON INDEX cases_one_open_per_payment IS 'The same matter is asked once at a time. A dispute, and a refund that it stops, are two. A day may show several differences.';

CREATE OR REPLACE FUNCTION lock_customer(in_customer_id text, in_items jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  wanted record;
  any_rule boolean := false;
BEGIN
  FOR wanted IN
    SELECT o.id, o.hold_seconds IS NOT NULL OR o.seats_per_customer IS NOT NULL AS ruled
    FROM jsonb_array_elements(in_items) AS item JOIN offerings AS o ON o.id = item ->> 'offeringId' ORDER BY 1
  LOOP
    -- Shared, so bookings do not wait for each other: whoever calls the offering off waits for those under way, and finds them.
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(wanted.id, 0));
    IF wanted.ruled THEN
      any_rule := true;
      PERFORM pg_advisory_xact_lock(hashtextextended(wanted.id || ' ' || in_customer_id, 0));
    END IF;
  END LOOP;
  RETURN any_rule;
END $$;
COMMENT ON FUNCTION lock_customer IS 'Where an offering has rules per customer, one transaction of that customer at a time; says whether there are any. Others do not wait, but nobody calls an offering off meanwhile.';

CREATE FUNCTION cancel_booking(in_booking_id text, in_refund_id text, in_by text, in_why text)
RETURNS TABLE (refusal text, newly boolean) LANGUAGE plpgsql AS $$
DECLARE
  attempt attempts%ROWTYPE;
  payment payments%ROWTYPE;
  back_minor bigint;
  until_passed boolean;
BEGIN
  SELECT * INTO attempt FROM attempts AS a WHERE a.booking_id = in_booking_id FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'Bug: canceling % without an attempt', in_booking_id;
  END IF;
  IF attempt.status <> 'confirmed' THEN
    RETURN QUERY SELECT CASE WHEN attempt.status IN ('refunding', 'refunded', 'canceled') THEN NULL ELSE 'not-cancelable' END, false;
    RETURN;
  END IF;
  SELECT bool_or(coalesce(o.starts_at - make_interval(secs => o.refund_until_seconds) <= now(), true)),
      floor(sum((item ->> 'priceMinor')::bigint * (item ->> 'seats')::integer
        * CASE in_by WHEN 'customer' THEN o.refund_percent ELSE 100 END) / 100)
    INTO until_passed, back_minor
    FROM jsonb_array_elements(attempt.quote -> 'items') AS item JOIN offerings AS o ON o.id = item ->> 'offeringId';
  IF in_by = 'customer' AND until_passed THEN
    RETURN QUERY SELECT 'not-cancelable', false;
    RETURN;
  END IF;

  UPDATE bookings AS b SET status = 'canceled', canceled_at = now() WHERE b.id = in_booking_id;
  -- In the order in which everybody locks seats.
  PERFORM FROM seats AS s WHERE s.booking_id = in_booking_id ORDER BY s.offering_id, s.seat_no FOR UPDATE;
  UPDATE seats AS s SET booking_id = NULL WHERE s.booking_id = in_booking_id;
  SELECT * INTO payment FROM payments AS p WHERE p.booking_id = in_booking_id AND p.disposition = 'booked' FOR UPDATE;
  -- What others have sent back already cannot come back twice.
  back_minor := least(back_minor, payment.amount_minor - payment.refunded_minor);
  UPDATE attempts AS a SET status = 'refunding', cancel_reason = in_why WHERE a.booking_id = in_booking_id;
  IF back_minor > 0 THEN
    INSERT INTO refunds (id, payment_id, amount_minor, status, reason, next_look_at)
      VALUES (in_refund_id, payment.id, back_minor, 'unsent', 'canceled-by-' || in_by, now() + interval '1 minute');
  ELSE
    UPDATE attempts AS a SET status = 'refunded' WHERE a.booking_id = in_booking_id;
  END IF;
  INSERT INTO messages (booking_id, kind, recipient, locale)
    VALUES (in_booking_id, 'booking-canceled', attempt.contact ->> 'email', attempt.contact ->> 'locale');
  INSERT INTO messages (booking_id, kind, recipient, locale, provider_ids)
    SELECT in_booking_id, 'provider-canceled', p.email, min(p.locale), array_agg(p.id) FROM providers AS p
    WHERE p.id IN (SELECT o.provider_id FROM jsonb_array_elements(attempt.quote -> 'items') AS item
      JOIN offerings AS o ON o.id = item ->> 'offeringId')
    GROUP BY p.email;
  RETURN QUERY SELECT NULL::text, true;
END $$;
CREATE FUNCTION stand_again(in_booking_id text, in_refund_id text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  called_off boolean;
BEGIN
  UPDATE attempts AS a SET status = 'confirmed' FROM bookings AS b
    WHERE a.booking_id = in_booking_id AND a.status = 'needs_attention' AND b.id = a.booking_id AND b.status = 'confirmed';
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  -- As a booking does: whoever calls the offering off now finds this one confirmed, or it finds the offering called off.
  PERFORM pg_advisory_xact_lock_shared(hashtextextended(wanted.offering_id, 0))
    FROM (SELECT i.offering_id FROM booking_items AS i WHERE i.booking_id = in_booking_id ORDER BY 1) AS wanted;
  SELECT bool_or(o.status = 'canceled') INTO called_off
    FROM booking_items AS i JOIN offerings AS o ON o.id = i.offering_id WHERE i.booking_id = in_booking_id;
  IF called_off THEN
    PERFORM cancel_booking(in_booking_id, in_refund_id, 'provider', NULL);
  END IF;
  RETURN called_off;
END $$;
COMMENT ON FUNCTION stand_again IS 'A booking that a case had stopped stands again; if an offering of it was called off meanwhile, it is undone like the others. Says whether it was.';
CREATE FUNCTION call_off(in_offering_id text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- Bookings hold this lock shared until they commit: after it, each is there to be undone, and no other can come.
  PERFORM pg_advisory_xact_lock(hashtextextended(in_offering_id, 0));
  UPDATE offerings SET status = 'canceled' WHERE id = in_offering_id AND status <> 'canceled';
END $$;
COMMENT ON FUNCTION call_off(text) IS 'Closes an offering for good. When it returns, no booking of it is under way.';
COMMENT ON FUNCTION cancel_booking IS 'Undoes a confirmed booking: frees its seats and writes what goes back, by the policy for a customer, in full for a provider. Says why not; canceling again is granted.';
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
DROP FUNCTION stand_again, cancel_booking, call_off(text);
CREATE OR REPLACE FUNCTION lock_customer(in_customer_id text, in_items jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  offering_id text;
  any_rule boolean := false;
BEGIN
  FOR offering_id IN
    SELECT o.id FROM jsonb_array_elements(in_items) AS item JOIN offerings AS o ON o.id = item ->> 'offeringId'
    WHERE o.hold_seconds IS NOT NULL OR o.seats_per_customer IS NOT NULL ORDER BY 1
  LOOP
    any_rule := true;
    PERFORM pg_advisory_xact_lock(hashtextextended(offering_id || ' ' || in_customer_id, 0));
  END LOOP;
  RETURN any_rule;
END $$;
COMMENT ON FUNCTION lock_customer IS 'Where an offering has rules per customer, one transaction of that customer at a time; says whether there are any. Others do not wait.';
DROP INDEX cases_one_open_per_payment;
CREATE UNIQUE INDEX cases_one_open_per_payment ON cases (payment_id) WHERE resolved_at IS NULL AND payment_id IS NOT NULL;
COMMENT ON INDEX cases_one_open_per_payment IS 'Money is in at most one open case, or the balance would count it twice.';
ALTER TABLE cases
  DROP CONSTRAINT cases_kind_check,
  ADD CONSTRAINT cases_kind_check CHECK (kind IN ('refund-failed', 'refund-overdue', 'unmatched-payment', 'message-failed'));
ALTER TABLE messages
  DROP CONSTRAINT messages_kind_check,
  ADD CONSTRAINT messages_kind_check CHECK (kind IN ('booking-confirmed', 'payment-refunded', 'refund-failed', 'provider-booked'));
DROP INDEX refunds_once_per_reason;
ALTER TABLE refunds ADD CONSTRAINT refunds_payment_id_reason_key UNIQUE (payment_id, reason);
DROP INDEX attempts_open;
ALTER TABLE bookings
  DROP COLUMN canceled_at,
  DROP CONSTRAINT bookings_status_check,
  ADD CONSTRAINT bookings_status_check CHECK (status IN ('confirmed'));
DROP TRIGGER offerings_stay_canceled ON offerings;
ALTER TABLE offerings
  DROP COLUMN refund_until_seconds,
  DROP COLUMN refund_percent,
  DROP CONSTRAINT offerings_status_check,
  ADD CONSTRAINT offerings_status_check CHECK (status IN ('open', 'closed'));
`);
}

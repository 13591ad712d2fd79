/**
 * One settlement for every way to book: gateway money, wallet money and no money at all go through the same function,
 * `book`, which alone takes seats and writes bookings. Locks are taken in one order everywhere: the attempt, its cart, the
 * customer at an offering, the wallet, seats by offering and number.
 */
import type { Knex } from 'knex';
import * as settling from './002_settling';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
CREATE FUNCTION seats_free(in_offering_id text, in_customer_id text) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT count(*) FROM seats AS s
  WHERE s.offering_id = in_offering_id AND s.booking_id IS NULL
    AND (s.held_until IS NULL OR s.held_until <= now() OR s.held_by IN
      (SELECT h.booking_id FROM holds AS h WHERE h.offering_id = in_offering_id AND h.customer_id = in_customer_id))
$$;
COMMENT ON FUNCTION seats_free IS 'Seats this customer could have: neither booked nor held by somebody else. Without a customer, what the public sees.';

DROP FUNCTION take_seats(text, jsonb);
CREATE FUNCTION take_seats(in_booking_id text, in_items jsonb, in_own text[], in_hold_until timestamptz)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  waiting boolean;
  wanted record;
  caught integer[];
BEGIN
  -- First look: take what nobody else is taking, so buyers of different seats never wait for each other. Second look,
  -- waiting: a seat locked by a transaction that then rolls back is a free seat, so only this one is final. Offerings and
  -- seats are locked in one order everywhere, so waiters form no circle.
  FOREACH waiting IN ARRAY ARRAY[false, true] LOOP
    BEGIN
      FOR wanted IN
        SELECT item ->> 'offeringId' AS offering_id, (item ->> 'seats')::integer AS seats
        FROM jsonb_array_elements(in_items) AS item WHERE item ->> 'kind' IS DISTINCT FROM 'consultation' ORDER BY 1
      LOOP
        IF waiting THEN
          SELECT array_agg(seat_no) INTO caught FROM (
            SELECT seat_no FROM seats WHERE offering_id = wanted.offering_id AND booking_id IS NULL
              AND (held_until IS NULL OR held_until <= now() OR held_by = ANY (in_own))
            ORDER BY seat_no LIMIT wanted.seats FOR UPDATE) AS free;
        ELSE
          SELECT array_agg(seat_no) INTO caught FROM (
            SELECT seat_no FROM seats WHERE offering_id = wanted.offering_id AND booking_id IS NULL
              AND (held_until IS NULL OR held_until <= now() OR held_by = ANY (in_own))
            ORDER BY seat_no LIMIT wanted.seats FOR UPDATE SKIP LOCKED) AS free;
        END IF;
        IF coalesce(cardinality(caught), 0) < wanted.seats THEN
          RAISE EXCEPTION 'too few seats' USING ERRCODE = 'PF001';
        END IF;
        UPDATE seats SET
            booking_id = CASE WHEN in_hold_until IS NULL THEN in_booking_id END,
            held_by = CASE WHEN in_hold_until IS NOT NULL THEN in_booking_id END,
            held_until = in_hold_until
          WHERE offering_id = wanted.offering_id AND seat_no = ANY (caught);
      END LOOP;
      RETURN true;
    EXCEPTION WHEN SQLSTATE 'PF001' THEN
      -- The block's savepoint has given the partial catch back: waiting with it in hand would deadlock. So would waiting
      -- for a single seat without it: a seat that was sold since this statement's snapshot is skipped, but stays locked.
    END;
  END LOOP;
  RETURN false;
END $$;
COMMENT ON FUNCTION take_seats IS 'Takes every seat of a quote or none, and says whether it did: for good, or as a hold until that instant. in_own: attempts whose live holds count as free here.';

CREATE FUNCTION let_seats_go(in_held_by text, in_offering_id text) RETURNS void LANGUAGE sql AS $$
  -- Skipped: a seat that somebody has locked this moment, because its hold ran out or moved on, or was not there yet when
  -- they looked. It is free when the hold's time is up.
  UPDATE seats SET held_by = NULL, held_until = NULL
    WHERE (offering_id, seat_no) IN (
      SELECT s.offering_id, s.seat_no FROM seats AS s
      WHERE s.held_by = in_held_by AND (in_offering_id IS NULL OR s.offering_id = in_offering_id)
      FOR UPDATE SKIP LOCKED)
$$;
COMMENT ON FUNCTION let_seats_go IS 'Ends the hold of an attempt on the seats of one offering, or of all.';

CREATE FUNCTION end_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM lock_customer(NEW.customer_id, NEW.quote -> 'items');
  UPDATE holds SET held_until = now() WHERE booking_id = NEW.booking_id AND held_until > now();
  IF NEW.status <> 'confirmed' THEN
    -- Waits for whoever looked at a seat before it was held: that one keeps it locked till its end, and cannot have it.
    -- A booking just made has seats in hand, so it must not wait; what is skipped then is free when the hold's time is up.
    PERFORM FROM seats AS s WHERE s.held_by = NEW.booking_id ORDER BY s.offering_id, s.seat_no FOR UPDATE;
  END IF;
  PERFORM let_seats_go(NEW.booking_id, NULL);
  RETURN NULL;
END $$;
COMMENT ON FUNCTION end_hold() IS 'An attempt that is over holds nothing, in the same transaction, whichever way it ended.';
CREATE TRIGGER attempts_end_hold AFTER UPDATE OF status ON attempts FOR EACH ROW
  WHEN (OLD.hold_until IS NOT NULL AND OLD.status IN ('awaiting_payment', 'processing')
    AND NEW.status NOT IN ('awaiting_payment', 'processing'))
  EXECUTE FUNCTION end_hold();

CREATE FUNCTION lock_customer(in_customer_id text, in_items jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
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

CREATE FUNCTION refusal_of(attempt attempts) RETURNS text LANGUAGE sql STABLE AS $$
  SELECT CASE
    WHEN EXISTS (SELECT FROM carts AS c WHERE c.id = attempt.cart_id AND c.booking_id IS NOT NULL) THEN 'cart-converted'
    WHEN bool_or(o.status <> 'open' OR coalesce(o.starts_at <= now(), false)) THEN 'offering-closed'
    WHEN bool_or(o.seats_per_customer < (item ->> 'seats')::integer + (
      SELECT count(*) FROM seats AS s JOIN bookings AS b ON b.id = s.booking_id
      WHERE o.seats_per_customer IS NOT NULL AND s.offering_id = o.id AND b.customer_id = attempt.customer_id))
      THEN 'seats-per-customer'
  END
  FROM jsonb_array_elements(attempt.quote -> 'items') AS item JOIN offerings AS o ON o.id = item ->> 'offeringId'
$$;
COMMENT ON FUNCTION refusal_of IS 'Why an attempt''s quote could not be booked now, whatever seats are free; null when nothing speaks against it.';

CREATE FUNCTION hold_seats(in_booking_id text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  attempt attempts%ROWTYPE;
  claimed jsonb;
  own text[];
  until timestamptz;
  in_a_minute timestamptz := now() + interval '60 seconds';
BEGIN
  SELECT * INTO attempt FROM attempts AS a WHERE a.booking_id = in_booking_id;
  PERFORM lock_customer(attempt.customer_id, attempt.quote -> 'items');
  -- A live hold of the customer is taken over with its old end. After the end of one, there is none for as long as it is.
  -- The 60 seconds are for settling what was paid in the last moment of the window: a hold that has come to them leaves no
  -- window to take over. Nor does one that ended since this transaction began, although it ends after now().
  SELECT jsonb_agg(item), array_agg(h.booking_id) FILTER (WHERE h.held_until > in_a_minute),
      min(CASE WHEN h.held_until > in_a_minute THEN h.held_until ELSE now() + make_interval(secs => o.hold_seconds + 60) END)
    INTO claimed, own, until
    FROM jsonb_array_elements(attempt.quote -> 'items') AS item
    JOIN offerings AS o ON o.id = item ->> 'offeringId'
    LEFT JOIN holds AS h ON h.offering_id = o.id AND h.customer_id = attempt.customer_id
    WHERE o.hold_seconds IS NOT NULL
      AND (h.held_until IS NULL OR h.held_until > in_a_minute OR h.held_until + make_interval(secs => o.hold_seconds) <= now());
  IF claimed IS NULL THEN
    RETURN true;
  END IF;
  IF NOT take_seats(in_booking_id, claimed, coalesce(own, '{}'), until) THEN
    RETURN false;
  END IF;
  PERFORM let_seats_go(h.booking_id, h.offering_id) FROM holds AS h
    WHERE h.customer_id = attempt.customer_id AND h.booking_id = ANY (own)
      AND h.offering_id IN (SELECT item ->> 'offeringId' FROM jsonb_array_elements(claimed) AS item);
  INSERT INTO holds AS h (offering_id, customer_id, booking_id, held_until)
    SELECT item ->> 'offeringId', attempt.customer_id, in_booking_id, until FROM jsonb_array_elements(claimed) AS item
    ON CONFLICT (offering_id, customer_id) DO UPDATE SET booking_id = in_booking_id, held_until = until;
  UPDATE attempts AS a SET hold_until = until WHERE a.booking_id = in_booking_id;
  RETURN true;
END $$;
COMMENT ON FUNCTION hold_seats IS 'Holds the seats of a new attempt where its offerings ask for it. False: there are too few.';

CREATE FUNCTION move_wallet_money(
  in_id text, in_kind text, in_customer_id text, in_currency text, in_amount_minor integer, in_booking_id text,
  in_note text, in_request_hash text, in_made_by text DEFAULT NULL
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO wallets (customer_id, currency) VALUES (in_customer_id, in_currency) ON CONFLICT DO NOTHING;
  PERFORM FROM wallets AS w WHERE w.customer_id = in_customer_id AND w.currency = in_currency FOR UPDATE;
  IF EXISTS (SELECT FROM wallet_entries AS e WHERE e.id = in_id) THEN
    RETURN false;
  END IF;
  INSERT INTO wallet_entries (id, account, customer_id, currency, amount_minor, kind, booking_id, note, request_hash, made_by) VALUES
    (in_id, 'customer', in_customer_id, in_currency, in_amount_minor, in_kind, in_booking_id, in_note, in_request_hash, in_made_by),
    (in_id, CASE in_kind WHEN 'credit' THEN 'issued' ELSE 'spent' END, NULL, in_currency, -in_amount_minor, in_kind,
      in_booking_id, in_note, in_request_hash, in_made_by);
  RETURN true;
END $$;
COMMENT ON FUNCTION move_wallet_money IS 'Moves money into a wallet (above zero) or out of it (below), both sides at once. False: this movement was made before.';

CREATE FUNCTION book(attempt attempts, in_entry_id text, in_references text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  items jsonb := attempt.quote -> 'items';
  own text[] := ARRAY[attempt.booking_id];
  refusal text;
BEGIN
  IF attempt.cart_id IS NOT NULL THEN
    PERFORM FROM carts AS c WHERE c.id = attempt.cart_id FOR UPDATE;
  END IF;
  IF lock_customer(attempt.customer_id, items) THEN
    -- A hold of the same customer on the same offering serves this attempt, too.
    own := own || array(SELECT h.booking_id FROM holds AS h WHERE h.customer_id = attempt.customer_id
      AND h.offering_id IN (SELECT item ->> 'offeringId' FROM jsonb_array_elements(items) AS item));
  END IF;
  refusal := refusal_of(attempt);
  IF refusal IS NOT NULL THEN
    RETURN refusal;
  END IF;
  BEGIN
    INSERT INTO bookings (id, reference, customer_id, status, total_minor, currency)
      SELECT attempt.booking_id, candidate, attempt.customer_id, 'confirmed', attempt.total_minor, attempt.currency
      FROM unnest(in_references) WITH ORDINALITY AS candidates (candidate, n)
      WHERE NOT EXISTS (SELECT FROM bookings AS b WHERE b.reference = candidate)
      ORDER BY n LIMIT 1;
    INSERT INTO booking_items (booking_id, offering_id, seats, details)
      SELECT attempt.booking_id, item ->> 'offeringId', (item ->> 'seats')::integer, item -> 'details'
      FROM jsonb_array_elements(items) AS item;
    UPDATE carts AS c SET booking_id = attempt.booking_id WHERE c.id = attempt.cart_id;
    IF in_entry_id IS NOT NULL THEN
      PERFORM FROM wallets AS w WHERE w.customer_id = attempt.customer_id AND w.currency = attempt.currency
        AND w.balance_minor >= attempt.total_minor FOR UPDATE;
      IF NOT FOUND THEN
        RAISE EXCEPTION 'insufficient-funds' USING ERRCODE = 'PF002';
      END IF;
      PERFORM move_wallet_money(in_entry_id, 'payment', attempt.customer_id, attempt.currency, -attempt.total_minor,
        attempt.booking_id, NULL, NULL);
    END IF;
    IF NOT take_seats(attempt.booking_id, items, own, NULL) THEN
      RAISE EXCEPTION 'slot-unavailable' USING ERRCODE = 'PF002';
    END IF;
  EXCEPTION WHEN SQLSTATE 'PF002' THEN
    RETURN SQLERRM;
  END;
  IF cardinality(own) > 1 THEN
    UPDATE holds AS h SET held_until = now() WHERE h.customer_id = attempt.customer_id AND h.held_until > now()
      AND h.offering_id IN (SELECT item ->> 'offeringId' FROM jsonb_array_elements(items) AS item);
    PERFORM let_seats_go(holder, item ->> 'offeringId') FROM unnest(own) AS holder, jsonb_array_elements(items) AS item;
  END IF;
  INSERT INTO messages (booking_id, kind, recipient, locale)
    VALUES (attempt.booking_id, 'booking-confirmed', attempt.contact ->> 'email', attempt.contact ->> 'locale');
  INSERT INTO messages (booking_id, kind, recipient, locale, provider_ids)
    SELECT attempt.booking_id, 'provider-booked', p.email, min(p.locale), array_agg(p.id) FROM providers AS p
    WHERE p.id IN (SELECT o.provider_id FROM jsonb_array_elements(items) AS item JOIN offerings AS o ON o.id = item ->> 'offeringId')
    GROUP BY p.email;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION book IS 'Makes the booking of an attempt, paid from the wallet where an entry''s id is given: seats, cart, money and messages, all or nothing. Returns why not, or null. The caller has locked the attempt.';

DROP FUNCTION settle_payment;
CREATE FUNCTION settle_payment(
  in_booking_id text, in_gateway text, in_ref text, in_charge text, in_amount_minor integer, in_currency text,
  in_payment_id text, in_refund_id text, in_references text[]
) RETURNS TABLE (status text, refund_id text, newly boolean, refusal text, reference text) LANGUAGE plpgsql AS $$
DECLARE
  attempt attempts%ROWTYPE;
  known payments%ROWTYPE;
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
      (SELECT r.id FROM refunds AS r WHERE r.payment_id = known.id AND r.status <> 'succeeded' LIMIT 1), false, NULL::text, NULL::text;
    RETURN;
  END IF;

  IF attempt.status NOT IN ('awaiting_payment', 'processing') THEN
    refusal := CASE WHEN EXISTS (SELECT FROM payments AS p WHERE p.booking_id = in_booking_id)
      THEN 'second-payment' ELSE 'late-payment' END;
  ELSIF in_amount_minor <> attempt.total_minor OR in_currency <> attempt.currency THEN
    refusal := 'amount-mismatch';
  ELSE
    refusal := book(attempt, NULL, in_references);
  END IF;

  INSERT INTO payments (id, booking_id, gateway, gateway_ref, gateway_payment_id, amount_minor, currency, status, disposition)
    VALUES (in_payment_id, in_booking_id, in_gateway, in_ref, in_charge, in_amount_minor, in_currency, 'captured',
      CASE WHEN refusal IS NULL THEN 'booked' ELSE 'returned' END);
  UPDATE payment_tries AS t SET status = 'paid', next_look_at = NULL
    WHERE t.booking_id = in_booking_id AND t.gateway = in_gateway AND t.gateway_ref = in_ref;

  IF refusal IS NULL THEN
    UPDATE attempts AS a SET status = 'confirmed', failure = NULL, ended_at = now() WHERE a.booking_id = in_booking_id;
    RETURN QUERY SELECT 'confirmed', NULL::text, true, NULL::text,
      (SELECT b.reference FROM bookings AS b WHERE b.id = in_booking_id);
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
  RETURN QUERY SELECT attempt.status, in_refund_id, true, refusal, NULL::text;
END $$;
COMMENT ON FUNCTION settle_payment IS 'Decides what one captured payment buys: the booking, or a refund row with its reason. Asking again about the same payment answers what was decided.';

CREATE FUNCTION settle_inside(in_booking_id text, in_payment_id text, in_entry_id text, in_references text[])
RETURNS TABLE (refusal text, reference text) LANGUAGE plpgsql AS $$
DECLARE
  attempt attempts%ROWTYPE;
BEGIN
  SELECT * INTO attempt FROM attempts AS a WHERE a.booking_id = in_booking_id FOR UPDATE;
  IF attempt.total_minor = 0 THEN
    in_entry_id := NULL;
  END IF;
  refusal := book(attempt, in_entry_id, in_references);
  IF refusal IS NOT NULL THEN
    UPDATE attempts AS a SET status = 'failed', failure = jsonb_build_object('type', refusal), ended_at = now()
      WHERE a.booking_id = in_booking_id;
    RETURN QUERY SELECT refusal, NULL::text;
    RETURN;
  END IF;
  IF in_entry_id IS NOT NULL THEN
    INSERT INTO payment_tries (booking_id, try, gateway, gateway_ref, status)
      VALUES (in_booking_id, 1, attempt.method, in_entry_id, 'paid');
    INSERT INTO payments (id, booking_id, gateway, gateway_ref, gateway_payment_id, amount_minor, currency, status, disposition)
      VALUES (in_payment_id, in_booking_id, attempt.method, in_entry_id, in_entry_id, attempt.total_minor, attempt.currency,
        'captured', 'booked');
  END IF;
  UPDATE attempts AS a SET status = 'confirmed', ended_at = now() WHERE a.booking_id = in_booking_id;
  RETURN QUERY SELECT NULL::text, b.reference FROM bookings AS b WHERE b.id = in_booking_id;
END $$;
COMMENT ON FUNCTION settle_inside IS 'Settles a new attempt whose money moves in this very transaction, or that costs nothing: why not, or the reference.';
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
DROP TRIGGER attempts_end_hold ON attempts;
DROP FUNCTION settle_payment, settle_inside, book, move_wallet_money, hold_seats, refusal_of, lock_customer, end_hold(),
  let_seats_go, take_seats(text, jsonb, text[], timestamptz), seats_free, hear_events(jsonb);
`);
  await settling.up(knex);
}

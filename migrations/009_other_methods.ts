/** Another way to pay for the same attempt: a retry may name one, the wallet included. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
DROP FUNCTION settle_inside;
CREATE FUNCTION settle_inside(in_booking_id text, in_method text, in_payment_id text, in_entry_id text, in_references text[])
RETURNS TABLE (refusal text, reference text) LANGUAGE plpgsql AS $$
DECLARE
  attempt attempts%ROWTYPE;
  tries_before integer;
BEGIN
  SELECT * INTO attempt FROM attempts AS a WHERE a.booking_id = in_booking_id FOR UPDATE;
  SELECT coalesce(max(t.try), 0) INTO tries_before FROM payment_tries AS t WHERE t.booking_id = in_booking_id;
  IF attempt.total_minor = 0 THEN
    in_entry_id := NULL;
  END IF;
  refusal := book(attempt, in_entry_id, in_references);
  IF refusal IS NOT NULL THEN
    IF tries_before = 0 THEN
      UPDATE attempts AS a SET status = 'failed', failure = jsonb_build_object('type', refusal), ended_at = now()
        WHERE a.booking_id = in_booking_id;
    END IF;
    RETURN QUERY SELECT refusal, NULL::text;
    RETURN;
  END IF;
  IF in_entry_id IS NOT NULL THEN
    INSERT INTO payment_tries (booking_id, try, gateway, gateway_ref, status)
      VALUES (in_booking_id, tries_before + 1, in_method, in_entry_id, 'paid');
    INSERT INTO payments (id, booking_id, gateway, gateway_ref, gateway_payment_id, amount_minor, currency, status, disposition)
      VALUES (in_payment_id, in_booking_id, in_method, in_entry_id, in_entry_id, attempt.total_minor, attempt.currency,
        'captured', 'booked');
  END IF;
  UPDATE attempts AS a SET status = 'confirmed', method = in_method, failure = NULL, ended_at = now(),
      tries = a.tries + CASE WHEN tries_before = 0 THEN 0 ELSE 1 END
    WHERE a.booking_id = in_booking_id;
  RETURN QUERY SELECT NULL::text, b.reference FROM bookings AS b WHERE b.id = in_booking_id;
END $$;
COMMENT ON FUNCTION settle_inside IS 'Settles an attempt whose money moves in this very transaction, or that costs nothing: why not, or the reference. A new one that is refused has failed; a retried one stays as it was.';
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
DROP FUNCTION settle_inside;
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

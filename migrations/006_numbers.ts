/** What numbers are counted from: failures stay on record when a later try succeeds, and support finds money by any of its ids. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
CREATE TABLE failures (
  booking_id text NOT NULL REFERENCES attempts,
  failure_no integer NOT NULL CHECK (failure_no >= 1),
  type text NOT NULL,
  failed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (booking_id, failure_no)
);
COMMENT ON TABLE failures IS 'Every failure an attempt has met, written by triggers. The attempt itself shows the last one only, and none once it is confirmed or retried.';
COMMENT ON COLUMN failures.type IS 'As in attempts.failure.';

CREATE FUNCTION keep_failure() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO failures (booking_id, failure_no, type)
    SELECT NEW.booking_id, count(*) + 1,
      CASE TG_TABLE_NAME WHEN 'attempts' THEN to_jsonb(NEW) -> 'failure' ->> 'type' ELSE 'payment-declined' END
    FROM failures AS f WHERE f.booking_id = NEW.booking_id;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION keep_failure IS 'Counts on: the attempt''s row is locked by whoever writes a failure, so two at once do not get one number.';

CREATE TRIGGER attempts_born_failed AFTER INSERT ON attempts FOR EACH ROW
  WHEN (NEW.failure IS NOT NULL) EXECUTE FUNCTION keep_failure();
CREATE TRIGGER attempts_keep_failure AFTER UPDATE OF failure ON attempts FOR EACH ROW
  WHEN (NEW.failure IS NOT NULL AND NEW.failure IS DISTINCT FROM OLD.failure AND NEW.failure ->> 'type' <> 'payment-declined')
  EXECUTE FUNCTION keep_failure();
CREATE TRIGGER tries_keep_decline AFTER UPDATE OF failure_ref ON payment_tries FOR EACH ROW
  WHEN (NEW.failure_ref IS NOT NULL AND NEW.failure_ref IS DISTINCT FROM OLD.failure_ref)
  EXECUTE FUNCTION keep_failure();
COMMENT ON TRIGGER tries_keep_decline ON payment_tries IS 'Declines are counted by the gateway''s ids: a card may be declined twice for the same reason, and one decline may be read twice.';

-- What can still be known of the time before: the failure that stands, and of each try its last decline.
INSERT INTO failures (booking_id, failure_no, type, failed_at)
  SELECT booking_id, row_number() OVER (PARTITION BY booking_id ORDER BY failed_at, nth), type, failed_at FROM (
    SELECT booking_id, try AS nth, 'payment-declined' AS type, opened_at AS failed_at FROM payment_tries
      WHERE failure_ref IS NOT NULL
    UNION ALL
    SELECT booking_id, 2147483647, failure ->> 'type', coalesce(ended_at, started_at) FROM attempts
      WHERE failure ->> 'type' <> 'payment-declined') AS known;

DROP INDEX payments_by_ref;
CREATE INDEX payments_by_ref ON payments (gateway_ref, gateway);
CREATE INDEX payments_by_charge ON payments (gateway_payment_id);
CREATE INDEX refunds_by_gateway_id ON refunds (gateway_refund_id) WHERE gateway_refund_id IS NOT NULL;
CREATE INDEX refunds_by_payment ON refunds (payment_id);
CREATE INDEX cases_by_payment ON cases (payment_id) WHERE payment_id IS NOT NULL;
COMMENT ON INDEX payments_by_ref IS 'The id comes first: support has it from a customer or a statement, and asks no further.';
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
DROP INDEX cases_by_payment, refunds_by_payment, refunds_by_gateway_id, payments_by_charge, payments_by_ref;
CREATE INDEX payments_by_ref ON payments (gateway, gateway_ref);
DROP TRIGGER attempts_born_failed ON attempts;
DROP TRIGGER attempts_keep_failure ON attempts;
DROP TRIGGER tries_keep_decline ON payment_tries;
DROP FUNCTION keep_failure;
DROP TABLE failures;
`);
}

/** Tables and rules of consultations, carts, wallets and holds, and of the providers who are told. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
CREATE TABLE providers (
  id text PRIMARY KEY,
  display_name text NOT NULL CHECK (length(display_name) BETWEEN 1 AND 200),
  email text NOT NULL,
  locale text,
  changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE providers IS 'Who is told about bookings. A provider without a row can publish all the same, and is told nothing.';
COMMENT ON COLUMN providers.id IS 'Subject of the provider''s token: what offerings.provider_id names.';

ALTER TABLE offerings
  DROP CONSTRAINT offerings_kind_check,
  ADD CONSTRAINT offerings_kind_check CHECK (kind IN ('slot', 'consultation')),
  DROP CONSTRAINT offerings_price_minor_check,
  ADD CONSTRAINT offerings_price_minor_check CHECK (price_minor BETWEEN 0 AND 99999999),
  ALTER COLUMN starts_at DROP NOT NULL,
  ALTER COLUMN ends_at DROP NOT NULL,
  ALTER COLUMN time_zone DROP NOT NULL,
  ALTER COLUMN capacity DROP NOT NULL,
  ADD COLUMN hold_seconds integer CHECK (hold_seconds BETWEEN 5 AND 86400),
  ADD COLUMN seats_per_customer integer CHECK (seats_per_customer BETWEEN 1 AND 10000),
  ADD CONSTRAINT offerings_shape CHECK (CASE kind
    WHEN 'slot' THEN num_nulls(starts_at, ends_at, time_zone, capacity) = 0
    ELSE num_nonnulls(starts_at, ends_at, time_zone, capacity, hold_seconds, seats_per_customer) = 0 END);
COMMENT ON CONSTRAINT offerings_shape ON offerings IS 'A slot has a time and a capacity; a consultation has neither, so it has no seats to hold or to count.';
COMMENT ON COLUMN offerings.price_minor IS 'Price of one seat, or of the consultation, in the smallest unit of the currency; 0 is free. Read once per attempt, into its quote.';
COMMENT ON COLUMN offerings.hold_seconds IS 'How long an attempt holds its seats while the customer pays; null: not at all, the first payer gets them.';
COMMENT ON COLUMN offerings.seats_per_customer IS 'Most seats one customer may have here; null: no limit.';
DROP INDEX offerings_by_start, offerings_by_provider;
CREATE INDEX offerings_by_start ON offerings (coalesce(starts_at, timestamptz '2200-01-01 00:00:00+00'), id);
CREATE INDEX offerings_by_provider ON offerings (provider_id, coalesce(starts_at, timestamptz '2200-01-01 00:00:00+00'), id);
COMMENT ON INDEX offerings_by_start IS 'Lists show the earliest start first, and what has no time last; no slot starts in 2200 or later.';

ALTER TABLE seats
  ADD COLUMN held_by text REFERENCES attempts,
  ADD COLUMN held_until timestamptz,
  ADD CONSTRAINT seats_hold_whole CHECK ((held_by IS NULL) = (held_until IS NULL)),
  ADD CONSTRAINT seats_hold_or_booking CHECK (booking_id IS NULL OR held_by IS NULL);
COMMENT ON COLUMN seats.held_by IS 'The attempt that holds this seat until held_until. After that instant the seat is free, with nobody writing anything.';
CREATE INDEX seats_by_holder ON seats (held_by) WHERE held_by IS NOT NULL;

CREATE TABLE holds (
  offering_id text NOT NULL REFERENCES offerings,
  customer_id text NOT NULL,
  booking_id text NOT NULL REFERENCES attempts,
  held_until timestamptz NOT NULL,
  PRIMARY KEY (offering_id, customer_id)
);
COMMENT ON TABLE holds IS 'The latest hold of a customer on an offering, remembered after its end: a new attempt takes a live one over with its old end, and after it there is a pause before the next. So nobody keeps a seat locked by starting attempt after attempt.';
COMMENT ON COLUMN holds.held_until IS 'End of the hold: by the clock, or the moment its attempt ended.';
CREATE INDEX holds_by_attempt ON holds (booking_id);

CREATE FUNCTION keep_live_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT customer_id FROM attempts WHERE booking_id = OLD.held_by)
    <> (SELECT customer_id FROM attempts WHERE booking_id = coalesce(NEW.booking_id, NEW.held_by))
  THEN
    RAISE EXCEPTION 'a held seat is its holder''s' USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
  END IF;
  RETURN NEW;
END $$;
COMMENT ON FUNCTION keep_live_hold() IS 'A seat under a live hold goes to nobody but the customer who holds it, whoever forgot to look.';
CREATE TRIGGER seats_live_hold BEFORE UPDATE ON seats FOR EACH ROW
  WHEN (OLD.held_until > now() AND coalesce(NEW.booking_id, NEW.held_by) <> OLD.held_by)
  EXECUTE FUNCTION keep_live_hold();

CREATE TABLE carts (
  id text PRIMARY KEY,
  customer_id text NOT NULL,
  booking_id text UNIQUE REFERENCES bookings,
  created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE carts IS 'What a customer collects before paying. Active until one booking is made from it, in the transaction that settles.';
CREATE TRIGGER carts_convert_once BEFORE UPDATE ON carts FOR EACH ROW
  WHEN (OLD.booking_id IS NOT NULL AND NEW.booking_id IS DISTINCT FROM OLD.booking_id)
  EXECUTE FUNCTION refuse('a cart has room for one booking');
COMMENT ON TRIGGER carts_convert_once ON carts IS 'Two paid attempts on one cart: the second is given its money back.';

CREATE TABLE cart_items (
  cart_id text NOT NULL REFERENCES carts,
  offering_id text NOT NULL REFERENCES offerings,
  seats integer NOT NULL CHECK (seats > 0),
  details jsonb,
  added_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (cart_id, offering_id)
);
COMMENT ON TABLE cart_items IS 'What is in a cart. Prices are the offerings'' own until an attempt freezes them.';
COMMENT ON COLUMN cart_items.details IS 'As the customer sent them, unchanged. Private: in no list, no log.';

ALTER TABLE attempts
  ALTER COLUMN method DROP NOT NULL,
  ADD COLUMN cart_id text REFERENCES carts,
  ADD COLUMN hold_until timestamptz;
COMMENT ON COLUMN attempts.method IS 'How the customer wanted to pay; null for what is free.';
COMMENT ON COLUMN attempts.hold_until IS 'End of the hold this attempt began with, null without one. The window ends a minute earlier, and no retry moves either.';
DROP TRIGGER attempts_frozen_quote ON attempts;
CREATE TRIGGER attempts_frozen_quote BEFORE UPDATE ON attempts FOR EACH ROW
  WHEN ((OLD.quote, OLD.total_minor, OLD.currency, OLD.customer_id, OLD.request_hash, OLD.cart_id)
    IS DISTINCT FROM (NEW.quote, NEW.total_minor, NEW.currency, NEW.customer_id, NEW.request_hash, NEW.cart_id))
  EXECUTE FUNCTION refuse('a quote is frozen when its attempt opens');
COMMENT ON TRIGGER attempts_frozen_quote ON attempts IS 'The customer pays the price that was shown, whatever is edited meanwhile.';
CREATE INDEX attempts_by_cart ON attempts (cart_id) WHERE cart_id IS NOT NULL;
CREATE INDEX bookings_by_customer ON bookings (customer_id);
CREATE INDEX booking_items_by_offering ON booking_items (offering_id);

ALTER TABLE messages
  DROP CONSTRAINT messages_kind_check,
  ADD CONSTRAINT messages_kind_check CHECK (kind IN ('booking-confirmed', 'payment-refunded', 'refund-failed', 'provider-booked')),
  ADD COLUMN provider_ids text[];
COMMENT ON COLUMN messages.provider_ids IS 'Of a message to a provider: whose items it tells of. Several, where providers share an address.';

CREATE TABLE wallets (
  customer_id text NOT NULL,
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  balance_minor bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (customer_id, currency),
  CONSTRAINT wallets_never_negative CHECK (balance_minor >= 0)
);
COMMENT ON TABLE wallets IS 'A customer''s balance with us, one row per currency.';
COMMENT ON COLUMN wallets.balance_minor IS 'Running total of the wallet''s entries (trigger). Its CHECK holds it above zero, also when payments come at once.';
CREATE TRIGGER wallets_count_by_entries BEFORE UPDATE ON wallets FOR EACH ROW
  WHEN (OLD.balance_minor <> NEW.balance_minor AND pg_trigger_depth() = 0)
  EXECUTE FUNCTION refuse('only entries change a balance');
CREATE TRIGGER wallets_begin_empty BEFORE INSERT ON wallets FOR EACH ROW
  WHEN (NEW.balance_minor <> 0) EXECUTE FUNCTION refuse('only entries change a balance');

CREATE TABLE wallet_entries (
  id text NOT NULL,
  account text NOT NULL CHECK (account IN ('customer', 'issued', 'spent')),
  customer_id text,
  currency text NOT NULL,
  amount_minor integer NOT NULL CHECK (amount_minor <> 0),
  kind text NOT NULL CHECK (kind IN ('credit', 'payment', 'refund')),
  booking_id text REFERENCES attempts,
  note text,
  made_by text,
  request_hash text,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (id, account),
  FOREIGN KEY (customer_id, currency) REFERENCES wallets,
  CHECK ((account = 'customer') = (customer_id IS NOT NULL))
);
COMMENT ON TABLE wallet_entries IS 'Double entry: a movement is two entries of one id that sum to zero, one in the customer''s account and one in ours.';
COMMENT ON COLUMN wallet_entries.account IS 'customer: the wallet. issued: what operators credited. spent: what was paid for bookings and given back for them.';
COMMENT ON COLUMN wallet_entries.id IS 'Derived from what caused the movement, so the same cause moves money once.';
COMMENT ON COLUMN wallet_entries.made_by IS 'Of an operator''s credit: the subject of their token.';
COMMENT ON COLUMN wallet_entries.request_hash IS 'Of an operator''s credit: tells an honest repeat of its Idempotency-Key from another body.';
CREATE INDEX wallet_entries_by_customer ON wallet_entries (customer_id, at DESC, id) WHERE customer_id IS NOT NULL;
CREATE FUNCTION count_wallet_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE wallets SET balance_minor = balance_minor + NEW.amount_minor
    WHERE customer_id = NEW.customer_id AND currency = NEW.currency;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION count_wallet_entry() IS 'Keeps wallets.balance_minor. The update locks the wallet''s row, so fifty payments at once are fifty in a row.';
CREATE TRIGGER wallet_entries_counted AFTER INSERT ON wallet_entries FOR EACH ROW
  WHEN (NEW.account = 'customer') EXECUTE FUNCTION count_wallet_entry();
CREATE TRIGGER wallet_entries_stay BEFORE UPDATE OR DELETE ON wallet_entries FOR EACH ROW
  EXECUTE FUNCTION refuse('an entry is never changed, only answered by another');
CREATE FUNCTION refuse_unbalanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM wallet_entries WHERE id = NEW.id GROUP BY currency HAVING sum(amount_minor) <> 0) THEN
    RAISE EXCEPTION 'the entries of a movement sum to zero' USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER wallet_entries_balanced AFTER INSERT ON wallet_entries DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION refuse_unbalanced();
COMMENT ON FUNCTION refuse_unbalanced() IS 'Asked at the end of the transaction, when both sides of a movement are written.';
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
DROP TABLE wallet_entries, wallets;
DROP FUNCTION count_wallet_entry(), refuse_unbalanced();
ALTER TABLE messages
  DROP COLUMN provider_ids,
  DROP CONSTRAINT messages_kind_check,
  ADD CONSTRAINT messages_kind_check CHECK (kind IN ('booking-confirmed', 'payment-refunded', 'refund-failed'));
DROP INDEX attempts_by_cart, bookings_by_customer, booking_items_by_offering;
DROP TRIGGER attempts_frozen_quote ON attempts;
ALTER TABLE attempts DROP COLUMN cart_id, DROP COLUMN hold_until, ALTER COLUMN method SET NOT NULL;
CREATE TRIGGER attempts_frozen_quote BEFORE UPDATE ON attempts FOR EACH ROW
  WHEN ((OLD.quote, OLD.total_minor, OLD.currency, OLD.customer_id, OLD.request_hash)
    IS DISTINCT FROM (NEW.quote, NEW.total_minor, NEW.currency, NEW.customer_id, NEW.request_hash))
  EXECUTE FUNCTION refuse('a quote is frozen when its attempt opens');
DROP TABLE cart_items, carts, holds;
DROP TRIGGER seats_live_hold ON seats;
DROP FUNCTION keep_live_hold();
ALTER TABLE seats DROP COLUMN held_by, DROP COLUMN held_until;
DROP INDEX offerings_by_start, offerings_by_provider;
ALTER TABLE offerings
  DROP CONSTRAINT offerings_shape,
  DROP COLUMN hold_seconds,
  DROP COLUMN seats_per_customer,
  DROP CONSTRAINT offerings_kind_check,
  ADD CONSTRAINT offerings_kind_check CHECK (kind IN ('slot')),
  DROP CONSTRAINT offerings_price_minor_check,
  ADD CONSTRAINT offerings_price_minor_check CHECK (price_minor BETWEEN 1 AND 99999999),
  ALTER COLUMN starts_at SET NOT NULL,
  ALTER COLUMN ends_at SET NOT NULL,
  ALTER COLUMN time_zone SET NOT NULL,
  ALTER COLUMN capacity SET NOT NULL;
CREATE INDEX offerings_by_start ON offerings (starts_at, id);
CREATE INDEX offerings_by_provider ON offerings (provider_id, starts_at, id);
DROP TABLE providers;
`);
}

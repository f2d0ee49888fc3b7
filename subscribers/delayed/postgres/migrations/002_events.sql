-- What the events say. Decimals are plain numeric: a declared scale would round. Times are cut to microseconds in the
-- timestamptz columns; the *_ns columns have them whole, nanoseconds since 1970-01-01 UTC.

CREATE TABLE IF NOT EXISTS trades (
  topic text COLLATE "C" NOT NULL,
  log_offset bigint NOT NULL,
  trade_id text NOT NULL,
  instrument text NOT NULL,
  price numeric NOT NULL,
  quantity numeric NOT NULL,
  aggressor text NOT NULL CHECK (aggressor IN ('none', 'buy', 'sell')),
  buyer_account text NOT NULL,
  seller_account text NOT NULL,
  buy_order_id numeric NOT NULL,
  sell_order_id numeric NOT NULL,
  matched timestamptz NOT NULL,
  matched_ns bigint NOT NULL,
  recorded timestamptz NOT NULL,
  PRIMARY KEY (topic, log_offset)
);

-- Every change of an account.
CREATE TABLE IF NOT EXISTS account_events (
  topic text COLLATE "C" NOT NULL,
  log_offset bigint NOT NULL,
  user_id text NOT NULL,
  account text NOT NULL,
  currency text NOT NULL,
  balance numeric NOT NULL,
  available numeric NOT NULL,
  margin numeric NOT NULL,
  reserved numeric NOT NULL,
  cause text NOT NULL CHECK (cause IN ('opened', 'deposit', 'withdrawal', 'trade', 'fee', 'interest', 'order_reserved',
                                       'order_released', 'transfer', 'adjustment', 'closed')),
  cause_id text NOT NULL,
  booked timestamptz NOT NULL,
  booked_ns bigint NOT NULL,
  recorded timestamptz NOT NULL,
  PRIMARY KEY (topic, log_offset)
);

-- The newest of them for each account and currency.
CREATE TABLE IF NOT EXISTS account_balances (
  topic text COLLATE "C" NOT NULL,
  account text COLLATE "C" NOT NULL,
  currency text COLLATE "C" NOT NULL,
  user_id text NOT NULL,
  balance numeric NOT NULL,
  available numeric NOT NULL,
  margin numeric NOT NULL,
  reserved numeric NOT NULL,
  log_offset bigint NOT NULL,
  booked timestamptz NOT NULL,
  booked_ns bigint NOT NULL,
  PRIMARY KEY (topic, account, currency)
);

-- The best levels of each side, best first; a side has as many elements as it has levels.
CREATE TABLE IF NOT EXISTS order_book_snapshots (
  topic text COLLATE "C" NOT NULL,
  log_offset bigint NOT NULL,
  instrument text NOT NULL,
  phase text NOT NULL CHECK (phase IN ('closed', 'auction', 'continuous', 'halted')),
  bid_prices numeric[] NOT NULL,
  bid_quantities numeric[] NOT NULL,
  ask_prices numeric[] NOT NULL,
  ask_quantities numeric[] NOT NULL,
  last_price numeric NOT NULL,
  trade_count numeric NOT NULL,
  traded_quantity numeric NOT NULL,
  valid_at numeric NOT NULL,
  checksum bigint NOT NULL,
  booked timestamptz NOT NULL,
  booked_ns bigint NOT NULL,
  recorded timestamptz NOT NULL,
  PRIMARY KEY (topic, log_offset)
);

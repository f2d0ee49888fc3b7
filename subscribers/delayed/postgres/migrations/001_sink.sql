-- Who writes, how far the tables are, what they refused, and how the sinks are.

-- One row a sink's name. Only the process with the newest token may commit.
CREATE TABLE IF NOT EXISTS sink_leader (
  name text PRIMARY KEY,
  token bigint NOT NULL,
  holder text NOT NULL,
  heartbeat timestamptz NOT NULL,
  expires timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Everything before next_offset is in the tables, or in dead_letters. Written in the transaction of the rows.
CREATE TABLE IF NOT EXISTS sink_checkpoints (
  topic text COLLATE "C" PRIMARY KEY,
  sink text NOT NULL,
  log_id uuid NOT NULL,
  run bigint NOT NULL,
  next_offset bigint NOT NULL,
  token bigint NOT NULL,
  updated timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- Events that a table refused. `event` is null where the bytes are no event, or JSON cannot say it.
CREATE TABLE IF NOT EXISTS dead_letters (
  topic text COLLATE "C" NOT NULL,
  log_offset bigint NOT NULL,
  event_type integer NOT NULL,
  sqlstate text NOT NULL,
  reason text NOT NULL,
  payload bytea NOT NULL,
  event json,
  refused timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (topic, log_offset)
);

-- A row a process, once a second while the database is there: an old `updated` is news too.
CREATE TABLE IF NOT EXISTS sink_status (
  sink text NOT NULL,
  holder text NOT NULL,
  role text NOT NULL,
  breaker text NOT NULL,
  breaker_opened bigint NOT NULL,
  lag_events bigint NOT NULL,
  lag_seconds double precision NOT NULL,
  rows_written bigint NOT NULL,
  dead_letters bigint NOT NULL,
  last_error text NOT NULL,
  updated timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (sink, holder)
) WITH (fillfactor = 50);

-- The last word of every batch's transaction: renews the lease under the row's lock, and moves the checkpoint from where
-- the batch begins to where it ends. MR001: another process leads. MR002: the checkpoint stands elsewhere.
CREATE OR REPLACE FUNCTION sink_advance(sink_name text, my_token bigint, lease interval, of_topic text, of_log uuid,
                                        of_run bigint, from_offset bigint, to_offset bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE sink_leader SET heartbeat = clock_timestamp(), expires = clock_timestamp() + lease
   WHERE name = sink_name AND token = my_token;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'sink %: token % is not the newest; another process leads', sink_name, my_token
      USING ERRCODE = 'MR001';
  END IF;
  UPDATE sink_checkpoints SET run = of_run, next_offset = to_offset, token = my_token, updated = clock_timestamp()
   WHERE topic = of_topic AND sink = sink_name AND log_id = of_log AND next_offset = from_offset;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'topic %: the checkpoint of sink % does not stand at offset %', of_topic, sink_name, from_offset
      USING ERRCODE = 'MR002';
  END IF;
END $$;

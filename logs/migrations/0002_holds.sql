-- What holds a lane, or (under the brand's id) every lane of a brand, while the row is there.
DROP TABLE logs_lane;
CREATE TABLE logs_hold (
    lane bigint NOT NULL,
    brand bigint NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    until timestamptz,
    kind smallint NOT NULL,
    level smallint NOT NULL DEFAULT 0,
    ramp smallint NOT NULL DEFAULT 1,
    reason text NOT NULL,
    who text NOT NULL DEFAULT '',
    PRIMARY KEY (lane, kind)
);

-- A row that waits for a person rather than for its due time says what holds it.
ALTER TABLE logs_waiting ADD hold smallint NOT NULL DEFAULT 0;
CREATE INDEX logs_waiting_held ON logs_waiting (lane, mapping, hold) WHERE hold <> 0;

-- One update of a customer at a time: whoever has it `busy` has it until then, by the database's clock.
ALTER TABLE logs_customerstate ADD busy timestamptz, ADD token bigint;

-- The events of a customer that a mapping in strict order has not finished yet; the smallest goes first.
CREATE TABLE logs_turn (
    mapping bigint NOT NULL,
    customer bigint NOT NULL,
    event bigint NOT NULL,
    PRIMARY KEY (mapping, customer, event)
);

-- What mappings with a limit have sent in a period; a first run is one long period.
CREATE TABLE logs_quota (
    mapping bigint NOT NULL,
    period timestamptz NOT NULL,
    n integer NOT NULL,
    PRIMARY KEY (mapping, period)
);

-- Token buckets of declared rate limits, for when Redis is away.
CREATE TABLE logs_bucket (
    name text PRIMARY KEY,
    tokens double precision NOT NULL,
    at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- What happened, and what is still to do. Columns are ordered widest first to waste no bytes on alignment.
-- Partitioned tables are cut by day on their time-ordered id; logs/partitions.py makes the days.

CREATE TABLE logs_writer (
    number smallint PRIMARY KEY,
    until timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO logs_writer (number) SELECT generate_series(0, 255);

-- Names of configured things, by their opaque id; kept when the thing is deleted.
CREATE TABLE logs_label (
    id bigint PRIMARY KEY,
    brand bigint NOT NULL,
    kind text NOT NULL,
    label text NOT NULL
);

CREATE TABLE logs_request (
    id bigint PRIMARY KEY,
    brand bigint NOT NULL,
    source bigint NOT NULL,
    ms real NOT NULL,
    status smallint NOT NULL,
    accepted smallint NOT NULL,
    duplicates smallint NOT NULL,
    refused smallint NOT NULL,
    kind text NOT NULL,
    code text NOT NULL,
    message text NOT NULL,
    refusals jsonb
) PARTITION BY RANGE (id);
CREATE INDEX logs_request_refused ON logs_request (brand, id) WHERE refused > 0;

CREATE TABLE logs_requestbody (
    id bigint PRIMARY KEY,
    size integer NOT NULL,
    headers jsonb NOT NULL,
    envelope jsonb,
    body bytea NOT NULL
) PARTITION BY RANGE (id);
ALTER TABLE logs_requestbody ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE logs_ruleset (
    id bigint PRIMARY KEY,
    source bigint NOT NULL,
    mappings bigint[] NOT NULL,
    versions bigint[] NOT NULL
);

CREATE TABLE logs_event (
    id bigint PRIMARY KEY,
    brand bigint NOT NULL,
    source bigint NOT NULL,
    rule_set bigint,
    start integer NOT NULL,
    size integer NOT NULL,
    anonymous boolean NOT NULL,
    type text NOT NULL,
    name text NOT NULL,
    customer text NOT NULL,
    message_id text NOT NULL,
    verdicts bytea NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX logs_event_customer ON logs_event (brand, customer, id);

-- The verdicts of an event that could not be decided at the door.
CREATE TABLE logs_decision (
    id bigint PRIMARY KEY,
    rule_set bigint,
    verdicts bytea NOT NULL
) PARTITION BY RANGE (id);

-- Keeps duplicates out. Each day has a unique index (source, hash); the days before it are probed.
CREATE TABLE logs_seen (
    id bigint NOT NULL,
    source bigint NOT NULL,
    hash bytea NOT NULL
) PARTITION BY RANGE (id);

CREATE TABLE logs_queue (
    lane bigint NOT NULL,
    id bigint NOT NULL,
    event bigint NOT NULL,
    mapping bigint NOT NULL,
    version bigint NOT NULL,
    brand bigint NOT NULL,
    customer bigint NOT NULL,
    replay bigint NOT NULL DEFAULT 0,
    run bigint NOT NULL DEFAULT 0,
    token bigint,
    lease timestamptz,
    rank smallint NOT NULL,
    step smallint NOT NULL DEFAULT 0,
    cause smallint NOT NULL,
    attempts smallint NOT NULL DEFAULT 0,
    claims smallint NOT NULL DEFAULT 0,
    memo jsonb,
    PRIMARY KEY (lane, rank, id)
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);

CREATE TABLE logs_waiting (
    id bigint PRIMARY KEY,
    due timestamptz NOT NULL,
    lane bigint NOT NULL,
    event bigint NOT NULL,
    mapping bigint NOT NULL,
    version bigint NOT NULL,
    brand bigint NOT NULL,
    customer bigint NOT NULL,
    replay bigint NOT NULL,
    run bigint NOT NULL,
    rank smallint NOT NULL,
    step smallint NOT NULL,
    cause smallint NOT NULL,
    attempts smallint NOT NULL,
    memo jsonb
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
CREATE INDEX logs_waiting_due ON logs_waiting (due);

CREATE TABLE logs_lane (
    id bigint PRIMARY KEY,
    brand bigint NOT NULL,
    held text NOT NULL,
    since timestamptz NOT NULL
);

CREATE TABLE logs_customerstate (
    mapping bigint NOT NULL,
    customer bigint NOT NULL,
    newest timestamptz,
    sent timestamptz,
    hashes jsonb,
    PRIMARY KEY (mapping, customer)
);

CREATE TABLE logs_delivery (
    id bigint PRIMARY KEY,
    event bigint NOT NULL,
    mapping bigint NOT NULL,
    version bigint NOT NULL,
    lane bigint NOT NULL,
    brand bigint NOT NULL,
    replay bigint NOT NULL,
    run bigint NOT NULL,
    exchange bigint,
    ms real,
    step smallint NOT NULL,
    attempt smallint NOT NULL,
    cause smallint NOT NULL,
    status smallint NOT NULL,
    code smallint,
    exchanges smallint NOT NULL,
    part smallint,
    fault text NOT NULL,
    error text NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX logs_delivery_event ON logs_delivery (event);
CREATE INDEX logs_delivery_brand ON logs_delivery (brand, id);
CREATE INDEX logs_delivery_undelivered ON logs_delivery (brand, id) WHERE status <> 1;

CREATE TABLE logs_exchange (
    id bigint PRIMARY KEY,
    lane bigint NOT NULL,
    brand bigint NOT NULL,
    ms real NOT NULL,
    status smallint,
    truncated boolean NOT NULL,
    method text NOT NULL,
    url text NOT NULL,
    request_id text NOT NULL,
    error text NOT NULL,
    request_headers jsonb NOT NULL,
    response_headers jsonb NOT NULL,
    request_body bytea NOT NULL,
    response_body bytea NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX logs_exchange_vendor ON logs_exchange (request_id) WHERE request_id <> '';
ALTER TABLE logs_exchange ALTER COLUMN request_body SET STORAGE EXTERNAL;
ALTER TABLE logs_exchange ALTER COLUMN response_body SET STORAGE EXTERNAL;

-- Every transaction appends what it changed; beat folds the deltas into the hours, so no counter is ever contended.
-- A delta of verdicts (rule_set, verdicts) stands for n events with that verdict string.
CREATE TABLE logs_bookdelta (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hour timestamptz NOT NULL,
    brand bigint NOT NULL,
    source bigint NOT NULL,
    mapping bigint NOT NULL,
    rule_set bigint,
    n integer NOT NULL,
    line smallint NOT NULL,
    verdicts bytea
);

CREATE TABLE logs_bookhour (
    hour timestamptz NOT NULL,
    brand bigint NOT NULL,
    source bigint NOT NULL,
    mapping bigint NOT NULL,
    n bigint NOT NULL,
    line smallint NOT NULL,
    PRIMARY KEY (brand, hour, source, mapping, line)
);

-- The inbound log: every event that was kept, and every request of which something was refused.
CREATE VIEW logs_inbound AS
SELECT id, brand, source, type, name, customer, anonymous, message_id AS identifier, true AS kept,
       200::smallint AS status, ''::text AS error
FROM logs_event
UNION ALL
SELECT id, brand, source, kind, '', '', false, '', false, status,
       CASE WHEN accepted + duplicates > 0 THEN refused || ' of ' || accepted + duplicates + refused || ' refused: '
            ELSE '' END || code || ': ' || message
FROM logs_request WHERE refused > 0;

-- Looks over the queue's shoulder: whose claim a token is, and which rows were taken from a claim that had no outcome.
CREATE TABLE chaos_claim (token bigint, worker text, at timestamptz);
CREATE TABLE chaos_freed (token bigint, event bigint, mapping bigint, at timestamptz);

CREATE FUNCTION chaos_witness() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO chaos_claim
    SELECT DISTINCT after.token, current_setting('application_name'), clock_timestamp()
    FROM new_rows after JOIN old_rows before USING (lane, rank, id)
    WHERE after.token IS NOT NULL AND after.token IS DISTINCT FROM before.token;
    INSERT INTO chaos_freed
    SELECT before.token, before.event, before.mapping, clock_timestamp()
    FROM new_rows after JOIN old_rows before USING (lane, rank, id)
    WHERE before.token IS NOT NULL AND after.token IS DISTINCT FROM before.token AND after.claims >= before.claims;
    RETURN NULL;
END $$;

CREATE TRIGGER chaos_witness AFTER UPDATE ON logs_queue REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
FOR EACH STATEMENT EXECUTE FUNCTION chaos_witness();

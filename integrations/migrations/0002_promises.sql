-- What the database holds to whichever way a row comes in: the admin, a queryset, a script, or psql.

-- A destination has at most 50 mappings, on or off. The lock makes two that come at once count one after the other.
CREATE FUNCTION integrations_at_most_fifty() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM integrations_destination WHERE id = NEW.destination_id FOR NO KEY UPDATE;
    IF (SELECT count(*) FROM integrations_mapping WHERE destination_id = NEW.destination_id AND id <> NEW.id) >= 50 THEN
        RAISE check_violation USING MESSAGE = format(
            'The destination %s has 50 mappings, on or off, which is the most: delete one first.', NEW.destination_id);
    END IF;
    RETURN NEW;
END $$;

-- What points at each other is of one brand. Together with integrations_stays on brand_id this holds for good.
CREATE FUNCTION integrations_one_brand() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    together boolean;
BEGIN
    IF TG_TABLE_NAME = 'integrations_mapping' THEN
        together := EXISTS (
            SELECT FROM integrations_source s JOIN integrations_destination d USING (brand_id)
            WHERE s.id = NEW.source_id AND d.id = NEW.destination_id);
    ELSIF TG_TABLE_NAME = 'integrations_destination' THEN
        together := EXISTS (SELECT FROM integrations_account WHERE id = NEW.account_id AND brand_id = NEW.brand_id)
            AND (NEW.source_id IS NULL
                 OR EXISTS (SELECT FROM integrations_source WHERE id = NEW.source_id AND brand_id = NEW.brand_id));
    ELSE
        together := NEW.account_id IS NULL
            OR EXISTS (SELECT FROM integrations_account WHERE id = NEW.account_id AND brand_id = NEW.brand_id);
    END IF;
    IF NOT together THEN
        RAISE check_violation USING MESSAGE = format('%s %s points at something of another brand.', TG_ARGV[0], NEW.id);
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION integrations_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE check_violation USING MESSAGE = format('%s %s: %s never changes.', TG_ARGV[0], OLD.id, TG_ARGV[1]);
END $$;

-- Every saved change of action, trigger or fields is a new version; a mapping's version is nobody else's to set.
CREATE FUNCTION integrations_new_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.action, NEW.trigger, NEW.fields) IS NOT DISTINCT FROM (OLD.action, OLD.trigger, OLD.fields)
    THEN
        NEW.version_id := OLD.version_id;
        RETURN NEW;
    END IF;
    INSERT INTO integrations_mappingversion (id, mapping_id, number, action, trigger, fields, author_id)
    VALUES (
        floor(random() * 2 ^ 50)::bigint, NEW.id,
        (SELECT coalesce(max(number), 0) + 1 FROM integrations_mappingversion WHERE mapping_id = NEW.id),
        NEW.action, NEW.trigger, NEW.fields, NEW.author_id)
    RETURNING id INTO NEW.version_id;
    RETURN NEW;
END $$;

-- rules_version grows with all that routing depends on, and never falls: a stale row saved again can't take it back.
CREATE FUNCTION integrations_mapping_rules() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE integrations_source SET rules_version = rules_version + 1 WHERE id = OLD.source_id;
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND NEW.source_id <> OLD.source_id) THEN
        UPDATE integrations_source SET rules_version = rules_version + 1 WHERE id = NEW.source_id;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION integrations_destination_rules() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE integrations_source SET rules_version = rules_version + 1
    WHERE id IN (SELECT source_id FROM integrations_mapping WHERE destination_id = NEW.id);
    RETURN NULL;
END $$;

CREATE FUNCTION integrations_source_rules() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.rules_version := CASE
        WHEN NEW.enabled <> OLD.enabled THEN OLD.rules_version + 1
        ELSE greatest(OLD.rules_version, NEW.rules_version)
    END;
    RETURN NEW;
END $$;

-- The logs know things by id; the name they show is kept here in step, and stays when the thing is deleted.
CREATE FUNCTION integrations_label() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_brand bigint;
BEGIN
    IF TG_ARGV[0] = 'brand' THEN
        of_brand := NEW.id;
    ELSIF TG_ARGV[0] = 'mapping' THEN
        SELECT brand_id INTO of_brand FROM integrations_source WHERE id = NEW.source_id;
    ELSE
        of_brand := NEW.brand_id;
    END IF;
    INSERT INTO logs_label (id, brand, kind, label) VALUES (NEW.id, of_brand, TG_ARGV[0], NEW.name)
    ON CONFLICT (id) DO UPDATE SET label = excluded.label;
    RETURN NULL;
END $$;

CREATE FUNCTION integrations_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM integrations_secret WHERE owner_kind = TG_ARGV[0] AND owner_id = OLD.id;
    RETURN NULL;
END $$;

-- Triggers of one moment fire in the order of their names.

CREATE TRIGGER label AFTER INSERT OR UPDATE OF name ON integrations_brand
    FOR EACH ROW EXECUTE FUNCTION integrations_label('brand');

CREATE TRIGGER brand_stays BEFORE UPDATE ON integrations_account FOR EACH ROW
    WHEN (NEW.brand_id <> OLD.brand_id) EXECUTE FUNCTION integrations_stays('account', 'its brand');
CREATE TRIGGER connector_stays BEFORE UPDATE ON integrations_account FOR EACH ROW
    WHEN (NEW.connector <> OLD.connector) EXECUTE FUNCTION integrations_stays('account', 'its connector');
CREATE TRIGGER forget AFTER DELETE ON integrations_account
    FOR EACH ROW EXECUTE FUNCTION integrations_forget('account');
CREATE TRIGGER label AFTER INSERT OR UPDATE OF name ON integrations_account
    FOR EACH ROW EXECUTE FUNCTION integrations_label('account');

CREATE TRIGGER brand_stays BEFORE UPDATE ON integrations_source FOR EACH ROW
    WHEN (NEW.brand_id <> OLD.brand_id) EXECUTE FUNCTION integrations_stays('source', 'its brand');
CREATE TRIGGER kind_stays BEFORE UPDATE ON integrations_source FOR EACH ROW
    WHEN (NEW.kind <> OLD.kind) EXECUTE FUNCTION integrations_stays('source', 'its kind');
CREATE TRIGGER one_brand BEFORE INSERT OR UPDATE OF brand_id, account_id ON integrations_source
    FOR EACH ROW EXECUTE FUNCTION integrations_one_brand('source');
CREATE TRIGGER rules BEFORE UPDATE ON integrations_source
    FOR EACH ROW EXECUTE FUNCTION integrations_source_rules();
CREATE TRIGGER forget AFTER DELETE ON integrations_source
    FOR EACH ROW EXECUTE FUNCTION integrations_forget('source');
CREATE TRIGGER label AFTER INSERT OR UPDATE OF name ON integrations_source
    FOR EACH ROW EXECUTE FUNCTION integrations_label('source');

CREATE TRIGGER forget AFTER DELETE ON integrations_sourcekey
    FOR EACH ROW EXECUTE FUNCTION integrations_forget('source_key');

CREATE TRIGGER brand_stays BEFORE UPDATE ON integrations_destination FOR EACH ROW
    WHEN (NEW.brand_id <> OLD.brand_id) EXECUTE FUNCTION integrations_stays('destination', 'its brand');
CREATE TRIGGER one_brand BEFORE INSERT OR UPDATE OF brand_id, account_id, source_id ON integrations_destination
    FOR EACH ROW EXECUTE FUNCTION integrations_one_brand('destination');
CREATE TRIGGER forget AFTER DELETE ON integrations_destination
    FOR EACH ROW EXECUTE FUNCTION integrations_forget('destination');
CREATE TRIGGER label AFTER INSERT OR UPDATE OF name ON integrations_destination
    FOR EACH ROW EXECUTE FUNCTION integrations_label('destination');
CREATE TRIGGER rules AFTER UPDATE ON integrations_destination FOR EACH ROW
    WHEN (NEW.enabled <> OLD.enabled) EXECUTE FUNCTION integrations_destination_rules();

CREATE TRIGGER at_most_fifty BEFORE INSERT OR UPDATE OF destination_id ON integrations_mapping
    FOR EACH ROW EXECUTE FUNCTION integrations_at_most_fifty();
CREATE TRIGGER new_version BEFORE INSERT OR UPDATE ON integrations_mapping
    FOR EACH ROW EXECUTE FUNCTION integrations_new_version();
CREATE TRIGGER one_brand BEFORE INSERT OR UPDATE OF source_id, destination_id ON integrations_mapping
    FOR EACH ROW EXECUTE FUNCTION integrations_one_brand('mapping');
CREATE TRIGGER label AFTER INSERT OR UPDATE OF name ON integrations_mapping
    FOR EACH ROW EXECUTE FUNCTION integrations_label('mapping');
CREATE TRIGGER rules AFTER INSERT OR DELETE ON integrations_mapping
    FOR EACH ROW EXECUTE FUNCTION integrations_mapping_rules();
CREATE TRIGGER rules_change AFTER UPDATE ON integrations_mapping FOR EACH ROW
    WHEN ((NEW.source_id, NEW.destination_id, NEW.version_id, NEW.enabled)
          IS DISTINCT FROM (OLD.source_id, OLD.destination_id, OLD.version_id, OLD.enabled))
    EXECUTE FUNCTION integrations_mapping_rules();

CREATE TRIGGER stays BEFORE UPDATE OF id, mapping_id, number, action, trigger, fields, created_at
    ON integrations_mappingversion FOR EACH ROW EXECUTE FUNCTION integrations_stays('mapping version', 'what it says');

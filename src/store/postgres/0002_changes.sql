-- Whoever changes a key tells, whatever program it is: what listens is told by the database, not by the program.
--
-- On the channel api_key_changes, which as every channel is the database's: `key:` and a digest in hex; `all` where any key may have
-- changed; `ask:`, the table of the nodes and a number, for each of which a node writes down that it has applied all that was committed
-- before; `beat:` and a random number, by which a node sees that it hears. What it does not know, a node takes for `all`.

-- Once a statement: a change of many keys must not fill the queue of notifications.
CREATE FUNCTION api_keys_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    digests TEXT[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        -- A node may have written down that there is no such key.
        SELECT array_agg(encode(digest, 'hex')) INTO digests FROM (SELECT digest FROM new_rows LIMIT 65) AS told;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(encode(digest, 'hex')) INTO digests FROM (SELECT digest FROM old_rows LIMIT 65) AS told;
    ELSIF TG_OP = 'UPDATE' THEN
        -- Rows as a whole, so that no column, present or future, is forgotten. That a key was used is no change of it.
        SELECT array_agg(encode(digest, 'hex')) INTO digests FROM (
            SELECT DISTINCT digest FROM (
                (SELECT digest, to_jsonb(o) - 'last_used_at' FROM old_rows AS o
                 EXCEPT SELECT digest, to_jsonb(n) - 'last_used_at' FROM new_rows AS n)
                UNION ALL
                (SELECT digest, to_jsonb(n) - 'last_used_at' FROM new_rows AS n
                 EXCEPT SELECT digest, to_jsonb(o) - 'last_used_at' FROM old_rows AS o)
            ) AS changed LIMIT 65
        ) AS told;
    END IF;
    IF TG_OP = 'TRUNCATE' OR cardinality(digests) > 64 THEN
        PERFORM pg_notify('api_key_changes', 'all');
    ELSE
        PERFORM pg_notify('api_key_changes', 'key:' || told) FROM unnest(digests) AS told;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER api_keys_inserted AFTER INSERT ON api_keys
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION api_keys_changed();
CREATE TRIGGER api_keys_updated AFTER UPDATE ON api_keys
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION api_keys_changed();
CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION api_keys_changed();
CREATE TRIGGER api_keys_truncated AFTER TRUNCATE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION api_keys_changed();

-- Also in a session that says it is a replica.
ALTER TABLE api_keys ENABLE ALWAYS TRIGGER api_keys_inserted;
ALTER TABLE api_keys ENABLE ALWAYS TRIGGER api_keys_updated;
ALTER TABLE api_keys ENABLE ALWAYS TRIGGER api_keys_deleted;
ALTER TABLE api_keys ENABLE ALWAYS TRIGGER api_keys_truncated;

-- For the application's own table of owners, where it has one and asks it what an owner may do:
--
--   CREATE TRIGGER api_key_owner_changed AFTER UPDATE OF suspended_at OR DELETE ON users
--       FOR EACH STATEMENT EXECUTE FUNCTION api_key_owner_changed();
--
-- Name the columns that matter. Every node looks every key up anew, so a column that each request writes must not be among them.
CREATE FUNCTION api_key_owner_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('api_key_changes', 'all');
    RETURN NULL;
END $$;

-- Who uses cached verdicts. A node is in here for as long as it may, and a while longer where it ended without saying so.
CREATE TABLE api_key_nodes (
    node_id TEXT        COLLATE "C" NOT NULL PRIMARY KEY,
    seen_at TIMESTAMPTZ NOT NULL,
    applied BIGINT      NOT NULL DEFAULT 0 -- the highest number asked for that it has answered
);

CREATE SEQUENCE api_key_asks AS BIGINT;

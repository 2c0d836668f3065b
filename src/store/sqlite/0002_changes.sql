-- Whoever changes a key writes down which: other processes read it. The last 10000, which is far more than there can be between two looks;
-- where one is missing, a reader takes every key for changed.
CREATE TABLE api_key_changes (
    seq    INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    digest BLOB    NOT NULL
) STRICT;

CREATE TRIGGER api_key_changes_pruned AFTER INSERT ON api_key_changes BEGIN
    DELETE FROM api_key_changes WHERE seq <= NEW.seq - 10000;
END;

-- Another process may have written down that there is no such key.
CREATE TRIGGER api_keys_inserted AFTER INSERT ON api_keys BEGIN
    INSERT INTO api_key_changes (digest) VALUES (NEW.digest);
END;

CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys BEGIN
    INSERT INTO api_key_changes (digest) VALUES (OLD.digest);
END;

-- All columns but last_used_at: that a key was used is no change of it.
CREATE TRIGGER api_keys_updated AFTER UPDATE OF id, digest, prefix, name, owner, scopes, resources, allowed_ips, rate_limit, created_at,
    expires_at, revoked_at, disabled_at, rotated_from, rotated_to, imported, version ON api_keys BEGIN
    INSERT INTO api_key_changes (digest) VALUES (NEW.digest);
    INSERT INTO api_key_changes (digest) SELECT OLD.digest WHERE OLD.digest <> NEW.digest;
END;

-- `OR REPLACE` deletes what is in its way without telling.
CREATE TRIGGER api_keys_replaced BEFORE INSERT ON api_keys BEGIN
    INSERT INTO api_key_changes (digest) SELECT digest FROM api_keys WHERE id = NEW.id AND digest <> NEW.digest;
END;

CREATE TRIGGER api_keys_replaced_by_update BEFORE UPDATE OF id, digest ON api_keys BEGIN
    INSERT INTO api_key_changes (digest) SELECT digest FROM api_keys
        WHERE (id = NEW.id OR digest = NEW.digest) AND id <> OLD.id;
END;

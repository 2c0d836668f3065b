-- How many uses of its keys are left. In a table of its own: that a key was used is no change of it, and is told to nobody.
CREATE TABLE api_key_credits (
    id        TEXT    NOT NULL PRIMARY KEY, -- of the key that it was made for, which may be gone
    remaining INTEGER NOT NULL,
    amount    INTEGER NOT NULL,
    period    INTEGER,          -- in seconds; NULL is never filled again
    filled_at INTEGER NOT NULL, -- when the period began that is under way
    CHECK (remaining BETWEEN 0 AND amount),
    CHECK (amount BETWEEN 1 AND 4294967295),
    CHECK (period BETWEEN 1 AND 31622400)
) STRICT;

ALTER TABLE api_keys ADD COLUMN credits TEXT; -- the id of an account; NULL is as many uses as there are

-- Whether an account has a key that draws on it.
CREATE INDEX api_keys_by_credits ON api_keys (credits) WHERE credits IS NOT NULL;

DROP TRIGGER api_keys_updated;

-- All columns but last_used_at: that a key was used is no change of it.
CREATE TRIGGER api_keys_updated AFTER UPDATE OF id, digest, prefix, name, owner, scopes, resources, allowed_ips, rate_limit, created_at,
    expires_at, revoked_at, disabled_at, rotated_from, rotated_to, imported, version, credits ON api_keys BEGIN
    INSERT INTO api_key_changes (digest) VALUES (NEW.digest);
    INSERT INTO api_key_changes (digest) SELECT OLD.digest WHERE OLD.digest <> NEW.digest;
END;

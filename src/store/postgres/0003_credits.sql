-- How many uses of its keys are left. In a table of its own: that a key was used is no change of it, and is told to nobody.
CREATE TABLE api_key_credits (
    id        TEXT   COLLATE "C" NOT NULL PRIMARY KEY, -- of the key that it was made for, which may be gone
    remaining BIGINT NOT NULL,
    amount    BIGINT NOT NULL,
    period    BIGINT,          -- in seconds; NULL is never filled again
    filled_at BIGINT NOT NULL, -- when the period began that is under way
    CHECK (remaining BETWEEN 0 AND amount),
    CHECK (amount BETWEEN 1 AND 4294967295),
    CHECK (period BETWEEN 1 AND 31622400)
) WITH (fillfactor = 50); -- a row is written with every use: so it finds room beside itself, and its index is left alone

ALTER TABLE api_keys ADD COLUMN credits TEXT COLLATE "C"; -- the id of an account; NULL is as many uses as there are

-- Whether an account has a key that draws on it.
CREATE INDEX api_keys_by_credits ON api_keys (credits) WHERE credits IS NOT NULL;

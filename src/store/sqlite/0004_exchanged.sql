-- Tokens of other issuers that a key was given for: each is good once. A SHA-256 of the issuer and of the id that it gave the token; after
-- `until` the token is refused for its age, and need not be remembered.
CREATE TABLE api_key_tokens (
    id    BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX api_key_tokens_by_until ON api_key_tokens (until);

-- Whether a key was given for such a token: then it makes no other keys.
ALTER TABLE api_keys ADD COLUMN exchanged INTEGER NOT NULL DEFAULT 0;

-- Beside api_keys_updated, which names the columns there were.
CREATE TRIGGER api_keys_exchanged AFTER UPDATE OF exchanged ON api_keys BEGIN
    INSERT INTO api_key_changes (digest) VALUES (NEW.digest);
END;

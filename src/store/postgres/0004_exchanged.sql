-- Tokens of other issuers that a key was given for: each is good once. A SHA-256 of the issuer and of the id that it gave the token; after
-- `until` the token is refused for its age, and need not be remembered.
CREATE TABLE api_key_tokens (
    id    BYTEA  NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    until BIGINT NOT NULL
);

CREATE INDEX api_key_tokens_by_until ON api_key_tokens (until);

-- Whether a key was given for such a token: then it makes no other keys.
ALTER TABLE api_keys ADD COLUMN exchanged BIGINT NOT NULL DEFAULT 0;

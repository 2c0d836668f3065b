-- Dates are milliseconds since 1970. Texts that are compared or sorted are so by their bytes.
CREATE TABLE api_keys (
    id           TEXT   COLLATE "C" NOT NULL PRIMARY KEY,
    digest       BYTEA  NOT NULL UNIQUE CHECK (length(digest) = 32),
    prefix       TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    owner        TEXT   COLLATE "C" NOT NULL,
    scopes       TEXT   NOT NULL, -- words; '' grants nothing, '*' everything
    resources    TEXT,            -- words; NULL is not bound to any, '' is bound to none
    allowed_ips  TEXT,            -- words; NULL is from anywhere
    rate_limit   TEXT,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT,
    revoked_at   BIGINT,
    disabled_at  BIGINT,
    last_used_at BIGINT,
    rotated_from TEXT,
    rotated_to   TEXT,
    imported     BIGINT  NOT NULL DEFAULT 0,
    version      BIGINT NOT NULL DEFAULT 1
);

-- Each serves a list or a count, so that neither the rare statuses nor the few that live are searched for among all keys.
CREATE INDEX api_keys_by_owner ON api_keys (owner, id);
CREATE INDEX api_keys_endless ON api_keys (owner, id) WHERE revoked_at IS NULL AND expires_at IS NULL;
CREATE INDEX api_keys_ending ON api_keys (owner, expires_at) WHERE revoked_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX api_keys_revoked ON api_keys (id) WHERE revoked_at IS NOT NULL;
CREATE INDEX api_keys_disabled ON api_keys (id) WHERE disabled_at IS NOT NULL;
CREATE INDEX api_keys_imported ON api_keys (id) WHERE imported = 1;
CREATE INDEX api_keys_by_expiry ON api_keys (expires_at, imported) WHERE expires_at IS NOT NULL;

CREATE TABLE api_key_events (
    seq          BIGINT NOT NULL PRIMARY KEY,
    hash         BYTEA  NOT NULL CHECK (length(hash) = 32),
    kind         TEXT   NOT NULL,
    key_id       TEXT   COLLATE "C",
    owner        TEXT   COLLATE "C" NOT NULL,
    at           BIGINT NOT NULL,
    actor_kind   TEXT   NOT NULL,
    actor_owner  TEXT   NOT NULL,
    actor_key_id TEXT,
    address      TEXT,
    request_id   TEXT,
    before       TEXT,
    after        TEXT,
    reason       TEXT
);

CREATE INDEX api_key_events_by_key ON api_key_events (key_id, seq);
CREATE INDEX api_key_events_by_owner ON api_key_events (owner, seq);

-- One row: the number and hash of the last event.
CREATE TABLE api_key_log (
    id   INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq  BIGINT  NOT NULL,
    hash BYTEA   NOT NULL
);

INSERT INTO api_key_log (id, seq, hash) VALUES (1, 0, decode(repeat('00', 32), 'hex'));

CREATE TABLE api_key_settings (
    name  TEXT  NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);

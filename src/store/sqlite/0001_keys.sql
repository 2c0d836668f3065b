-- Dates are milliseconds since 1970.
CREATE TABLE api_keys (
    id           TEXT    NOT NULL PRIMARY KEY,
    digest       BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    prefix       TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    owner        TEXT    NOT NULL,
    scopes       TEXT    NOT NULL, -- words; '' grants nothing, '*' everything
    resources    TEXT,             -- words; NULL is not bound to any, '' is bound to none
    allowed_ips  TEXT,             -- words; NULL is from anywhere
    rate_limit   TEXT,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    disabled_at  INTEGER,
    last_used_at INTEGER,
    rotated_from TEXT,
    rotated_to   TEXT,
    imported     INTEGER NOT NULL DEFAULT 0,
    version      INTEGER NOT NULL DEFAULT 1
) STRICT;

-- Each serves a list or a count, so that neither the rare statuses nor the few that live are searched for among all keys.
CREATE INDEX api_keys_by_owner ON api_keys (owner, id);
CREATE INDEX api_keys_endless ON api_keys (owner, id) WHERE revoked_at IS NULL AND expires_at IS NULL;
CREATE INDEX api_keys_ending ON api_keys (owner, expires_at) WHERE revoked_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX api_keys_revoked ON api_keys (id) WHERE revoked_at IS NOT NULL;
CREATE INDEX api_keys_disabled ON api_keys (id) WHERE disabled_at IS NOT NULL;
CREATE INDEX api_keys_imported ON api_keys (id) WHERE imported = 1;
CREATE INDEX api_keys_by_expiry ON api_keys (expires_at, imported) WHERE expires_at IS NOT NULL;

CREATE TABLE api_key_events (
    seq          INTEGER NOT NULL PRIMARY KEY,
    hash         BLOB    NOT NULL CHECK (length(hash) = 32),
    kind         TEXT    NOT NULL,
    key_id       TEXT,
    owner        TEXT    NOT NULL,
    at           INTEGER NOT NULL,
    actor_kind   TEXT    NOT NULL,
    actor_owner  TEXT    NOT NULL,
    actor_key_id TEXT,
    address      TEXT,
    request_id   TEXT,
    before       TEXT,
    after        TEXT,
    reason       TEXT
) STRICT;

CREATE INDEX api_key_events_by_key ON api_key_events (key_id, seq);
CREATE INDEX api_key_events_by_owner ON api_key_events (owner, seq);

-- One row: the number and hash of the last event.
CREATE TABLE api_key_log (
    id   INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq  INTEGER NOT NULL,
    hash BLOB    NOT NULL
) STRICT;

INSERT INTO api_key_log (id, seq, hash) VALUES (1, 0, zeroblob(32));

CREATE TABLE api_key_settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

-- Dates are milliseconds since 1970.
CREATE TABLE api_keys (
    id          TEXT    NOT NULL PRIMARY KEY,
    digest      BLOB    NOT NULL UNIQUE CHECK (length(digest) = 32),
    prefix      TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    owner       TEXT    NOT NULL,
    scopes      TEXT    NOT NULL, -- words; '' grants nothing, '*' everything
    resources   TEXT,             -- words; NULL is not bound to any, '' is bound to none
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,
    revoked_at  INTEGER,
    disabled_at INTEGER,
    version     INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE api_key_events (
    seq    INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    key_id TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    at     INTEGER NOT NULL
) STRICT;

CREATE INDEX api_key_events_by_key ON api_key_events (key_id, seq);

CREATE TABLE api_key_settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;

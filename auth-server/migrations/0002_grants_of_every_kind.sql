-- Grants that no user gave, tokens that can be looked up by themselves, and what the new endpoints keep. Written in the
-- common part of SQLite's and PostgreSQL's SQL, but for SERIAL_KEY: a key that counts up by itself in either.

ALTER TABLE users ADD COLUMN email TEXT;
ALTER TABLE users ADD COLUMN email_verified BIGINT NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN attributes TEXT NOT NULL DEFAULT '{}';
ALTER TABLE users ADD COLUMN disabled_at BIGINT;

ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN user_agent TEXT NOT NULL DEFAULT '';
CREATE INDEX sessions_user ON sessions (user_id);

-- sealed_with: names the key that the private part is encrypted with, where it is
ALTER TABLE signing_keys ADD COLUMN sealed_with TEXT;
ALTER TABLE signing_keys ADD COLUMN activates_at BIGINT NOT NULL DEFAULT 0;

ALTER TABLE clients ADD COLUMN management_digest TEXT;
ALTER TABLE clients ADD COLUMN approved_at BIGINT;
UPDATE clients SET approved_at = registered_at;

CREATE TABLE initial_access_tokens (
    digest     TEXT PRIMARY KEY,
    note       TEXT NOT NULL,
    uses_left  BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE pushed_requests (
    digest     TEXT PRIMARY KEY,
    client_id  TEXT NOT NULL,
    content    TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX pushed_requests_expiry ON pushed_requests (expires_at);

-- A grant is given by a user, or, without one, to a client for itself. The client_* columns say what the user was shown.
CREATE TABLE grants_next (
    id               TEXT PRIMARY KEY,
    kind             TEXT NOT NULL,
    user_id          TEXT REFERENCES users (id) ON DELETE CASCADE,
    client_id        TEXT NOT NULL,
    client_name      TEXT NOT NULL,
    client_origin    TEXT NOT NULL,
    answered_to      TEXT,
    resources        TEXT NOT NULL,
    scopes           TEXT NOT NULL,
    refresh          BIGINT NOT NULL,
    key_thumbprint   TEXT,
    actor            TEXT,
    authenticated_at BIGINT,
    created_at       BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL,
    last_used_at     BIGINT,
    last_address     TEXT,
    revoked_at       BIGINT
);
INSERT INTO grants_next (id, kind, user_id, client_id, client_name, client_origin, resources, scopes, refresh,
                         created_at, expires_at, revoked_at)
SELECT id, 'authorization_code', user_id, client_id, client_id,
       COALESCE((SELECT origin FROM clients WHERE clients.id = grants.client_id), 'administrator'),
       resources, scopes, refresh, created_at, expires_at, revoked_at
FROM grants;

CREATE TABLE codes_next (
    digest         TEXT PRIMARY KEY,
    grant_id       TEXT NOT NULL REFERENCES grants_next (id) ON DELETE CASCADE,
    redirect_uri   TEXT NOT NULL,
    code_challenge TEXT NOT NULL,
    nonce          TEXT,
    expires_at     BIGINT NOT NULL,
    failures       BIGINT NOT NULL DEFAULT 0,
    redeemed_at    BIGINT
);
INSERT INTO codes_next (digest, grant_id, redirect_uri, code_challenge, expires_at, failures, redeemed_at)
SELECT digest, grant_id, redirect_uri, code_challenge, expires_at, failures, redeemed_at FROM codes;

CREATE TABLE refresh_tokens_next (
    digest         TEXT PRIMARY KEY,
    grant_id       TEXT NOT NULL REFERENCES grants_next (id) ON DELETE CASCADE,
    expires_at     BIGINT NOT NULL,
    rotated_at     BIGINT,
    successor_salt TEXT
);
INSERT INTO refresh_tokens_next SELECT digest, grant_id, expires_at, rotated_at, successor_salt FROM refresh_tokens;

DROP TABLE codes;
DROP TABLE refresh_tokens;
-- those of before live for minutes, and cannot be told from their stored part alone
DROP TABLE access_tokens;
DROP TABLE grants;
ALTER TABLE grants_next RENAME TO grants;
ALTER TABLE codes_next RENAME TO codes;
ALTER TABLE refresh_tokens_next RENAME TO refresh_tokens;
CREATE INDEX grants_expiry ON grants (expires_at);
CREATE INDEX grants_client ON grants (client_id);
CREATE INDEX grants_user ON grants (user_id);
CREATE INDEX codes_grant ON codes (grant_id);
CREATE INDEX refresh_tokens_grant ON refresh_tokens (grant_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE access_tokens (
    digest       TEXT PRIMARY KEY,
    jti          TEXT NOT NULL,
    grant_id     TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    audience     TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    issued_at    BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    status_index BIGINT NOT NULL,
    revoked_at   BIGINT
);
CREATE INDEX access_tokens_grant ON access_tokens (grant_id);
CREATE INDEX access_tokens_expiry ON access_tokens (expires_at);
CREATE INDEX access_tokens_revoked ON access_tokens (status_index) WHERE revoked_at IS NOT NULL;

CREATE TABLE devices (
    digest         TEXT PRIMARY KEY,
    user_code      TEXT NOT NULL UNIQUE,
    client_id      TEXT NOT NULL,
    content        TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    polled_at      BIGINT,
    poll_seconds   BIGINT NOT NULL,
    state          TEXT NOT NULL,
    grant_id       TEXT REFERENCES grants (id) ON DELETE CASCADE
);
CREATE INDEX devices_expiry ON devices (expires_at);
CREATE INDEX devices_grant ON devices (grant_id);

CREATE TABLE used_once (
    digest     TEXT PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX used_once_expiry ON used_once (expires_at);

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

CREATE TABLE leases (
    name       TEXT PRIMARY KEY,
    holder     TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE audit_events (
    sequence  SERIAL_KEY,
    at        BIGINT NOT NULL,
    kind      TEXT NOT NULL,
    user_id   TEXT,
    client_id TEXT,
    grant_id  TEXT,
    address   TEXT,
    detail    TEXT NOT NULL
);
CREATE INDEX audit_events_at ON audit_events (at);
CREATE INDEX audit_events_user ON audit_events (user_id);

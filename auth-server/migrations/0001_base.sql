-- Written in the common part of SQLite's and PostgreSQL's SQL. Times are seconds since the epoch; every *_digest is
-- SHA-256 in base64url of a secret that is itself stored nowhere.

CREATE TABLE users (
    id            TEXT PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    created_at    BIGINT NOT NULL
);

CREATE TABLE sessions (
    digest           TEXT PRIMARY KEY,
    user_id          TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    authenticated_at BIGINT NOT NULL,
    expires_at       BIGINT NOT NULL
);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- browsers that a user has signed in from before: strangers' wrong guesses do not lock these out
CREATE TABLE known_browsers (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    digest  TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, digest)
);

CREATE TABLE signing_keys (
    kid        TEXT PRIMARY KEY,
    algorithm  TEXT NOT NULL,
    pkcs8      TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE clients (
    id            TEXT PRIMARY KEY,
    origin        TEXT NOT NULL,
    metadata      TEXT NOT NULL,
    registered_at BIGINT NOT NULL,
    last_used_at  BIGINT
);
CREATE INDEX clients_unused ON clients (last_used_at, registered_at);

CREATE TABLE transactions (
    digest         TEXT PRIMARY KEY,
    browser_digest TEXT NOT NULL,
    content        TEXT NOT NULL,
    session_digest TEXT,
    expires_at     BIGINT NOT NULL
);
CREATE INDEX transactions_expiry ON transactions (expires_at);

CREATE TABLE consents (
    user_id       TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id     TEXT NOT NULL,
    resource      TEXT NOT NULL,
    scopes        TEXT NOT NULL,
    redirect_uris TEXT NOT NULL,
    granted_at    BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id, resource)
);

CREATE TABLE grants (
    id         TEXT PRIMARY KEY,
    user_id    TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    client_id  TEXT NOT NULL,
    resources  TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    refresh    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX grants_expiry ON grants (expires_at);
CREATE INDEX grants_client ON grants (client_id);

CREATE TABLE codes (
    digest         TEXT PRIMARY KEY,
    grant_id       TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    redirect_uri   TEXT NOT NULL,
    code_challenge TEXT NOT NULL,
    expires_at     BIGINT NOT NULL,
    failures       BIGINT NOT NULL DEFAULT 0,
    redeemed_at    BIGINT
);
CREATE INDEX codes_grant ON codes (grant_id);

CREATE TABLE refresh_tokens (
    digest         TEXT PRIMARY KEY,
    grant_id       TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    expires_at     BIGINT NOT NULL,
    rotated_at     BIGINT,
    successor_salt TEXT
);
CREATE INDEX refresh_tokens_grant ON refresh_tokens (grant_id);

CREATE TABLE access_tokens (
    jti        TEXT PRIMARY KEY,
    grant_id   TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX access_tokens_grant ON access_tokens (grant_id);
CREATE INDEX access_tokens_expiry ON access_tokens (expires_at);

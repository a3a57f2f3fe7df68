-- Refresh tokens are kept by their grant and access tokens by the second they were issued in, so that a refresh touches as
-- few pages that no other one touches as it can. WITHOUT_ROWID stands for what makes SQLite keep the rows themselves in
-- that order; PostgreSQL has nothing like it.

-- Other servers may be at work on PostgreSQL: those that write begin with the grant, those that read with the token, and
-- both wait at their first table, instead of for each other and for this.
LOCK_GRANTS_AND_TOKENS;

-- names_grant: 0 for those of earlier versions, which name their grant nowhere and are found by the digest alone
CREATE TABLE refresh_tokens_next (
    grant_id       TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    digest         TEXT NOT NULL,
    names_grant    BIGINT NOT NULL DEFAULT 0,
    expires_at     BIGINT NOT NULL,
    rotated_at     BIGINT,
    successor_salt TEXT,
    PRIMARY KEY (grant_id, digest)
) WITHOUT_ROWID;
INSERT INTO refresh_tokens_next (grant_id, digest, expires_at, rotated_at, successor_salt)
SELECT grant_id, digest, expires_at, rotated_at, successor_salt FROM refresh_tokens ORDER BY grant_id, digest;
DROP TABLE refresh_tokens;
ALTER TABLE refresh_tokens_next RENAME TO refresh_tokens;
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);
CREATE INDEX refresh_tokens_unnamed ON refresh_tokens (digest) WHERE names_grant = 0;

CREATE TABLE access_tokens_next (
    issued_at      BIGINT NOT NULL,
    digest         TEXT NOT NULL,
    jti            TEXT NOT NULL,
    grant_id       TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
    audience       TEXT NOT NULL,
    scopes         TEXT NOT NULL,
    expires_at     BIGINT NOT NULL,
    status_index   BIGINT NOT NULL,
    key_thumbprint TEXT,
    revoked_at     BIGINT,
    PRIMARY KEY (issued_at, digest)
);
INSERT INTO access_tokens_next (issued_at, digest, jti, grant_id, audience, scopes, expires_at, status_index,
                                key_thumbprint, revoked_at)
SELECT issued_at, digest, jti, grant_id, audience, scopes, expires_at, status_index, key_thumbprint, revoked_at
FROM access_tokens ORDER BY issued_at, digest;
DROP TABLE access_tokens;
ALTER TABLE access_tokens_next RENAME TO access_tokens;
CREATE INDEX access_tokens_grant ON access_tokens (grant_id);
CREATE INDEX access_tokens_expiry ON access_tokens (expires_at);
CREATE INDEX access_tokens_revoked ON access_tokens (status_index) WHERE revoked_at IS NOT NULL;

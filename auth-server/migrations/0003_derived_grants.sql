-- Grants that were derived from others and end with them, tokens that are bound to a key, and users whom another
-- issuer's assertions name.

ALTER TABLE grants ADD COLUMN parent_id TEXT;
CREATE INDEX grants_parent ON grants (parent_id) WHERE parent_id IS NOT NULL;

ALTER TABLE access_tokens ADD COLUMN key_thumbprint TEXT;

CREATE TABLE identities (
    issuer    TEXT NOT NULL,
    subject   TEXT NOT NULL,
    user_id   TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    linked_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_user ON identities (user_id);

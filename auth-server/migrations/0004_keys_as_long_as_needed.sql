-- needed_until: when the last of what a key signed has expired
ALTER TABLE signing_keys ADD COLUMN needed_until BIGINT NOT NULL DEFAULT 0;

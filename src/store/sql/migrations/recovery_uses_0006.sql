-- Uses of recovery codes that their person was not told of yet.
CREATE TABLE recovery_uses (
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, used_at)
);

-- The audit trail: rows are added, never changed, and removed only because of their age.
-- `account_id` refers to nothing, so that a row outlives its account.
CREATE TABLE audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    event TEXT NOT NULL,
    outcome TEXT NOT NULL,
    factor TEXT,
    account_id TEXT,
    name TEXT,
    actor TEXT NOT NULL,
    operator TEXT,
    address TEXT,
    user_agent TEXT,
    reference TEXT,
    node TEXT NOT NULL,
    detail TEXT NOT NULL,
    previous TEXT NOT NULL,
    head TEXT NOT NULL,
    hash TEXT NOT NULL
);

CREATE INDEX audit_account ON audit (account_id, seq);
CREATE INDEX audit_name ON audit (name, seq);
CREATE INDEX audit_time ON audit (at);

-- The newest row: whoever appends locks this one.
CREATE TABLE audit_head (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL,
    signature TEXT NOT NULL,
    pruned BIGINT NOT NULL,
    pruned_signature TEXT NOT NULL,
    checkpoint_at BIGINT NOT NULL
);

INSERT INTO audit_head (id, seq, hash, signature, pruned, pruned_signature, checkpoint_at)
VALUES (1, 0, '', '', 0, '', 0);

CREATE TABLE audit_checkpoints (
    seq BIGINT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL,
    at BIGINT NOT NULL,
    signature TEXT NOT NULL
);


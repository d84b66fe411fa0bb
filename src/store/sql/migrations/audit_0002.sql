-- The audit trail: rows are added, never changed. `account_id` refers to nothing, so that a row
-- outlives its account.
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
    detail TEXT NOT NULL
);

CREATE INDEX audit_account ON audit (account_id, seq);
CREATE INDEX audit_time ON audit (at);

-- The number of the newest row: whoever appends locks it.
CREATE TABLE audit_head (
    id BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
);

INSERT INTO audit_head (id, seq) VALUES (1, 0);

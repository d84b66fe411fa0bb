-- Keys are hashes of tokens; records are JSON. What changes after filing has a column of its own,
-- so that no record is ever read, changed and written back.
CREATE TABLE pending_logins (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL,
    record TEXT NOT NULL,
    enrolment TEXT,
    guesses BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX pending_logins_account ON pending_logins (account_id);
CREATE INDEX pending_logins_expiry ON pending_logins (expires_at);

CREATE TABLE sessions (
    id TEXT NOT NULL PRIMARY KEY,
    public_id TEXT NOT NULL UNIQUE,
    account_id TEXT NOT NULL,
    record TEXT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    recovery_codes_due TEXT,
    keep_until BIGINT NOT NULL
);

CREATE INDEX sessions_account ON sessions (account_id);
CREATE INDEX sessions_expiry ON sessions (keep_until);

CREATE TABLE attempts (
    key TEXT NOT NULL PRIMARY KEY,
    tries BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX attempts_expiry ON attempts (expires_at);

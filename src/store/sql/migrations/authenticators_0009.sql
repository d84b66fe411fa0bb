-- Authenticators of every kind, several to an account. The kind says how `sealed` is read and what
-- `counter` counts: the last used time step, or the signature counter of a key. `lookup` finds an
-- authenticator without its account, by the digest of a credential id.
CREATE TABLE authenticators (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    sealed TEXT NOT NULL,
    lookup TEXT UNIQUE,
    counter BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    failures BIGINT NOT NULL DEFAULT 0,
    wait_until BIGINT NOT NULL DEFAULT 0,
    suspended_at BIGINT
);

CREATE INDEX authenticators_account ON authenticators (account_id);

-- One authenticator app to an account: its failures are those of the account.
CREATE UNIQUE INDEX authenticators_totp ON authenticators (account_id) WHERE kind = 'totp';

INSERT INTO authenticators (id, account_id, kind, name, sealed, counter, created_at, last_used_at,
    failures, wait_until, suspended_at)
SELECT id, account_id, 'totp', '', sealed, last_step, confirmed_at, last_used_at, failures,
    wait_until, suspended_at
FROM totp_factors;

DROP TABLE totp_factors;

-- One ticket an account at most; a right that was used is 0.
CREATE TABLE tickets (
    account_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    hash TEXT NOT NULL UNIQUE,
    sets_password BIGINT NOT NULL,
    enrols BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- What a login that began with a recovery code in place of the password has proved since: the
-- second factor, so that a new password may be set. Keyed by that login.
CREATE TABLE password_resets (
    login_hash TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    method TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

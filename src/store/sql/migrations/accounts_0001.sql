-- TEXT and BIGINT only, so that SQLite and PostgreSQL share these statements.
-- Moments are milliseconds since the Unix epoch (UTC); ids are hexadecimal digits.
CREATE TABLE accounts (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    display_name TEXT NOT NULL,
    email TEXT,
    group_names TEXT NOT NULL,
    password_phc TEXT,
    password_pepper TEXT,
    disabled BIGINT NOT NULL,
    ever_enrolled BIGINT NOT NULL,
    sessions_valid_from BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE totp_factors (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    sealed TEXT NOT NULL,
    last_step BIGINT NOT NULL,
    confirmed_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);

CREATE UNIQUE INDEX totp_factors_account ON totp_factors (account_id);

CREATE TABLE recovery_sets (
    account_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    salt TEXT NOT NULL,
    pepper_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    confirmed_at BIGINT,
    last_used_at BIGINT
);

CREATE TABLE recovery_codes (
    account_id TEXT NOT NULL REFERENCES recovery_sets (account_id) ON DELETE CASCADE,
    hash TEXT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (account_id, hash)
);

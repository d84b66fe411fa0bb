-- Consecutive wrong guesses at a factor: counted before anything is compared, forgotten when one is
-- right. They lie beside the factor, so that they last as long as it does and no longer.
ALTER TABLE totp_factors ADD COLUMN failures BIGINT NOT NULL DEFAULT 0;
ALTER TABLE totp_factors ADD COLUMN wait_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE totp_factors ADD COLUMN suspended_at BIGINT;
ALTER TABLE recovery_sets ADD COLUMN failures BIGINT NOT NULL DEFAULT 0;
ALTER TABLE recovery_sets ADD COLUMN wait_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE recovery_sets ADD COLUMN suspended_at BIGINT;

-- Browsers that became known before this moment are strangers.
ALTER TABLE accounts ADD COLUMN devices_valid_from BIGINT NOT NULL DEFAULT 0;

-- Right password, wrong code: what the person has yet to be told, by the login it happened in.
CREATE TABLE wrong_codes (
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    login TEXT NOT NULL,
    tries BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    address TEXT NOT NULL,
    PRIMARY KEY (account_id, login)
);

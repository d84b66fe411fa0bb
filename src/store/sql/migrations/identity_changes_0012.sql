-- Counts the changes to the account's identity since the session was filed.
ALTER TABLE sessions ADD COLUMN identity_changes BIGINT NOT NULL DEFAULT 0;

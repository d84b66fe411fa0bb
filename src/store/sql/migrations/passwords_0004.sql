-- When the password was set; unknown for those that were set before.
ALTER TABLE accounts ADD COLUMN password_set_at BIGINT;

-- What a session offers until it is confirmed, sealed.
ALTER TABLE sessions ADD COLUMN offered_authenticator TEXT;
ALTER TABLE sessions ADD COLUMN offered_recovery_codes TEXT;

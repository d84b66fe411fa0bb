-- Sessions as remembered beyond their expiry. The record is JSON.
CREATE TABLE former_sessions (
    id TEXT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX former_sessions_by_expiry ON former_sessions (expires_at);

-- Requests that wait for their sender to sign in again, sealed.
CREATE TABLE parked_requests (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL,
    sealed TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX parked_requests_by_account ON parked_requests (account_id, expires_at);
CREATE INDEX parked_requests_by_expiry ON parked_requests (expires_at);

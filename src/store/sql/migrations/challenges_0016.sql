-- Challenges of passkeys and security keys that wait for an answer. The record is JSON.
CREATE TABLE challenges (
    id TEXT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL,
    origin_group TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX challenges_by_group ON challenges (origin_group, expires_at);
CREATE INDEX challenges_by_expiry ON challenges (expires_at);

-- Challenges of the sign-in page that a passkey answered. The challenge cannot be derived from the id.
CREATE TABLE used_challenges (
    id TEXT NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX used_challenges_by_expiry ON used_challenges (expires_at);

-- Sessions at apps below a session at the portal, and the tickets that lead to them. Keys are hashes of
-- tokens. A branch without its root is no session, so an end of the root ends it.
CREATE TABLE branches (
    id TEXT NOT NULL PRIMARY KEY,
    root TEXT NOT NULL,
    tree TEXT NOT NULL,
    app TEXT NOT NULL,
    proofs TEXT NOT NULL,
    keep_until BIGINT NOT NULL
);

CREATE INDEX branches_by_root ON branches (root);
CREATE INDEX branches_by_expiry ON branches (keep_until);

-- What app tokens are bound to.
CREATE VIEW token_holders AS
    SELECT id, account_id FROM sessions
    UNION ALL
    SELECT branches.id, sessions.account_id FROM branches
    JOIN sessions ON sessions.id = branches.root;

CREATE TABLE hand_overs (
    id TEXT NOT NULL PRIMARY KEY,
    record TEXT NOT NULL,
    root TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX hand_overs_by_root ON hand_overs (root, expires_at);
CREATE INDEX hand_overs_by_expiry ON hand_overs (expires_at);

-- Ends of sessions, so that no older copy of the session store brings one back. A subject is a session by its
-- id or by the hash of its token, an account, or "all". The ids are random, so none is like another.
CREATE TABLE ended_sessions (
    subject TEXT NOT NULL PRIMARY KEY,
    started_before BIGINT NOT NULL,
    except_session TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX ended_sessions_by_expiry ON ended_sessions (expires_at);

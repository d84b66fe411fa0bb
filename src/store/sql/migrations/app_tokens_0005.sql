-- Tokens that apps gave out within sessions, by hash; one whose session is gone counts for nothing.
CREATE TABLE app_tokens (
    id TEXT NOT NULL PRIMARY KEY,
    session_id TEXT NOT NULL,
    number INTEGER NOT NULL
);

CREATE INDEX app_tokens_session ON app_tokens (session_id);

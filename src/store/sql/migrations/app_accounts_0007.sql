-- Who at an app is which account, by the id the app itself has for its people.
CREATE TABLE app_accounts (
    app TEXT NOT NULL,
    subject TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    linked_at BIGINT NOT NULL,
    PRIMARY KEY (app, subject)
);

CREATE UNIQUE INDEX app_accounts_account ON app_accounts (account_id, app);

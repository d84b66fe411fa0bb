-- Names and networks are keyed digests.
CREATE TABLE seen_networks (
    name TEXT NOT NULL,
    network TEXT NOT NULL,
    account_id TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    keep_until BIGINT NOT NULL,
    PRIMARY KEY (name, network)
);

CREATE INDEX seen_networks_expiry ON seen_networks (keep_until);

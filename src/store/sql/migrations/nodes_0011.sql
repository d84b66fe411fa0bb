-- Keys that nodes have written with.
CREATE TABLE key_uses (
    ring TEXT NOT NULL,
    digest TEXT NOT NULL,
    key_id TEXT NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (ring, digest)
);

-- Running nodes. A row that is not renewed expires.
CREATE TABLE nodes (
    instance TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    config TEXT NOT NULL,
    key_marks TEXT NOT NULL,
    seen_at BIGINT NOT NULL
);

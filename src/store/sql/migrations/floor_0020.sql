-- The last migration that a version must know to run on this database. The first migration of a
-- release sets it to the last one of the release before.
CREATE TABLE schema_floor (
    id BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);

INSERT INTO schema_floor (id, version) VALUES (1, 20);

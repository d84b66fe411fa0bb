-- What there is to say of refused requests, for a day. The record is JSON.
CREATE TABLE refusals (
    reference TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    record TEXT NOT NULL
);

CREATE INDEX refusals_at ON refusals (at);

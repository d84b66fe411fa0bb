-- The relying party that a key is registered with.
ALTER TABLE authenticators ADD COLUMN rp_id TEXT;

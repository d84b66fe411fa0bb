-- Against mistakes; against malice there are the hashes.
CREATE TRIGGER audit_only_appended BEFORE INSERT ON audit
WHEN NEW.seq <> (SELECT seq FROM audit_head WHERE id = 1)
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is appended to by Vestibule only');
END;

CREATE TRIGGER audit_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is never changed');
END;

CREATE TRIGGER audit_removed_by_age_only BEFORE DELETE ON audit
WHEN OLD.seq > (SELECT pruned FROM audit_head WHERE id = 1)
BEGIN
    SELECT RAISE(ABORT, 'the audit trail loses rows by their age only');
END;

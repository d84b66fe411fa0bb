-- Against mistakes; against malice there are the hashes.
CREATE FUNCTION audit_guard() RETURNS trigger LANGUAGE plpgsql AS $guard$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.seq <> (SELECT seq FROM audit_head WHERE id = 1) THEN
            RAISE EXCEPTION 'the audit trail is appended to by Vestibule only';
        END IF;
        RETURN NEW;
    ELSIF TG_OP = 'DELETE' THEN
        IF OLD.seq > (SELECT pruned FROM audit_head WHERE id = 1) THEN
            RAISE EXCEPTION 'the audit trail loses rows by their age only';
        END IF;
        RETURN OLD;
    ELSIF TG_OP = 'TRUNCATE' THEN
        RAISE EXCEPTION 'the audit trail is never emptied';
    END IF;
    RAISE EXCEPTION 'the audit trail is never changed';
END
$guard$;

CREATE TRIGGER audit_guard BEFORE INSERT OR UPDATE OR DELETE ON audit
FOR EACH ROW EXECUTE FUNCTION audit_guard();

CREATE TRIGGER audit_guard_all BEFORE TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_guard();

-- Sanctions forbid a person to write, or to take part at all. If the room is null they apply
-- everywhere, and the row is written while the fence lock is held exclusively (src/db/fence.rs). A
-- row with a room is written in a transaction that raises the room's `rights`. So no entry is
-- committed after the commit that forbids it.
CREATE TABLE sanction (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT sanction_pk PRIMARY KEY,
    public_id  uuid        NOT NULL CONSTRAINT sanction_public_id_key UNIQUE,
    visitor_id bigint      NOT NULL CONSTRAINT sanction_visitor_fk REFERENCES visitor,
    room_id    bigint      CONSTRAINT sanction_room_fk REFERENCES chat_room ON DELETE CASCADE,
    -- Further sanctions (a warning, a suspension) are new kinds: replace this constraint by one
    -- with them. A ban with a room is a kick: the membership has ended, and the visitor cannot join
    -- again until its end.
    kind       text        NOT NULL CONSTRAINT sanction_kind_known CHECK (kind IN ('mute', 'ban')),
    -- Shown to the visitor.
    reason     text        NOT NULL CONSTRAINT sanction_reason_length CHECK (char_length(reason) BETWEEN 1 AND 500),
    -- Null as long as there is no staff.
    author_id  bigint      CONSTRAINT sanction_author_fk REFERENCES visitor ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Null if it lasts until it is lifted. By the database's clock.
    until      timestamptz CONSTRAINT sanction_until_later CHECK (until > created_at),
    lifted_at  timestamptz,
    lifted_by  bigint      CONSTRAINT sanction_lifter_fk REFERENCES visitor ON DELETE SET NULL,
    CONSTRAINT sanction_lifter_has_time CHECK (lifted_by IS NULL OR lifted_at IS NOT NULL)
);
CREATE INDEX sanction_active ON sanction (visitor_id) WHERE lifted_at IS NULL;
CREATE INDEX sanction_author ON sanction (author_id) WHERE author_id IS NOT NULL;
CREATE INDEX sanction_lifter ON sanction (lifted_by) WHERE lifted_by IS NOT NULL;
CREATE INDEX sanction_room ON sanction (room_id) WHERE room_id IS NOT NULL;

-- Returns the most severe sanction in effect against a visitor, in a room or everywhere: a ban
-- everywhere, then a ban in the room, then a mute; among equals the one that lasts longest. Only
-- this function defines what "in effect" means.
CREATE FUNCTION active_restriction(visitor bigint, room bigint)
    RETURNS TABLE (kind text, in_room boolean, until timestamptz, ends_in_ms bigint, reason text)
    LANGUAGE sql STABLE AS $$
    SELECT s.kind, s.room_id IS NOT NULL, s.until,
           ceil(extract(epoch FROM s.until - statement_timestamp()) * 1000)::bigint, s.reason
    FROM sanction s
    WHERE s.visitor_id = $1 AND (s.room_id IS NULL OR s.room_id = $2)
      AND s.lifted_at IS NULL AND (s.until IS NULL OR s.until > statement_timestamp())
    ORDER BY s.kind = 'ban' AND s.room_id IS NULL DESC, s.kind = 'ban' DESC, s.until DESC NULLS FIRST
    LIMIT 1
$$;

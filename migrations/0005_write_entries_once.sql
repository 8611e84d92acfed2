-- A batch of entries in one round trip, as before (0004), with one visit to each head rather than two: heads are moved and
-- locked by the same update. It writes when nothing has changed since its senders were checked; otherwise it takes back what
-- it moved, writes nothing and answers no row, and the writer asks who may still write (src/rooms/writer.rs). Each statement
-- of a volatile function has a snapshot of its own: that of the fence's version is younger than the wait for the fence, and
-- until the transaction ends the version cannot rise. A head that another batch holds is looked at again once it is let go.
--
-- `rooms` are distinct and in order, so that batches wait for each other in one direction; `expected` their rights, `counts`
-- how many entries each gets. Of the rows, `at` is the place of the row's room in `rooms`, from 1, and `nth` its place among
-- the room's entries, from 1.
CREATE OR REPLACE FUNCTION write_entries(
    patience_ms integer, fence_key bigint, known_fence bigint, rooms bigint[], expected bigint[], counts bigint[],
    at integer[], nth bigint[], client_ids uuid[], senders bigint[], replies bigint[], payloads text[], prefixes bytea[]
) RETURNS TABLE (heads bigint[], written_at timestamptz) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    moved bigint[];
BEGIN
    -- The writer gives up soon afterwards: what it answers `unavailable` should not be written behind its back.
    PERFORM set_config('lock_timeout', patience_ms || 'ms', true);
    PERFORM pg_advisory_xact_lock_shared(fence_key);
    IF (SELECT f.version FROM fence f) <> known_fence THEN
        RETURN;
    END IF;
    WITH head AS (
        UPDATE room_head h SET seq = h.seq + t.count FROM unnest(rooms, expected, counts) AS t(room, rights, count)
        WHERE h.room_id = t.room AND h.rights = t.rights
        RETURNING h.room_id, h.seq - t.count AS seq
    )
    SELECT array_agg(head.room_id ORDER BY head.room_id), array_agg(head.seq ORDER BY head.room_id)
    INTO moved, heads FROM head;
    IF moved IS DISTINCT FROM rooms OR EXISTS (
        SELECT FROM unnest(at, nth, replies) AS t(at, nth, reply) WHERE t.reply NOT BETWEEN 1 AND heads[t.at] + t.nth - 1
    ) THEN
        UPDATE room_head h SET seq = t.seq FROM unnest(moved, heads) AS t(room, seq) WHERE h.room_id = t.room;
        RETURN;
    END IF;
    written_at := clock_timestamp();
    INSERT INTO message (room_id, seq, client_id, sender_id, reply_to, payload, created_at, prefix_hash)
    SELECT rooms[t.at], heads[t.at] + t.nth, t.client, t.sender, t.reply, t.payload::jsonb, written_at, t.prefix
    FROM unnest(at, nth, client_ids, senders, replies, payloads, prefixes)
         AS t(at, nth, client, sender, reply, payload, prefix);
    RETURN NEXT;
END
$$;

-- Writes a batch of entries in one round trip: takes the fence lock, locks the heads, inserts the
-- numbered rows, moves the heads. If something has changed since the senders were checked, it
-- writes nothing and returns no row, and the writer checks again who is allowed to write
-- (src/rooms/log/batch.rs). Each statement of a volatile function has its own snapshot, so that of the
-- fence's version is younger than the wait for the lock. Until the transaction ends the version
-- cannot rise.
--
-- `rooms` are distinct and in order; `expected` are the versions of their rights; `counts` are the
-- numbers of entries for each. For each row, `at` is the position of its room in `rooms`, and `nth`
-- its position among the room's entries, both from 1.
CREATE FUNCTION write_entries(
    lock_timeout_ms integer, fence_key bigint, known_fence bigint, rooms bigint[], expected bigint[], counts bigint[],
    at integer[], nth bigint[], client_ids uuid[], senders bigint[], replies bigint[], payloads text[], prefixes bytea[]
) RETURNS TABLE (heads bigint[], written_at timestamptz) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    found_rights bigint[];
BEGIN
    -- The writer's deadline follows soon after. An entry that it answers with `unavailable` should
    -- not be written later.
    PERFORM set_config('lock_timeout', lock_timeout_ms || 'ms', true);
    PERFORM pg_advisory_xact_lock_shared(fence_key);
    IF (SELECT f.version FROM fence f) <> known_fence THEN
        RETURN;
    END IF;
    SELECT array_agg(h.seq), array_agg(h.rights) INTO heads, found_rights
    FROM (SELECT seq, rights FROM room_head WHERE room_id = ANY (rooms) ORDER BY room_id FOR UPDATE) h;
    IF found_rights IS DISTINCT FROM expected THEN
        RETURN;
    END IF;
    IF EXISTS (
        SELECT FROM unnest(at, nth, replies) AS t(at, nth, reply) WHERE t.reply NOT BETWEEN 1 AND heads[t.at] + t.nth - 1
    ) THEN
        RETURN;
    END IF;
    written_at := clock_timestamp();
    INSERT INTO message (room_id, seq, client_id, sender_id, reply_to, payload, created_at, prefix_hash)
    SELECT rooms[t.at], heads[t.at] + t.nth, t.client, t.sender, t.reply, t.payload::jsonb, written_at, t.prefix
    FROM unnest(at, nth, client_ids, senders, replies, payloads, prefixes)
         AS t(at, nth, client, sender, reply, payload, prefix);
    UPDATE room_head h SET seq = h.seq + t.count FROM unnest(rooms, counts) AS t(room, count) WHERE h.room_id = t.room;
    RETURN NEXT;
END
$$;

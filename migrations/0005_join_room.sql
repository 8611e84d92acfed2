-- Creates or restores a visitor's membership of a room in one round trip. Returns the restriction
-- in effect, if there is one; a ban or a kick prevents the membership. The head is locked first, so
-- that `joined_seq` is exact. A kick locks the head too: either it was committed before and is seen
-- here, because each statement of a volatile function has its own snapshot, or it comes later and
-- ends the membership.
--
-- Refuses a visitor whose session has ended (`ended`), and takes the fence lock shared, so that
-- neither a ban nor the end of the session can be committed before the membership is.
CREATE FUNCTION join_room(
    fence_key bigint, epoch bigint, room bigint, visitor bigint, new_public_id uuid, new_role text, new_color text,
    new_animal text, new_name text
) RETURNS TABLE (ended boolean, kind text, in_room boolean, ends_in_ms bigint) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    head bigint;
BEGIN
    SELECT w.ended INTO ended FROM write_refusal(fence_key, visitor, epoch) w;
    IF ended THEN
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT h.seq INTO STRICT head FROM room_head h WHERE h.room_id = room FOR UPDATE;
    SELECT b.kind, b.in_room, b.ends_in_ms INTO kind, in_room, ends_in_ms FROM active_restriction(visitor, room) b;
    IF kind IS DISTINCT FROM 'ban' THEN
        INSERT INTO membership (room_id, visitor_id, public_id, role, color, animal, name, joined_seq)
        VALUES (room, visitor, new_public_id, new_role, new_color, new_animal, new_name, head)
        ON CONFLICT ON CONSTRAINT membership_pk DO UPDATE
            SET left_at = NULL, joined_at = now(), joined_seq = excluded.joined_seq;
    END IF;
    RETURN NEXT;
END
$$;

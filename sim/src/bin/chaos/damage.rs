//! Planted damage: stored data is changed just before the check, to show that the checker notices.
//! `--plant` chooses the kind.
use tokio_postgres::Client;

/// Each kind of damage, the kind of problem that must be found, and the statements that do it.
pub const ALL: [(&str, &str, &str); 10] = [
    (
        "lost",
        "lost",
        // Deletes the newest entry of the longest log and moves the head back: the log has no gap,
        // but an acknowledged entry is lost.
        "WITH longest AS (SELECT room_id, seq FROM room_head ORDER BY seq DESC LIMIT 1),
              gone AS (DELETE FROM message m USING longest l WHERE m.room_id = l.room_id AND m.seq = l.seq)
         UPDATE room_head h SET seq = h.seq - 1 FROM longest l WHERE h.room_id = l.room_id",
    ),
    ("gap", "gap", "DELETE FROM message WHERE seq = 3 AND room_id = (SELECT room_id FROM room_head ORDER BY seq DESC LIMIT 1)"),
    (
        "doubled",
        "doubled",
        "ALTER TABLE message DROP CONSTRAINT message_client_id_key;
         WITH longest AS (UPDATE room_head SET seq = seq + 1 WHERE room_id = (SELECT room_id FROM room_head ORDER BY seq DESC LIMIT 1)
                          RETURNING room_id, seq)
         INSERT INTO message (room_id, seq, client_id, sender_id, payload, created_at)
         SELECT m.room_id, l.seq, m.client_id, m.sender_id, m.payload, m.created_at
         FROM message m JOIN longest l ON l.room_id = m.room_id WHERE m.seq = 1",
    ),
    (
        "swapped",
        "changed",
        "UPDATE message m SET payload = o.payload, client_id = gen_random_uuid() FROM message o
         WHERE m.seq = 2 AND o.seq = 1 AND o.room_id = m.room_id
           AND m.room_id = (SELECT room_id FROM room_head ORDER BY seq DESC LIMIT 1)",
    ),
    ("dated", "clock", "UPDATE message SET created_at = created_at + interval '1 minute' WHERE seq = 2"),
    ("ahead", "clock", "UPDATE random_session SET ended_at = ended_at + interval '25 hours' WHERE id = (SELECT max(id) FROM random_session WHERE ended_at IS NOT NULL)"),
    ("reworded", "changed", "UPDATE message SET payload = jsonb_set(payload, '{text}', '\"other\"') WHERE seq = 2"),
    (
        "overlap",
        "double match",
        "UPDATE random_session SET ended_at = ended_at + interval '1 hour' WHERE id = (SELECT min(id) FROM random_session)",
    ),
    (
        "slot",
        "double match",
        "DELETE FROM membership WHERE slot = 'B' AND room_id = (SELECT min(room_id) FROM random_session)",
    ),
    (
        "ticket",
        "waiter",
        // Gives a ticket to a visitor who never sought. Without the trigger the nodes would delete
        // it within a second.
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER keep BEFORE DELETE ON random_ticket FOR EACH ROW EXECUTE FUNCTION keep();
         INSERT INTO random_ticket (public_id, visitor_id, node, interests, languages, translate, since)
         SELECT gen_random_uuid(), (SELECT min(id) FROM visitor), gen_random_uuid(), '{}', '{xx}', false, now()",
    ),
];

/// Damages the stored data. Returns which kind of problem must be found.
pub async fn plant(db: &Client, name: &str) -> Result<&'static str, tokio_postgres::Error> {
    let (_, found_as, statements) = ALL.iter().find(|known| known.0 == name).expect("checked when it was read");
    db.batch_execute(statements).await?;
    Ok(found_as)
}

-- A block is taken back by the visitor who made it. If both have blocked, the other block stays.
ALTER TABLE visitor_block DROP CONSTRAINT visitor_block_pk;
ALTER TABLE visitor_block ADD CONSTRAINT visitor_block_pk PRIMARY KEY (low, high, blocker_id);
-- The list of the people whom a visitor blocked names them as the visitor knew them then, in that
-- room. Talks are deleted after a day, and another room would show another name.
ALTER TABLE visitor_block
    ADD COLUMN public_id uuid    NOT NULL DEFAULT gen_random_uuid() CONSTRAINT visitor_block_public_id_key UNIQUE,
    ADD COLUMN color     text,
    -- Null if the person chose the name.
    ADD COLUMN animal    text,
    ADD COLUMN name      text;
CREATE INDEX visitor_block_blocker ON visitor_block (blocker_id);

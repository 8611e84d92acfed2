-- A block is taken back by the visitor who made it. If both have blocked, the other block stays.
ALTER TABLE visitor_block DROP CONSTRAINT visitor_block_pk;
ALTER TABLE visitor_block ADD CONSTRAINT visitor_block_pk PRIMARY KEY (low, high, blocker_id);

-- Who has the editor of a section open: a hint for the others, lost without harm.
CREATE UNLOGGED TABLE editor_presence (
    group_id uuid        NOT NULL,
    handle   text        NOT NULL,
    seen_at  timestamptz NOT NULL,
    CONSTRAINT editor_presence_pk PRIMARY KEY (group_id, handle)
);

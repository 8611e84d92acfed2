-- The founding schema. Rooms and visitors have bigint ids inside; outside, only their UUIDs are
-- visible. All constraints have names, which the code turns into errors for users (src/error.rs,
-- `.on_constraint`).

-- Accounts ----------------------------------------------------------------------------------------
CREATE TABLE visitor (
    id             bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT visitor_pk PRIMARY KEY,
    public_id      uuid        NOT NULL CONSTRAINT visitor_public_id_key UNIQUE,
    color          text        NOT NULL,
    animal         text        NOT NULL,
    name           text        CONSTRAINT visitor_name_length CHECK (char_length(name) BETWEEN 1 AND 24),
    locale         text        NOT NULL CONSTRAINT visitor_locale_tag CHECK (locale ~ '^[a-z]{2,8}(-[A-Za-z0-9]{1,8})*$'),
    settings       jsonb       NOT NULL DEFAULT '{}',
    rules_accepted text,
    rules_at       timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    last_used_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX visitor_last_used ON visitor (last_used_at);
-- Staff search people by the name that they chose.
CREATE INDEX visitor_name ON visitor (lower(name)) WHERE name IS NOT NULL;

-- The record of a cookie (tower-sessions). Only the hash of the session's identifier is stored.
CREATE TABLE session (
    id_hash      bytea       CONSTRAINT session_pk PRIMARY KEY,
    visitor_id   bigint      CONSTRAINT session_visitor_fk REFERENCES visitor ON DELETE CASCADE,
    data         jsonb       NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL
);
CREATE INDEX session_visitor ON session (visitor_id);
CREATE INDEX session_expires ON session (expires_at);

-- The visitors with an open socket on each node, written by the node every two seconds. Unlogged: a
-- crash of Postgres empties the table, and the nodes write their rows again.
CREATE UNLOGGED TABLE node_visitors (
    node     uuid        CONSTRAINT node_visitors_pk PRIMARY KEY,
    visitors bigint[]    NOT NULL,
    seen_at  timestamptz NOT NULL
);

-- Rooms -------------------------------------------------------------------------------------------
CREATE TABLE chat_room (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT chat_room_pk PRIMARY KEY,
    public_id  uuid        NOT NULL CONSTRAINT chat_room_public_id_key UNIQUE,
    slug       text        CONSTRAINT chat_room_slug_key UNIQUE,
    kind       text        NOT NULL CONSTRAINT chat_room_kind_known CHECK (kind IN ('talk', 'public', 'private')),
    naming     text        NOT NULL CONSTRAINT chat_room_naming_known CHECK (naming IN ('anonymous', 'named')),
    title      text        CONSTRAINT chat_room_title_length CHECK (char_length(title) BETWEEN 1 AND 80),
    topic      text        CONSTRAINT chat_room_topic_length CHECK (char_length(topic) <= 200),
    history    boolean     NOT NULL DEFAULT true,
    language   text,
    owner_id   bigint      CONSTRAINT chat_room_owner_fk REFERENCES visitor ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    closed_at  timestamptz,
    CONSTRAINT chat_room_title_when_listed CHECK (kind = 'talk' OR title IS NOT NULL)
);
CREATE INDEX chat_room_listed ON chat_room (id DESC) WHERE kind = 'public' AND closed_at IS NULL;
CREATE INDEX chat_room_ended_talks ON chat_room (closed_at) WHERE kind = 'talk' AND closed_at IS NOT NULL;

-- The head of a room's log. Every writer locks this row to number entries. The table is separate
-- and its pages have free space, so that an update of a head is a heap-only update. `rights` is a
-- version: it rises whenever a person's rights in the room change.
CREATE TABLE room_head (
    room_id  bigint      CONSTRAINT room_head_pk PRIMARY KEY CONSTRAINT room_head_room_fk REFERENCES chat_room ON DELETE CASCADE,
    seq      bigint      NOT NULL DEFAULT 0 CONSTRAINT room_head_seq_rises CHECK (seq >= 0),
    rights   bigint      NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE membership (
    room_id    bigint      NOT NULL CONSTRAINT membership_room_fk REFERENCES chat_room ON DELETE CASCADE,
    visitor_id bigint      NOT NULL CONSTRAINT membership_visitor_fk REFERENCES visitor,
    public_id  uuid        NOT NULL,
    slot       text        CONSTRAINT membership_slot_known CHECK (slot IN ('A', 'B')),
    role       text        NOT NULL DEFAULT 'member' CONSTRAINT membership_role_known CHECK (role IN ('member', 'owner')),
    color      text        NOT NULL,
    animal     text,
    name       text        NOT NULL,
    joined_seq bigint      NOT NULL DEFAULT 0,
    read_seq   bigint      NOT NULL DEFAULT 0,
    joined_at  timestamptz NOT NULL DEFAULT now(),
    left_at    timestamptz,
    CONSTRAINT membership_pk PRIMARY KEY (room_id, visitor_id),
    CONSTRAINT membership_public_id_key UNIQUE (room_id, public_id)
);
-- A visitor has at most one open talk, in either slot.
CREATE UNIQUE INDEX membership_one_open_talk ON membership (visitor_id) WHERE slot IS NOT NULL AND left_at IS NULL;
-- Each slot of a talk is used once.
CREATE UNIQUE INDEX membership_slot_once ON membership (room_id, slot) WHERE slot IS NOT NULL;
CREATE INDEX membership_visitor ON membership (visitor_id);

-- The log of each room. `seq` starts at 1 and has no gaps; `client_id` is unique as long as the log
-- is kept. There is no foreign key to the room: every batch locks the room's head, which proves
-- that the room exists, and a check per row would cost more than the insert.
CREATE TABLE message (
    room_id     bigint      NOT NULL,
    seq         bigint      NOT NULL CONSTRAINT message_seq_positive CHECK (seq > 0),
    client_id   uuid        NOT NULL,
    sender_id   bigint      NOT NULL,
    verb        text        NOT NULL DEFAULT 'send' CONSTRAINT message_verb_known CHECK (verb IN ('send')),
    reply_to    bigint,
    payload     jsonb       NOT NULL,
    created_at  timestamptz NOT NULL,
    prefix_hash bytea,
    edited_at   timestamptz,
    edited_by   bigint,
    deleted_at  timestamptz,
    deleted_by  bigint,
    CONSTRAINT message_pk PRIMARY KEY (room_id, seq),
    CONSTRAINT message_client_id_key UNIQUE (room_id, client_id)
);

-- Matching ----------------------------------------------------------------------------------------
-- The waiting tickets. Unlogged: a crash of Postgres empties the table, and the nodes with the
-- sockets write their tickets again.
CREATE UNLOGGED TABLE random_ticket (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT random_ticket_pk PRIMARY KEY,
    public_id  uuid        NOT NULL,
    visitor_id bigint      NOT NULL CONSTRAINT random_ticket_visitor_key UNIQUE,
    node       uuid        NOT NULL,
    interests  text[]      NOT NULL,
    languages  text[]      NOT NULL,
    translate  boolean     NOT NULL,
    since      timestamptz NOT NULL,
    -- Whether the visitor has a socket. Visitors without one are not matched.
    connected  boolean     NOT NULL DEFAULT true,
    -- A cancelled ticket is kept for a moment, so that another node with a socket of the visitor
    -- does not write it again.
    cancelled_at timestamptz
);
CREATE INDEX random_ticket_node ON random_ticket (node);

-- The lease of a node. A node that is alive renews its row every second.
CREATE UNLOGGED TABLE node_lease (
    node         uuid        CONSTRAINT node_lease_pk PRIMARY KEY,
    seen_at      timestamptz NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- What staff see of the node. Empty for a version before these columns.
    version      text        NOT NULL DEFAULT '',
    address      text        NOT NULL DEFAULT '',
    -- Since when it has held the lock of the matcher. Null if it does not.
    leads_since  timestamptz
);

CREATE TABLE random_session (
    id           bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT random_session_pk PRIMARY KEY,
    public_id    uuid        NOT NULL CONSTRAINT random_session_public_id_key UNIQUE,
    room_id      bigint      NOT NULL CONSTRAINT random_session_room_key UNIQUE
                             CONSTRAINT random_session_room_fk REFERENCES chat_room ON DELETE CASCADE,
    a            bigint      NOT NULL CONSTRAINT random_session_a_fk REFERENCES visitor,
    b            bigint      NOT NULL CONSTRAINT random_session_b_fk REFERENCES visitor,
    shared       text[]      NOT NULL,
    languages    text[]      NOT NULL,
    relaxed      boolean     NOT NULL DEFAULT false,
    -- What each side sought with, and since when. `next` seeks with it again, and a side that is
    -- put back into the queue keeps its position.
    a_seek       jsonb       NOT NULL,
    b_seek       jsonb       NOT NULL,
    a_since      timestamptz NOT NULL,
    b_since      timestamptz NOT NULL,
    -- The ticket that each side was matched with. It tells a matched ticket from one that was lost.
    a_ticket     uuid        NOT NULL,
    b_ticket     uuid        NOT NULL,
    -- The node with the side's socket (null if the side has not entered), and since when it has no
    -- socket.
    a_node       uuid,
    b_node       uuid,
    a_away_since timestamptz,
    b_away_since timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz,
    reason       text        CONSTRAINT random_session_reason_known
                             CHECK (reason IN ('left', 'next', 'lost', 'report', 'block', 'moderator')),
    -- The side that ended the talk or was banned; null if it ended by a timeout. Only the side that
    -- reported or blocked is told so.
    ended_by     bigint,
    CONSTRAINT random_session_two_people CHECK (a <> b)
);
CREATE INDEX random_session_open ON random_session (created_at) WHERE ended_at IS NULL;
CREATE INDEX random_session_a ON random_session (a, ended_at);
CREATE INDEX random_session_b ON random_session (b, ended_at);

-- Moderation --------------------------------------------------------------------------------------
-- A block applies to both sides and has no end. One row per pair, the smaller id first.
CREATE TABLE visitor_block (
    low        bigint      NOT NULL CONSTRAINT visitor_block_low_fk REFERENCES visitor ON DELETE CASCADE,
    high       bigint      NOT NULL CONSTRAINT visitor_block_high_fk REFERENCES visitor ON DELETE CASCADE,
    blocker_id bigint      NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT visitor_block_pk PRIMARY KEY (low, high),
    CONSTRAINT visitor_block_order CHECK (low < high)
);
CREATE INDEX visitor_block_high ON visitor_block (high);

-- A report keeps a copy of the reported entries as they were when it was made, independent of the
-- log's retention.
CREATE TABLE report (
    id          bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT report_pk PRIMARY KEY,
    public_id   uuid        NOT NULL CONSTRAINT report_public_id_key UNIQUE,
    room_id     bigint      NOT NULL,
    reporter_id bigint      NOT NULL,
    reported_id bigint,
    reason      text        NOT NULL CONSTRAINT report_reason_known
                            CHECK (reason IN ('spam', 'harassment', 'sexual', 'minor', 'violence', 'other')),
    note        text        CONSTRAINT report_note_length CHECK (char_length(note) <= 1000),
    evidence    jsonb       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX report_room ON report (room_id);
CREATE INDEX report_created ON report (created_at);

-- What a reporter has reported: a whole talk (seq 0) or entries of a room, each once. A repeated
-- report finds the first one, even if both arrive at the same time. Written before its report, in
-- the same transaction.
CREATE TABLE report_subject (
    reporter_id bigint NOT NULL,
    room_id     bigint NOT NULL,
    seq         bigint NOT NULL CONSTRAINT report_subject_seq CHECK (seq >= 0),
    report_id   uuid   NOT NULL CONSTRAINT report_subject_report_fk REFERENCES report (public_id) ON DELETE CASCADE
                       DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT report_subject_pk PRIMARY KEY (reporter_id, room_id, seq)
);
CREATE INDEX report_subject_report ON report_subject (report_id);

-- Rights taken away from a person everywhere: `fence` counts the revocations, `revocation` lists
-- them (src/db/fence.rs).
CREATE TABLE fence (
    one     boolean CONSTRAINT fence_pk PRIMARY KEY DEFAULT true CONSTRAINT fence_single CHECK (one),
    version bigint NOT NULL DEFAULT 0
);
INSERT INTO fence DEFAULT VALUES;
CREATE TABLE revocation (
    version    bigint      CONSTRAINT revocation_pk PRIMARY KEY,
    visitor_id bigint      NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Keys that all nodes share, such as the key of address hashes. Created at the first start.
CREATE TABLE secret (
    name  text  CONSTRAINT secret_pk PRIMARY KEY,
    value bytea NOT NULL
);

-- The pages ---------------------------------------------------------------------------------------
-- A language is a BCP 47 tag. The code (src/locale) and the content decide which ones exist, so no
-- constraint lists them.
--
-- One section is one language. Sections of one group are translations of each other. `draft` is what
-- an editor saves; visitors see the content of `published_version` (section_version). What is
-- scheduled is kept with the schedule, so that a later save does not change it. `position` and
-- `visible` take effect at once; a deleted section has no position.
CREATE TABLE page_section (
    id                bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT page_section_pk PRIMARY KEY,
    group_id          uuid        NOT NULL DEFAULT gen_random_uuid(),
    page              text        NOT NULL DEFAULT 'landing' CONSTRAINT page_section_page_known
                                  CHECK (page IN ('landing', 'rules', 'privacy', 'terms', 'contact')),
    locale            text        NOT NULL CONSTRAINT page_section_locale_tag
                                  CHECK (locale ~ '^[a-z]{2,8}(-[A-Za-z0-9]{1,8})*$'),
    kind              text        NOT NULL CONSTRAINT page_section_kind_known
                                  CHECK (kind IN ('hero', 'stats', 'topics', 'steps', 'showcase', 'rooms', 'safety', 'storage',
                                  'insights', 'faq', 'operator', 'action', 'markdown', 'intro', 'contact')),
    position          integer,
    visible           boolean     NOT NULL DEFAULT true,
    -- Rises with each save, restore included.
    version           bigint      NOT NULL DEFAULT 1 CONSTRAINT page_section_version_positive CHECK (version > 0),
    draft             jsonb       NOT NULL,
    -- The handle of an account, or the name of another actor as the audit log has it.
    saved_by          text        NOT NULL DEFAULT '(system)',
    saved_at          timestamptz NOT NULL DEFAULT now(),
    published_version bigint,
    publish_at        timestamptz,
    publish_version   bigint,
    publish_content   jsonb,
    publish_note      text,
    publish_by        text,
    unpublish_at      timestamptz,
    unpublish_by      text,
    deleted_at        timestamptz,
    CONSTRAINT page_section_position_key UNIQUE (page, locale, position) DEFERRABLE INITIALLY IMMEDIATE,
    CONSTRAINT page_section_position_unless_deleted CHECK ((position IS NULL) = (deleted_at IS NOT NULL)),
    CONSTRAINT page_section_publish_complete CHECK ((publish_at IS NULL) = (publish_content IS NULL)
        AND (publish_at IS NULL) = (publish_version IS NULL) AND (publish_at IS NULL) = (publish_by IS NULL)),
    CONSTRAINT page_section_unpublish_complete CHECK ((unpublish_at IS NULL) = (unpublish_by IS NULL))
);
-- A group has one section in each language, deleted ones aside.
CREATE UNIQUE INDEX page_section_group_key ON page_section (group_id, locale) WHERE deleted_at IS NULL;
CREATE INDEX page_section_publish_due ON page_section (publish_at) WHERE publish_at IS NOT NULL;
CREATE INDEX page_section_unpublish_due ON page_section (unpublish_at) WHERE unpublish_at IS NOT NULL;
CREATE INDEX page_section_deleted ON page_section (deleted_at) WHERE deleted_at IS NOT NULL;

-- What was published, and drafts that a restore replaced. Rows are never changed.
CREATE TABLE section_version (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT section_version_pk PRIMARY KEY,
    section_id bigint      NOT NULL CONSTRAINT section_version_section_fk REFERENCES page_section ON DELETE CASCADE,
    version    bigint      NOT NULL,
    kind       text        NOT NULL CONSTRAINT section_version_kind_known CHECK (kind IN ('published', 'kept')),
    content    jsonb       NOT NULL,
    note       text,
    by         text        NOT NULL,
    at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX section_version_section ON section_version (section_id, version, id);

-- The version of what the public pages show. It rises in each transaction that changes that, and
-- its row is locked first, so that these transactions follow each other.
CREATE TABLE content_version (
    one     boolean CONSTRAINT content_version_pk PRIMARY KEY DEFAULT true CONSTRAINT content_version_single CHECK (one),
    version bigint NOT NULL DEFAULT 1
);
INSERT INTO content_version DEFAULT VALUES;

-- The figures of the landing page: set by hand (`manual`), or counted by a source of the code.
CREATE TABLE site_stat (
    key             text        CONSTRAINT site_stat_pk PRIMARY KEY
                                CONSTRAINT site_stat_key_shape CHECK (key ~ '^[a-z][a-z0-9_]{0,39}$'),
    position        integer     NOT NULL,
    visible         boolean     NOT NULL DEFAULT true,
    manual          bigint,
    -- The source of the value while `manual` is null.
    source          text        CONSTRAINT site_stat_source_known CHECK (source IN ('online', 'talks_today',
                                'messages_today', 'median_wait', 'rooms', 'languages')),
    label           jsonb       NOT NULL,
    unit            text        NOT NULL DEFAULT 'count' CONSTRAINT site_stat_unit_known CHECK (unit IN ('count', 'seconds')),
    -- A smaller value is not shown.
    hide_below      bigint      NOT NULL DEFAULT 1 CONSTRAINT site_stat_hide_below_positive CHECK (hide_below > 0),
    hide_when_stale boolean     NOT NULL DEFAULT false,
    -- The value is rounded down to a multiple of it.
    round_to        bigint      NOT NULL DEFAULT 1 CONSTRAINT site_stat_round_to_positive CHECK (round_to > 0),
    version         bigint      NOT NULL DEFAULT 1,
    updated_by      text        NOT NULL DEFAULT '(system)',
    updated_at      timestamptz NOT NULL DEFAULT now()
);

-- Announcements above the pages, between a start and an end. `text` is by language.
CREATE TABLE site_banner (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT site_banner_pk PRIMARY KEY,
    text       jsonb       NOT NULL,
    tone       text        NOT NULL CONSTRAINT site_banner_tone_known CHECK (tone IN ('info', 'warn')),
    places     text[]      NOT NULL CONSTRAINT site_banner_places_known
                           CHECK (places <@ ARRAY['landing', 'lobby', 'chat'] AND cardinality(places) > 0),
    starts_at  timestamptz NOT NULL DEFAULT now(),
    ends_at    timestamptz,
    version    bigint      NOT NULL DEFAULT 1,
    updated_by text        NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT site_banner_ends_after_start CHECK (ends_at IS NULL OR ends_at > starts_at)
);

-- The edition of the rules that visitors accept. It rises when an editor publishes rules that
-- everybody has to accept again.
CREATE TABLE rules_edition (
    one     boolean CONSTRAINT rules_edition_pk PRIMARY KEY DEFAULT true CONSTRAINT rules_edition_single CHECK (one),
    version text NOT NULL
);
INSERT INTO rules_edition (version) VALUES ('2026-11');

-- The talks that began in each hour, for the charts of the landing page: by language, and of all
-- languages under ''. Talks themselves are deleted a day after their end.
CREATE TABLE talk_hour (
    at       timestamptz NOT NULL,
    language text        NOT NULL,
    talks    bigint      NOT NULL,
    CONSTRAINT talk_hour_pk PRIMARY KEY (at, language)
);

-- Accounts: for people who want a name that stays, and for staff. An account belongs to exactly one
-- visitor, whose rooms and talks it keeps.
CREATE TABLE account (
    id                bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT account_pk PRIMARY KEY,
    public_id         uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT account_public_id_key UNIQUE,
    visitor_id        bigint      NOT NULL CONSTRAINT account_visitor_key UNIQUE
                                  CONSTRAINT account_visitor_fk REFERENCES visitor,
    handle            text        NOT NULL CONSTRAINT account_handle_key UNIQUE
                                  CONSTRAINT account_handle_shape CHECK (handle ~ '^[a-z0-9_-]{3,32}$'),
    role              text        NOT NULL DEFAULT 'member' CONSTRAINT account_role_known
                                  CHECK (role IN ('member', 'moderator', 'editor', 'admin')),
    status            text        NOT NULL DEFAULT 'active' CONSTRAINT account_status_known
                                  CHECK (status IN ('active', 'deactivated')),
    -- The number of revocations of this account's sessions. A session is live only while it has the
    -- same number: a new sign-in, a new password, another role and a deactivation raise it. It
    -- rises in a transaction that holds the fence exclusively (src/db/fence.rs).
    session_epoch     bigint      NOT NULL DEFAULT 1,
    -- A hash in the format of argon2 ($argon2id$...) or of the earlier system
    -- (pbkdf2_sha256$...). Null if nobody can sign in with a password.
    password          text,
    password_set_at   timestamptz,
    email             text        CONSTRAINT account_email_length CHECK (char_length(email) <= 254),
    -- Null until the link in the mail was followed.
    email_verified_at timestamptz,
    -- The secret of the one-time codes. In use from `totp_confirmed_at` on. A code of a time step up
    -- to `totp_last_step` is refused, so that each code works once.
    totp_secret       bytea,
    totp_confirmed_at timestamptz,
    totp_last_step    bigint      NOT NULL DEFAULT 0,
    -- An argon2 hash. Null if sign-in asks for no PIN.
    pin               text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    deactivated_at    timestamptz,
    -- When the account will be deleted. Null unless its owner asked for it.
    delete_after      timestamptz
);
-- An address that was verified belongs to one account. Addresses are compared in lower case.
CREATE UNIQUE INDEX account_verified_email ON account (lower(email)) WHERE email_verified_at IS NOT NULL;
CREATE INDEX account_delete_after ON account (delete_after) WHERE delete_after IS NOT NULL;
CREATE INDEX account_staff ON account (role) WHERE role <> 'member';

-- Recovery codes, in place of a one-time code. Each works once.
CREATE TABLE recovery_code (
    account_id bigint NOT NULL CONSTRAINT recovery_code_account_fk REFERENCES account ON DELETE CASCADE,
    hash       bytea  NOT NULL,
    used_at    timestamptz,
    CONSTRAINT recovery_code_pk PRIMARY KEY (account_id, hash)
);

-- A sign-in that has begun. The session's data names it by its key, which is replaced at each step:
-- a step that arrives twice, or after another, finds nothing.
CREATE TABLE sign_in (
    key           uuid        CONSTRAINT sign_in_pk PRIMARY KEY,
    account_id    bigint      NOT NULL CONSTRAINT sign_in_account_fk REFERENCES account ON DELETE CASCADE,
    -- The account's epoch when it began: a revocation ends it.
    epoch         bigint      NOT NULL,
    -- The steps that are done, in order.
    done          text[]      NOT NULL,
    -- Wrong codes since it began.
    failures      integer     NOT NULL DEFAULT 0,
    -- The secret of a second factor that is being enrolled.
    enroll_secret bytea,
    -- Whether the guest agreed to leave an open talk.
    leave         boolean     NOT NULL DEFAULT false,
    -- The page to return to: a path of this site.
    next          text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL
);
CREATE INDEX sign_in_expires ON sign_in (expires_at);
CREATE INDEX sign_in_account ON sign_in (account_id);

-- Checks by an outside verifier (a carrier, a bank), for sign-in or for the age.
CREATE TABLE verification (
    id           uuid        CONSTRAINT verification_pk PRIMARY KEY,
    visitor_id   bigint      NOT NULL CONSTRAINT verification_visitor_fk REFERENCES visitor ON DELETE CASCADE,
    -- The sign-in that waits for it; null for an age check.
    sign_in      uuid,
    purpose      text        NOT NULL CONSTRAINT verification_purpose_known CHECK (purpose IN ('sign_in', 'age')),
    state        text        NOT NULL CONSTRAINT verification_state_known
                             CHECK (state IN ('requested', 'completed', 'failed')),
    requested_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    expires_at   timestamptz NOT NULL
);
CREATE INDEX verification_visitor ON verification (visitor_id);
CREATE INDEX verification_expires ON verification (expires_at);

-- Links that work once: to confirm an address, to set a new password, to make the first
-- administrator. Only a hash of the token in the link is stored.
CREATE TABLE account_link (
    token_hash bytea       CONSTRAINT account_link_pk PRIMARY KEY,
    purpose    text        NOT NULL CONSTRAINT account_link_purpose_known
                           CHECK (purpose IN ('verify_email', 'reset_password', 'first_admin')),
    -- Null for the first administrator.
    account_id bigint      CONSTRAINT account_link_account_fk REFERENCES account ON DELETE CASCADE,
    -- The address that the link was sent to.
    email      text,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    CONSTRAINT account_link_has_account CHECK (account_id IS NOT NULL OR purpose = 'first_admin')
);
CREATE INDEX account_link_account ON account_link (account_id);
CREATE INDEX account_link_expires ON account_link (expires_at);

-- Failed proofs of an account from an address prefix, with the time from which the next one is
-- evaluated. The account is named by a keyed hash of the handle, so that unknown names take as
-- long as known ones. Another prefix is not affected: nobody can lock an owner out.
CREATE TABLE sign_in_failure (
    handle_hash bytea       NOT NULL,
    prefix_hash bytea       NOT NULL,
    failures    integer     NOT NULL,
    retry_at    timestamptz NOT NULL,
    failed_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sign_in_failure_pk PRIMARY KEY (handle_hash, prefix_hash)
);
CREATE INDEX sign_in_failure_failed_at ON sign_in_failure (failed_at);

-- The record of a signed-in session. The account's `session_epoch` and `status` decide whether it
-- is live; `ended_at` and `end_reason` only tell why it is not.
ALTER TABLE session
    ADD COLUMN public_id    uuid CONSTRAINT session_public_id_key UNIQUE,
    ADD COLUMN account_id   bigint CONSTRAINT session_account_fk REFERENCES account ON DELETE CASCADE,
    ADD COLUMN epoch        bigint,
    ADD COLUMN signed_in_at timestamptz,
    -- It ends at the earlier of both. `idle_until` moves on with use, `ends_at` does not.
    ADD COLUMN idle_until   timestamptz,
    ADD COLUMN ends_at      timestamptz,
    -- The browser and the system, in a few words.
    ADD COLUMN device       text CONSTRAINT session_device_length CHECK (char_length(device) <= 80),
    ADD COLUMN ended_at     timestamptz,
    ADD COLUMN end_reason   text CONSTRAINT session_end_reason_known
        CHECK (end_reason IN ('signed_out', 'signed_in_elsewhere', 'ended_by_owner', 'ended_by_staff', 'password_changed',
                              'role_changed', 'deactivated', 'deleted', 'expired')),
    ADD CONSTRAINT session_signed_in CHECK
        (num_nulls(public_id, account_id, epoch, signed_in_at, idle_until, ends_at) IN (0, 6));
CREATE INDEX session_account ON session (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX session_signed_in_at ON session (signed_in_at DESC, public_id DESC)
    WHERE account_id IS NOT NULL AND ended_at IS NULL;

-- The sessions that name somebody now: of a guest, or of an account with which they were completed.
-- Only this view defines "live". A guest's cookie ends when its visitor gets an account: signing up
-- makes a new session.
CREATE VIEW live_session AS
SELECT s.id_hash, s.visitor_id, s.data, s.expires_at, s.last_used_at, s.public_id, s.account_id, s.epoch, s.signed_in_at,
       s.idle_until, s.ends_at, s.device
FROM session s LEFT JOIN account a ON a.visitor_id = s.visitor_id
WHERE s.expires_at > statement_timestamp() AND s.ended_at IS NULL
  AND (s.account_id IS NULL AND a.id IS NULL
       OR a.id = s.account_id AND a.status = 'active' AND a.session_epoch = s.epoch
          AND s.idle_until > statement_timestamp() AND s.ends_at > statement_timestamp());

-- Returns why a visitor must not write with a session of this epoch (null for a guest): it has
-- ended, or the visitor is banned. Takes the fence lock shared first, so that neither can change
-- before the transaction ends (src/db/fence.rs). Each statement of a volatile function has its own
-- snapshot, which is younger than the wait for the lock.
CREATE FUNCTION write_refusal(fence_key bigint, visitor bigint, epoch bigint)
    RETURNS TABLE (ended boolean, banned boolean, ends_in_ms bigint) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(fence_key);
    -- No session has the epoch 0.
    ended := (SELECT CASE a.status WHEN 'active' THEN a.session_epoch ELSE 0 END FROM account a
              WHERE a.visitor_id = visitor) IS DISTINCT FROM epoch;
    SELECT r.kind = 'ban', r.ends_in_ms INTO banned, ends_in_ms FROM active_restriction(visitor, NULL) r;
    banned := coalesce(banned, false);
    RETURN NEXT;
END
$$;

-- What staff did, and what was done to accounts. Rows are only added: a trigger refuses the rest.
-- Each row's hash covers the row and the hash of the row before, so a changed or removed row is
-- found (src/audit).
CREATE TABLE audit_log (
    id          bigint      CONSTRAINT audit_log_pk PRIMARY KEY,
    at          timestamptz NOT NULL,
    -- Who did it: an account's public id and handle as they were then. Null for the shell and for
    -- the system.
    actor       uuid,
    actor_name  text        NOT NULL,
    action      text        NOT NULL,
    subject     text        NOT NULL,
    detail      jsonb       NOT NULL,
    -- The keyed hash of the address prefix. Null for the shell.
    prefix_hash bytea,
    hash        bytea       NOT NULL
);
CREATE INDEX audit_log_actor ON audit_log (actor, id);
CREATE INDEX audit_log_action ON audit_log (action, id);
CREATE INDEX audit_log_at ON audit_log (at);
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of audit_log are only added' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_log_only_added BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_log_not_emptied BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
-- The end of the chain. Its row is locked by the transaction that adds an entry.
CREATE TABLE audit_head (
    one  boolean CONSTRAINT audit_head_pk PRIMARY KEY DEFAULT true CONSTRAINT audit_head_single CHECK (one),
    id   bigint  NOT NULL DEFAULT 0,
    hash bytea   NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
);
INSERT INTO audit_head DEFAULT VALUES;

-- Topics: what interests mean in any language, and samples for charts.

-- What each interest of a ticket is compared by, in the order of `interests`. A version before this
-- one writes none.
ALTER TABLE random_ticket ADD COLUMN topics text[] NOT NULL DEFAULT '{}';

-- The shared interests in the words of side B; `shared` has the words of side A. Null if both are
-- the same, as a version before this one writes it.
ALTER TABLE random_session ADD COLUMN b_shared text[];

-- Time series for charts. `at` is the start of a step of 10 seconds or 5 minutes (UTC), `step` which
-- of the two, and `amount` how many measurements `value` sums up. Steps of 10 seconds become steps of
-- 5 minutes with age, and old rows are deleted (src/samples).
CREATE TABLE sample (
    series text             NOT NULL,
    step   text             NOT NULL CONSTRAINT sample_step_known CHECK (step IN ('10s', '5m')),
    at     timestamptz      NOT NULL,
    value  double precision NOT NULL,
    amount bigint           NOT NULL,
    CONSTRAINT sample_pk PRIMARY KEY (series, step, at)
);
-- For thinning and deleting, which look at all series of a time.
CREATE INDEX sample_step_at ON sample (step, at);

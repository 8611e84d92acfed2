-- Topics: what interests mean in any language, and samples for charts.

-- What each interest of a ticket is compared by, in the order of `interests`. A version before this
-- one writes none.
ALTER TABLE random_ticket ADD COLUMN topics text[] NOT NULL DEFAULT '{}';

-- The shared interests in the words of side B; `shared` has the words of side A. Null if both are
-- the same, as a version before this one writes it.
ALTER TABLE random_session ADD COLUMN b_shared text[];

-- A time series for charts. `at` is the start of a minute or an hour, `step` which of the two, and
-- `amount` how many measurements `value` sums up. Old rows are deleted (src/samples).
CREATE TABLE sample (
    series text             NOT NULL,
    step   text             NOT NULL CONSTRAINT sample_step_known CHECK (step IN ('minute', 'hour')),
    at     timestamptz      NOT NULL,
    value  double precision NOT NULL,
    amount bigint           NOT NULL,
    CONSTRAINT sample_pk PRIMARY KEY (series, step, at)
);

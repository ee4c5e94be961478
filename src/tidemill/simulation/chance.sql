-- Pseudo-randomness: the same seed, key and purpose always draw the same number, in whatever order rows are made.
CREATE MACRO plan() AS getvariable('plan');

-- One hash of one sum, because hash(a, b) only flips bits of hash(a): two purposes would then draw alike.
CREATE MACRO bits(key, purpose) AS hash(key + (getvariable('seed') + (hash(purpose) >> 4)::BIGINT));
CREATE MACRO draw(key, purpose) AS (bits(key, purpose) >> 2)::BIGINT;
-- At least 0 and less than 1, for the factor is a little less than 1 / 2^64.
CREATE MACRO roll(key, purpose) AS bits(key, purpose)::DOUBLE * 5.421010862427521e-20;
CREATE MACRO one_in(key, purpose, share) AS bits(key, purpose) < (share * 18446744073709550000.0)::UBIGINT;
-- Log-logistic: around the median like a lognormal, beyond it a Pareto tail of index 1 / shape.
CREATE MACRO long_tailed(key, purpose, median, shape) AS median * pow(1 / roll(key, purpose) - 1, shape);
CREATE MACRO normal(key, purpose) AS
    sqrt(-2 * ln(1 - roll(key, purpose))) * cos(2 * pi() * roll(key, concat(purpose, ' angle')));
-- From 0 to count - 1, the low ones far more often than the high ones.
CREATE MACRO favoured(key, purpose, count) AS floor(count * pow(roll(key, purpose), 2.5))::BIGINT;
CREATE MACRO nth(words, number) AS words[1 + (number % len(words))::BIGINT];
CREATE MACRO pick(key, purpose, words) AS nth(words, draw(key, purpose));
CREATE MACRO code(key, purpose) AS hex(bits(key, purpose));

-- When the story at this place of the whole telling begins, as a share of all that happens.
CREATE MACRO moment_of(story, place) AS
    least(place, plan().length - 1) / plan().length * (1 - plan().jitter) + plan().jitter * roll(story, 'moment');
CREATE MACRO begins_at(clock, moment) AS
    clock[1 + floor(moment * plan().steps)::BIGINT].instant
    + floor(clock[1 + floor(moment * plan().steps)::BIGINT].lasts * (moment * plan().steps % 1))::BIGINT;
-- How many times slower than its script a story runs; none takes over 8 hours or goes on after the period's end.
CREATE MACRO slowness(story, seconds, begins) AS least(
    long_tailed(story, 'slowness', 1.1, 0.5),
    plan().longest / seconds, (plan().until - begins) / 1e6 / seconds);
CREATE MACRO is_late(key) AS one_in(key, 'late', 0.01);
CREATE MACRO delay(key) AS CASE WHEN is_late(key) THEN 3.6e9 * pow(72, roll(key, 'delay')) ELSE 0 END;
CREATE MACRO postponed(instant, micros) AS
    CASE WHEN instant + micros < plan().until THEN (instant + micros)::BIGINT ELSE instant END;
CREATE MACRO is_repeated(key) AS one_in(key, 'repeated', 0.005);
CREATE MACRO has_id(key) AS NOT one_in(key, 'nameless', 0.02);

CREATE MACRO stamp(instant) AS strftime(make_timestamp(instant), '%Y-%m-%dT%H:%M:%S.%gZ');
CREATE MACRO local_stamp(instant) AS
    strftime(make_timestamp(instant + 7200000000), '%Y-%m-%dT%H:%M:%S.%g+02:00');
CREATE MACRO decimals(value) AS value::DECIMAL(18, 3)::VARCHAR;

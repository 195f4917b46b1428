-- Keys under which personal fields are encrypted. One that was destroyed stays as a row, so that it
-- is known that there was one.
CREATE TABLE {schema}.personal_keys (
    subject VARCHAR(255) COLLATE "C" NOT NULL,
    number BIGINT NOT NULL CHECK (number > 0),
    key BYTEA,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    shredded_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (subject, number)
);

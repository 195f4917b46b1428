-- Keys under which personal fields are encrypted. One that was destroyed stays as a row, so that it
-- is known that there was one.
CREATE TABLE personal_keys (
    subject TEXT NOT NULL,
    number INTEGER NOT NULL,
    key BLOB,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    shredded_at TEXT,
    PRIMARY KEY (subject, number)
) WITHOUT ROWID;

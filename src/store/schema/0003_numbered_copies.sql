-- Mirrors and releases get numbers, so that a row of `copies`, of which there may be a million, is little more than its
-- body. Rows of one release lie together: a release that is published, or read at the start, is a few pages. A mirror's
-- rows are found release by release. `version` is without a leading v.
CREATE TABLE mirrors (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE releases (
    id      INTEGER PRIMARY KEY,
    product TEXT NOT NULL,
    version TEXT NOT NULL,
    UNIQUE (product, version)
) STRICT;

CREATE TABLE numbered_copies (
    release INTEGER NOT NULL,
    mirror  INTEGER NOT NULL,
    body    BLOB NOT NULL,
    PRIMARY KEY (release, mirror)
) STRICT, WITHOUT ROWID;

INSERT INTO mirrors (name) SELECT DISTINCT mirror FROM copies;
INSERT INTO releases (product, version) SELECT DISTINCT product, version FROM copies;
INSERT INTO numbered_copies
    SELECT releases.id, mirrors.id, copies.body
    FROM copies
    JOIN releases ON releases.product = copies.product AND releases.version = copies.version
    JOIN mirrors ON mirrors.name = copies.mirror
    ORDER BY 1, 2;
DROP TABLE copies;
ALTER TABLE numbered_copies RENAME TO copies;

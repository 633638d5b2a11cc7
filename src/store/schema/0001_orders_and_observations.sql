-- Orders: what somebody decided. The line is the journal's, checksum included; it is written once and never changed.
CREATE TABLE orders (
    id   INTEGER PRIMARY KEY,
    line TEXT NOT NULL
) STRICT;

-- Observations: what was seen, and can be seen again. `version` is without a leading v, the key of a release;
-- `spelled` is the version as published. Times are milliseconds since 1970.
CREATE TABLE manifests (
    product    TEXT NOT NULL,
    version    TEXT NOT NULL,
    spelled    TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    body       BLOB NOT NULL,
    PRIMARY KEY (product, version)
) STRICT;

CREATE TABLE standings (
    mirror TEXT PRIMARY KEY,
    body   BLOB NOT NULL
) STRICT;

-- One row per mirror and release, never one per copy.
CREATE TABLE copies (
    mirror  TEXT NOT NULL,
    product TEXT NOT NULL,
    version TEXT NOT NULL,
    spelled TEXT NOT NULL,
    body    BLOB NOT NULL,
    PRIMARY KEY (mirror, product, version)
) STRICT;
CREATE INDEX copies_of_release ON copies (product, version);

-- What is known of a release beside its manifest and its copies.
CREATE TABLE examined (
    product TEXT NOT NULL,
    version TEXT NOT NULL,
    spelled TEXT NOT NULL,
    body    BLOB NOT NULL,
    PRIMARY KEY (product, version)
) STRICT;

-- Digests of a file's blocks, by the digest of the file.
CREATE TABLE blocks (
    sha256 BLOB PRIMARY KEY,
    body   BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Things of which there is one.
CREATE TABLE singles (
    name TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;

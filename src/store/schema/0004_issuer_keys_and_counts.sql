-- The JWK set of each issuer whose keys are fetched, as it was read last.
CREATE TABLE issuer_keys (
    issuer     TEXT PRIMARY KEY,
    url        TEXT NOT NULL,
    fetched_at INTEGER NOT NULL,
    body       BLOB NOT NULL
) STRICT;

-- Files that tokens have taken, where an entitlement counts them; `file` is half a digest.
CREATE TABLE counted (
    issuer   TEXT NOT NULL,
    token_id TEXT NOT NULL,
    file     BLOB NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (issuer, token_id, file)
) STRICT, WITHOUT ROWID;

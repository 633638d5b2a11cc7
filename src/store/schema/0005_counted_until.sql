-- What a token has taken is known until nobody can come with the token again; until now that was 400 days for all.
ALTER TABLE counted RENAME COLUMN at TO until;
UPDATE counted SET until = until + 400 * 24 * 60 * 60 * 1000;
-- What has ended is deleted every minute.
CREATE INDEX counted_by_end ON counted (until);

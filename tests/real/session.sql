-- What a person does in psql: reconnects, errors, copies, variables, transactions, cursors, prepared statements.
\set VERBOSITY default
CREATE TABLE fruit (id int PRIMARY KEY, name text);
\copy fruit FROM STDIN
1	apple
2	pear
3	plum
\.
SELECT * FROM fruit ORDER BY id;
\copy (SELECT name FROM fruit ORDER BY id) TO STDOUT
SELECT 1/0;
SELEKT;
BEGIN;
INSERT INTO fruit VALUES (1, 'twice');
SELECT 'not reached';
ROLLBACK;
\c other
SELECT current_database(), current_user;
SELECT * FROM fruit;
\c shop
SET search_path = pg_catalog;
SET my.var = 'here';
SELECT current_setting('my.var');
\c shop
SHOW search_path;
SELECT current_setting('my.var', true) IS NULL AS gone;
CREATE TEMP TABLE basket (n int);
INSERT INTO basket SELECT generate_series(1, 3) RETURNING n;
\c shop app
SELECT to_regclass('basket') IS NULL AS gone, current_user;
\c shop owner
PREPARE q(int) AS SELECT name FROM fruit WHERE id = $1;
EXECUTE q(2);
\c
EXECUTE q(2);
SELECT count(*) AS fruits FROM fruit \gset
\echo :fruits
BEGIN;
DECLARE c CURSOR FOR SELECT generate_series(1, 5);
FETCH 2 FROM c;
MOVE c;
FETCH ALL FROM c;
COMMIT;
LISTEN news;
NOTIFY news;
DO $$ BEGIN RAISE NOTICE 'a notice'; END $$;
DROP TABLE IF EXISTS not_there;
\d fruit
\dt
SELECT 'a' AS one \; SELECT 'b' AS two;
SELECT lo_from_bytea(0, 'x') > 0 AS made;
SELECT count(*) FROM pg_largeobject_metadata;
SELECT lo_unlink(oid) FROM pg_largeobject_metadata;
\set FETCH_COUNT 2
SELECT * FROM fruit ORDER BY id;
DROP TABLE fruit;

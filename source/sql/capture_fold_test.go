package sqllog_test

// foldCases have names that begin with those of the faults that they once were.
var foldCases = []struct{ name, create, key, run string }{
	{
		name:   "A5 two UPDATEs exchange deferrable keys",
		create: "CREATE TABLE k (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text); INSERT INTO k VALUES (1, 'a'), (2, 'b')",
		run:    "BEGIN; UPDATE k SET id = 2 WHERE v = 'a'; UPDATE k SET v = v || 'x'; UPDATE k SET id = 1 WHERE v = 'bx'; COMMIT",
	},
	{
		name:   "A5 a deferrable key is deleted after it was inserted again",
		create: "CREATE TABLE k (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text); INSERT INTO k VALUES (1, 'a')",
		run:    "BEGIN; INSERT INTO k VALUES (1, 'b'); DELETE FROM k WHERE v = 'a'; COMMIT",
	},
	{
		name:   "A6 a numeric key with another scale",
		create: "CREATE TABLE k (id numeric PRIMARY KEY, v text); INSERT INTO k VALUES (1.0, 'a'), (2, 'b')",
		run:    "UPDATE k SET id = 1.00 WHERE v = 'a'",
	},
	{
		name:   "A6 an interval key with another text",
		create: "CREATE TABLE k (id interval PRIMARY KEY, v text); INSERT INTO k VALUES ('1 day', 'a')",
		run:    "UPDATE k SET id = '24 hours'",
	},
	{
		name:   "A6 a key whose collation calls two texts equal",
		create: "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); CREATE TABLE k (id text COLLATE ci PRIMARY KEY, v text); INSERT INTO k VALUES ('a', 'x')",
		run:    "UPDATE k SET id = 'A'",
	},
	{
		name:   "A6 minus zero",
		create: "CREATE TABLE k (id float8 PRIMARY KEY, v text); INSERT INTO k VALUES (0, 'x')",
		run:    "UPDATE k SET id = '-0'",
	},
	{
		name:   "A7 a CTE deletes what the statement inserts",
		create: "CREATE TABLE k (id int PRIMARY KEY, v text); INSERT INTO k VALUES (1, 'a'), (2, 'b')",
		run:    "WITH d AS (DELETE FROM k RETURNING *) INSERT INTO k SELECT id, v || '!' FROM d ORDER BY id LIMIT 1",
	},
	{
		name:   "A7 a CTE moves the key that the statement inserts",
		create: "CREATE TABLE k (id int PRIMARY KEY, v text); INSERT INTO k VALUES (1, 'a')",
		run:    "WITH d AS (UPDATE k SET id = id + 10 RETURNING *) INSERT INTO k SELECT id - 10, 'new' FROM d",
	},
	{
		name:   "O2 a composite key of which all fields are NULL",
		create: "CREATE TYPE pair AS (a int, b text); CREATE TABLE k (id pair PRIMARY KEY, x int); INSERT INTO k VALUES ('(,)', 0)",
		run:    "UPDATE k SET x = 1",
	},
	{
		name: "O3 a row trigger updates the row that was inserted",
		create: "CREATE TABLE k (id int PRIMARY KEY, v int); CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE k SET v = v + 1 WHERE id = NEW.id; RETURN NULL; END $$;" +
			" CREATE TRIGGER again AFTER INSERT ON k FOR EACH ROW EXECUTE FUNCTION again()",
		run: "INSERT INTO k VALUES (1, 1), (2, 2)",
	},
	{
		name: "O3 a row trigger deletes the row that was inserted",
		create: "CREATE TABLE k (id int PRIMARY KEY, v int); CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM k WHERE id = NEW.id AND v > 1; RETURN NULL; END $$;" +
			" CREATE TRIGGER again AFTER INSERT ON k FOR EACH ROW EXECUTE FUNCTION again()",
		run: "INSERT INTO k VALUES (1, 1), (2, 2)",
	},
	{
		name: "O3 a row trigger makes way for the row that is inserted",
		create: "CREATE TABLE k (id int PRIMARY KEY, v int); INSERT INTO k VALUES (1, 0); CREATE FUNCTION way() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM k WHERE id = NEW.id; RETURN NEW; END $$;" +
			" CREATE TRIGGER way BEFORE INSERT ON k FOR EACH ROW EXECUTE FUNCTION way()",
		run: "INSERT INTO k VALUES (1, 1), (2, 2)",
	},
	{
		name: "O3 a row trigger updates other rows of the UPDATE",
		create: "CREATE TABLE k (id int PRIMARY KEY, v int); INSERT INTO k SELECT i, i FROM generate_series(1, 5) i; CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE k SET v = v + 100 WHERE id = NEW.id % 5 + 1; RETURN NULL; END $$;" +
			" CREATE TRIGGER again AFTER UPDATE ON k FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION again()",
		run: "UPDATE k SET v = -v",
	},
	{
		name:   "O3 a cascade to the table itself",
		create: "CREATE TABLE k (id int PRIMARY KEY, up int REFERENCES k ON UPDATE CASCADE ON DELETE CASCADE); INSERT INTO k VALUES (1, NULL), (2, 1), (3, 2), (4, 3)",
		run:    "UPDATE k SET id = id + 10; DELETE FROM k WHERE id = 13",
	},
	{
		name:   "O4 array keys that differ in their bounds",
		create: "CREATE TABLE k (id int[], j int, v int, PRIMARY KEY (id, j)); INSERT INTO k VALUES ('{1,2}', 1, 0)", key: "json_build_array(id::text, j)::text",
		run: "INSERT INTO k VALUES ('[2:3]={1,2}', 1, 1)",
	},
	{
		name:   "MERGE, upserts and savepoints",
		create: "CREATE TABLE k (id int PRIMARY KEY, v int); INSERT INTO k SELECT i, i FROM generate_series(1, 5) i",
		run: "MERGE INTO k USING (SELECT i FROM generate_series(3, 8) i) s ON k.id = s.i WHEN MATCHED AND i = 3 THEN DELETE WHEN MATCHED THEN UPDATE SET v = -v WHEN NOT MATCHED THEN INSERT VALUES (i, i);" +
			" BEGIN; SAVEPOINT a; DELETE FROM k; ROLLBACK TO a; INSERT INTO k SELECT i, 0 FROM generate_series(7, 9) i ON CONFLICT (id) DO UPDATE SET v = 70; COMMIT",
	},
}

package capture

import (
	"fmt"
	"strings"
)

// pg is a type of PostgreSQL with values given as text.
func pg(name string, values ...string) typed {
	t := typed{name: name}
	for _, v := range values {
		t.values = append(t.values, "'"+strings.ReplaceAll(v, "'", "''")+"'::"+name)
	}
	return t
}

func (t typed) counts(bulk string) typed { t.bulk = bulk; return t }
func (t typed) needs(text string) typed  { t.before = text; return t }

// postgresKeyTypes can be in a primary key. Their values meet by being equal,
// too, where the type has an equality of its own.
func postgresKeyTypes() []typed {
	citext := "CREATE EXTENSION IF NOT EXISTS citext SCHEMA pg_catalog"
	return []typed{
		pg("integer", "1", "2", "3", "-1", "2147483647", "0").counts("i"),
		pg("integer", "1", "2", "3", "4").counts("i"),
		pg("bigint", "1", "2", "9007199254740993", "-9223372036854775808").counts("i"),
		pg("smallint", "1", "2", "-5").counts("i"),
		pg("text", "a", "b", "A", "", " ", "é'\"\\", "{1}", "\n", "[1, 2]", "null", "1").counts("'k' || i"),
		pg("varchar(30)", "a", "b", "a ", "ß", "🙂").counts("'k' || i"),
		pg("char(4)", "a", "b", "  c").counts("'k' || i"),
		pg("uuid", "00000000-0000-0000-0000-000000000001", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11").counts("md5(i::text)::uuid"),
		pg("numeric(12,2)", "1", "2.5", "-0.01", "NaN").counts("i"),
		pg("date", "2026-01-02", "infinity", "4713-01-01 BC").counts("'2000-01-01'::date + i"),
		pg("timestamptz", "2026-01-02 03:04:05+02", "infinity", "-infinity", "2026-01-02 03:04:05.000001Z").counts("to_timestamp(i)"),
		pg("timestamp", "2026-01-02 03:04:05", "infinity", "10000-01-01").counts("'2000-01-01'::timestamp + i * '1 s'::interval"),
		pg("time", "01:02:03", "24:00:00").counts("'00:00'::time + i * '1 s'::interval"),
		pg("bytea", `\x00ff`, `\x`, `\x5c27`).counts("convert_to(i::text, 'UTF8')"),
		pg("boolean", "true", "false"),
		pg("inet", "10.0.0.1", "10.0.0.1/8", "::1").counts("'10.0.0.0'::inet + i"),
		pg("macaddr", "08:00:2b:01:02:03", "00:00:00:00:00:00"),
		pg("bit(5)", "10101", "00000").counts("i::bit(5)"),
		pg("oid", "1", "4294967295").counts("i::oid"),
		pg(`"char"`, "a", "b", "", "é"),
		pg("name", "a", "B c").counts("'k' || i"),
		pg("money", "1", "-2.50").counts("i::money"),
		pg("pg_lsn", "0/0", "16/B374D848"),
		pg("int4range", "[1,2)", "empty", "(,5]").counts("int4range(i, i + 1)"),
		pg("integer[]", "{1,2}", "{}", "{NULL}", "{{1},{2}}").counts("ARRAY[i]"),
		pg("integer[]", "{1,2}", "[2:3]={1,2}"),
		pg("text[]", "{a}", "{A,NULL,\"NULL\",\"\"}", "{}").counts("ARRAY[i::text]"),
		pg("s.mood", "sad", "it's", "ok").needs("CREATE TYPE s.mood AS ENUM ('ok', 'sad', 'it''s')"),
		pg("s.small", "1", "7").counts("i").needs("CREATE DOMAIN s.small AS integer CHECK (VALUE > -100)"),
		pg("s.pair", "(1,a)", "(3,)", `(2,"x, ""y""")`).counts("ROW(i, 'x')::s.pair").needs("CREATE TYPE s.pair AS (a integer, b text)"),
		pg("s.pair", "(,)", "(1,a)").needs("CREATE TYPE s.pair AS (a integer, b text)"),
		pg("tsvector", "a:1 b", "").counts("to_tsvector('simple', 'w' || i)"),
		pg("jsonb", `{"a": 1}`, "1", `"x"`).counts("to_jsonb(i)"),
		pg("s.raw", `\x01`, `\x5c78`).needs("CREATE DOMAIN s.raw AS bytea"),
		pg("bytea[]", `{"\\x01","\\x5c"}`, `{}`),
		pg("numeric", "1.0", "1.00", "2", "NaN", "Infinity", "1e-20").counts("i"),
		pg("float8", "0", "-0", "NaN", "Infinity", "0.1").counts("i"),
		pg("interval", "1 day", "24:00:00", "1 mon", "30 days").counts("i * '1 s'::interval"),
		pg("citext", "a", "A", "b").counts("'k' || i").needs(citext),
		pg("numeric[]", "{1.0}", "{1.00}").counts("ARRAY[i::numeric]"),
		pg("timetz", "01:02:03+00", "02:02:03+01"),
		pg(`text COLLATE s.folded`, "a", "A", "b").counts("'k' || i").
			needs("CREATE COLLATION s.folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"),
		pg("numrange", "[1,2)", "[1.0,2.00)"),
		pg("jsonb", `{"a": 1}`, `{"a": 1.0}`, "1", "1.0").counts("to_jsonb(i)"),
	}
}

// postgresTypes are those of other columns.
func postgresTypes() []typed {
	types := append(postgresKeyTypes(), postgresBareTypes()...)
	inside := []typed{
		pg("s.holder", `("\\x01",2)`, "(,)").needs("CREATE TYPE s.holder AS (b bytea, n integer)"),
		pg("s.holder[]", `{}`, `{"(\"\\\\x01\",2)"}`).needs("CREATE TYPE s.holder AS (b bytea, n integer)"),
		pg("s.raws", `{"\\x01"}`).needs("CREATE DOMAIN s.raws AS bytea[]"),
	}
	types = append(types, inside...)
	for _, t := range types {
		if strings.HasSuffix(t.name, "]") || strings.Contains(t.name, "COLLATE") || strings.HasPrefix(t.name, "s.raw") {
			continue
		}
		of := typed{name: t.name + "[]", before: t.before}
		for _, v := range t.values {
			of.values = append(of.values, fmt.Sprintf("ARRAY[%s, NULL]", v))
		}
		types = append(types, of)
	}
	for i := range types {
		types[i].bulk = ""
	}
	return types
}

func postgresBareTypes() []typed {
	return []typed{
		pg("real", "0.1", "-0", "NaN", "-Infinity", "1e-45", "3.4028235e38"),
		pg("double precision", "0.1", "1e300", "-0", "NaN", "Infinity", "5e-324"),
		pg("numeric", "1.0", "1.00", "NaN", "-Infinity", "123456789012345678901234567890.123456789", "0.000"),
		pg("json", `{"a":1}`, `{"a":1,"a":2}`, " [1 , 2] ", "null", `"é"`, "1.00", `{"":""}`),
		pg("json", `"\u0000"`, "1e200000", `"\ud800"`, `{"\u0000":1}`),
		pg("jsonb", `{"b": 1, "a": 2}`, "null", "[]", "1.50", `"\\x41"`),
		pg("xml", "<a/>", "text", "<a>&amp;</a>"),
		pg("tsquery", "a & b", "!c"),
		pg("bit varying(9)", "101", ""),
		pg("cidr", "10.0.0.0/8", "::/0"),
		pg("macaddr8", "08:00:2b:01:02:03:04:05"),
		pg("point", "(1,2)", "(NaN,-0)", "(Infinity,1e-300)"),
		pg("line", "{1,2,3}"), pg("lseg", "[(0,0),(1,1)]"), pg("box", "(1,1),(0,0)"),
		pg("path", "((0,0),(1,1))", "[(0,0),(1,2)]"), pg("polygon", "((0,0),(1,1),(1,0))"), pg("circle", "<(1,2),3>"),
		pg("tstzrange", "[2026-01-01 00:00+05,infinity)", "empty"),
		pg("daterange", "[2026-01-01,2026-02-01)"),
		pg("int8multirange", "{[1,2),[5,6)}", "{}"),
		pg("txid_snapshot", "10:20:10,14,15"), pg("xid", "42"), pg("tid", "(1,2)"), pg("cid", "3"),
		pg("regclass", "pg_catalog.pg_class", "0"), pg("regtype", "integer", "timestamptz"), pg("regproc", "0"),
		pg("jsonpath", "$.a[*] ? (@ > 1)"),
		pg("hstore", `a=>1, "b c"=>NULL`, "").needs("CREATE EXTENSION IF NOT EXISTS hstore SCHEMA pg_catalog"),
		pg("interval", "1 year 2 mons -3 days 04:05:06.789", "-1 days", "0"),
		pg("oidvector", "1 2 3"), pg("int2vector", "1 2"),
		pg("aclitem", "gapless=r/gapless"),
		pg("pg_snapshot", "10:20:"),
		pg("refcursor", "c"),
		pg("s.nested", `("(1,a)","{""(2,b)""}")`).needs("CREATE TYPE s.nested AS (p s.pair, q s.pair[])"),
		pg("s.stamps", `("2026-01-02 03:04:05+00","1 day",0.30000000000000004)`).needs("CREATE TYPE s.stamps AS (t timestamptz, i interval, f float8)"),
		pg("timestamptz[]", `{"2026-01-02 03:04:05+02",infinity}`),
		pg("text", "x", "", "tab\t", "\x01", "日本", "\u2028", strings.Repeat("long ", 1000), `\x41`, "NaN", "%s %d"),
	}
}

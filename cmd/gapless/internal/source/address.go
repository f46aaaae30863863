package source

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"

	sqllog "github.com/gapless-go/gapless/source/sql"
)

// Kind is the kind of store that an address names.
type Kind string

// The kinds.
const (
	Bolt     Kind = "bolt"
	SQLite   Kind = "sqlite"
	Postgres Kind = "postgres"
	MySQL    Kind = "mysql"
	Redis    Kind = "redis"
	NATS     Kind = "nats"
	HTTP     Kind = "http"
)

// IsSQL reports whether the log is a table.
func (k Kind) IsSQL() bool { return k == SQLite || k == Postgres || k == MySQL }

// Dialect is that of a SQL store.
func (k Kind) Dialect() sqllog.Dialect { return sqllog.Dialect(k) }

// Address says where a log is.
type Address struct {
	Kind   Kind
	Target string // a file, a connection string or a URL, as the client takes it
	Name   string // of the log in its store
	text   string // without secrets
}

// String is the address without its password.
func (a Address) String() string { return a.text }

// Forms lists what an address looks like, for messages.
const Forms = `  bolt:FILE                        sqlite:FILE
  postgres://USER@HOST/DATABASE    mysql://USER@HOST/DATABASE (or mariadb:)
  redis://HOST/DATABASE/LOG        nats://HOST/LOG
  https://HOST/events              an endpoint that serves a log`

// Parse reads an address. The name of the log, if it is not empty, wins over the
// one in the address.
func Parse(text, name string) (Address, error) {
	if text == "" {
		return Address{}, errors.New("no --source is given. It is one of\n" + Forms)
	}
	scheme, rest, found := strings.Cut(text, ":")
	if !found || rest == "" {
		return Address{}, fmt.Errorf("the source %q has no scheme: %s", text, guess(text))
	}
	a, err := parse(strings.ToLower(scheme), text, rest)
	if err != nil {
		return Address{}, err
	}
	if name != "" {
		a.Name = name
	}
	return a.named()
}

func parse(scheme, text, rest string) (Address, error) {
	switch scheme {
	case "bolt", "bbolt":
		return Address{Kind: Bolt, Target: rest, text: text}, nil
	case "sqlite", "sqlite3":
		return Address{Kind: SQLite, Target: rest, text: text}, nil
	case "postgres", "postgresql":
		return Address{Kind: Postgres, Target: text, text: withoutPassword(text)}, nil
	case "mysql", "mariadb":
		return parseMySQL(rest)
	case "redis", "rediss":
		return parseRedis(text)
	case "nats", "tls":
		return parseNATS(text)
	case "http", "https":
		return Address{Kind: HTTP, Target: text, Name: "-", text: withoutPassword(text)}, nil
	}
	return Address{}, fmt.Errorf("the source %q is of no known kind. It is one of\n%s", withoutPassword(text), Forms)
}

// named fills in the name that a log has by default, or refuses.
func (a Address) named() (Address, error) {
	switch {
	case a.Name != "":
	case a.Kind == Bolt:
		a.Name = "events"
	case a.Kind.IsSQL():
		a.Name = "change_log"
	default:
		return a, fmt.Errorf("%s names no log: give %s/LOG, or --log", a, strings.TrimSuffix(a.text, "/"))
	}
	return a, nil
}

// guess says which scheme a file needs.
func guess(text string) string {
	head := make([]byte, 16)
	file, err := os.Open(text)
	if err != nil {
		return "it is one of\n" + Forms
	}
	defer file.Close()
	if n, _ := file.Read(head); string(head[:n]) == "SQLite format 3\x00" { // a shorter file is none
		return "it is a file of SQLite, so write sqlite:" + text
	}
	return "a file is bolt:" + text + " or sqlite:" + text
}

// parseMySQL takes a URL, or a data source name of the driver.
func parseMySQL(rest string) (Address, error) {
	c := mysql.NewConfig()
	if strings.HasPrefix(rest, "//") {
		u, err := url.Parse("mysql:" + rest)
		if err != nil {
			return Address{}, badURL("mysql://USER@HOST/DATABASE", err)
		}
		c.User, c.Net, c.Addr, c.DBName = u.User.Username(), "tcp", u.Host, strings.TrimPrefix(u.Path, "/")
		c.Passwd, _ = u.User.Password()
		if c, err = mysql.ParseDSN(c.FormatDSN() + "?" + u.RawQuery); err != nil {
			return Address{}, badURL("mysql://USER@HOST/DATABASE", err)
		}
	} else {
		var err error
		if c, err = mysql.ParseDSN(rest); err != nil {
			return Address{}, fmt.Errorf("the source is neither mysql://USER@HOST/DATABASE nor mysql:USER@tcp(HOST:PORT)/DATABASE: %w", err)
		}
	}
	if c.DBName == "" {
		return Address{}, errors.New("the source names no database: mysql://USER@HOST/DATABASE")
	}
	return Address{Kind: MySQL, Target: c.FormatDSN(), text: "mysql://" + c.User + "@" + c.Addr + "/" + c.DBName}, nil
}

// parseRedis takes redis://host/db/name, redis://host/name and, with --log,
// redis://host/db.
func parseRedis(text string) (Address, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Address{}, badURL("redis://HOST/DATABASE/LOG", err)
	}
	name := strings.Trim(u.Path, "/")
	db, rest, _ := strings.Cut(name, "/")
	if _, err := strconv.Atoi(db); err == nil {
		name = rest
	} else {
		db = ""
	}
	u.Path = "/" + db
	return Address{Kind: Redis, Target: u.String(), Name: name, text: withoutPassword(u.String())}, nil
}

func parseNATS(text string) (Address, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Address{}, badURL("nats://HOST/LOG", err)
	}
	name := strings.Trim(u.Path, "/")
	u.Path = ""
	return Address{Kind: NATS, Target: u.String(), Name: name, text: withoutPassword(u.String())}, nil
}

// badURL leaves out the URL, which may hold a password.
func badURL(form string, err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return fmt.Errorf("the source is no URL of the form %s: %w", form, err)
}

// withoutPassword is the text of a URL without what may be secret in it.
func withoutPassword(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		scheme, _, _ := strings.Cut(text, ":")
		return scheme + ":…"
	}
	if _, has := u.User.Password(); has {
		u.User = url.User(u.User.Username())
	}
	u.RawQuery = ""
	return u.String()
}

// Sibling is the URL with another last element: that of an endpoint beside
// the stream.
func (a Address) Sibling(name string) string {
	u, err := url.Parse(a.Target)
	if err != nil {
		return a.Target // remote.Open has refused it
	}
	u.Path, u.RawQuery = path.Join(path.Dir("/"+strings.Trim(u.Path, "/")), name), ""
	return u.String()
}

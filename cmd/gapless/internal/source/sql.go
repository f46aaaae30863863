package source

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"
	_ "github.com/lib/pq" // the driver of PostgreSQL
	_ "modernc.org/sqlite"

	sqllog "github.com/gapless-go/gapless/source/sql"
)

// idleConns are kept: the readers of a log ask all the time.
const idleConns = 10

func (s *Source) openSQL(ctx context.Context, opts *Options) error {
	o, err := SQLOptions(s.Address, opts)
	if err != nil {
		return err
	}
	if s.DB, err = OpenDB(s.Address, opts.Access == Create); err != nil {
		return err
	}
	s.onClose(s.DB.Close)
	log, err := sqllog.Open(ctx, s.DB, s.Address.Name, o)
	if err != nil {
		return s.explainSQL(err, len(opts.Columns) > 0)
	}
	s.Log = log
	s.onClose(log.Close)
	return nil
}

// SQLOptions are those with which the log of the address is opened.
func SQLOptions(a Address, opts *Options) (*sqllog.Options, error) {
	columns, err := parseColumns(opts.Columns)
	if err != nil {
		return nil, err
	}
	o := &sqllog.Options{Dialect: a.Kind.Dialect(), Mode: sqllog.Mode(opts.Mode), Columns: columns, NoSchema: opts.Access != Create, OnError: opts.OnError}
	if a.Kind == Postgres {
		o.ListenDSN = a.Target
	}
	return o, nil
}

// OpenDB opens the database without its log. A file of SQLite must exist, unless
// it may be made.
func OpenDB(a Address, create bool) (*sql.DB, error) {
	driver, dsn := string(a.Kind), a.Target
	if a.Kind == SQLite {
		path, query, _ := strings.Cut(a.Target, "?")
		_, err := os.Stat(path)
		if err != nil && !create {
			return nil, &Missing{Address: a}
		}
		dsn = sqliteDSN(path, query, err != nil)
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a, err)
	}
	db.SetMaxIdleConns(idleConns)
	return db, nil
}

// sqliteDSN leaves the journal of a file that exists as it is.
func sqliteDSN(path, query string, isNew bool) string {
	mode := "rw"
	if isNew {
		mode = "rwc&_pragma=journal_mode(WAL)"
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(10000)&_txlock=immediate&mode=" + mode
	if query != "" {
		dsn += "&" + query
	}
	return dsn
}

// parseColumns reads "seq=id", "topic=project".
func parseColumns(pairs []string) (*sqllog.Columns, error) {
	if len(pairs) == 0 {
		return nil, nil //nolint:nilnil // the table is ours
	}
	c := &sqllog.Columns{}
	for _, pair := range pairs {
		field, column, _ := strings.Cut(pair, "=")
		target := fieldOf(c, field)
		if target == nil || column == "" {
			return nil, fmt.Errorf("--columns has %q: write FIELD=COLUMN, where the field is seq, id, topic, type, key, time, data or meta", pair)
		}
		*target = column
	}
	if c.Seq == "" {
		return nil, errors.New("--columns does not say which column is seq: add seq=COLUMN")
	}
	return c, nil
}

func fieldOf(c *sqllog.Columns, name string) *string {
	switch name {
	case "seq":
		return &c.Seq
	case "id":
		return &c.ID
	case "topic":
		return &c.Topic
	case "type":
		return &c.Type
	case "key":
		return &c.Key
	case "time":
		return &c.Time
	case "data":
		return &c.Data
	case "meta":
		return &c.Meta
	}
	return nil
}

// explainSQL adds what to do in the program.
func (s *Source) explainSQL(err error, mapped bool) error {
	if e, ok := errors.AsType[*sqllog.SchemaError](err); ok && len(e.Problems) > 0 {
		switch first := e.Problems[0]; {
		case strings.HasPrefix(first, "it does not exist"):
			return &Missing{Address: s.Address}
		case mapped && strings.HasPrefix(first, "its table") && strings.Contains(first, "does not exist"):
			return &Missing{Address: s.Address, Mapped: true}
		}
	}
	switch text := err.Error(); {
	case strings.Contains(text, "SSL is not enabled on the server"):
		return fmt.Errorf("%s: the server has no TLS: add ?sslmode=disable to the source: %w", s.Address, err)
	case errors.Is(err, mysql.ErrInvalidConn):
		return fmt.Errorf("%s: the server ended the connection: check address and user: %w", s.Address, err)
	}
	return fmt.Errorf("%s: %w", s.Address, err)
}

package mysql

import (
	"context"
	"fmt"
	"strings"

	"github.com/gapless-go/gapless/source/sql/internal/engine"
)

// checkDefiners finds what the users lack with whose rights the triggers run:
// every write fails without it. Who may not read the server's list of users does
// not see it.
func (c capture) checkDefiners(ctx context.Context, q engine.Querier, problems *engine.Problems) error {
	definers, err := engine.List[string](ctx, q, "SELECT DISTINCT definer FROM information_schema.triggers WHERE trigger_schema = ? AND event_object_table = ?"+
		" AND trigger_name IN (?, ?, ?)", c.On.Schema, c.On.Table, c.Name("insert"), c.Name("update"), c.Name("delete"))
	if err != nil {
		return err
	}
	for _, definer := range definers {
		problem, err := c.definerLacks(ctx, q, definer)
		switch {
		case err != nil && hasNumber(err, "1142", "1044", "1143", "1146"): // may not read these tables, or the server has others
		case err != nil:
			return err
		case problem != "":
			problems.Add("the database user %s, with whose rights the triggers run, %s, so every write fails: call Capture", definer, problem)
		}
	}
	return nil
}

// definerLacks asks the server's tables of rights. A user with roles may have
// rights by them, and is not judged.
func (c capture) definerLacks(ctx context.Context, q engine.Querier, definer string) (problem string, err error) {
	at := strings.LastIndex(definer, "@")
	user, host := definer[:at], definer[at+1:]
	var found bool
	if err := q.QueryRowContext(ctx, "SELECT count(*) > 0 FROM mysql.user WHERE user = ? AND host = ?", user, host).Scan(&found); err != nil {
		return "", err
	}
	if !found {
		return "is gone", nil
	}
	var roles bool
	if err := q.QueryRowContext(ctx, "SELECT count(*) > 0 FROM mysql.roles_mapping WHERE user = ? AND host = ?", user, host).Scan(&roles); err != nil || roles {
		return "", err
	}
	log := c.Settings.Names
	for _, need := range [...]struct{ right, schema, table string }{
		{"Insert", log.Schema, log.Table + "_inbox"},
		{"Trigger", c.On.Schema, c.On.Table},
		{"Select", c.On.Schema, c.On.Table},
	} {
		query := fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM mysql.user WHERE user = ? AND host = ? AND %[1]s_priv = 'Y')"+
			" OR EXISTS (SELECT 1 FROM mysql.db WHERE (user = ? AND host = ? OR user = 'PUBLIC') AND ? LIKE db AND %[1]s_priv = 'Y')"+
			" OR EXISTS (SELECT 1 FROM mysql.tables_priv WHERE (user = ? AND host = ? OR user = 'PUBLIC') AND db = ? AND table_name = ?"+
			" AND (find_in_set('%[1]s', table_priv) OR find_in_set('%[1]s', column_priv)))", need.right)
		err := q.QueryRowContext(ctx, query, user, host, user, host, need.schema, user, host, need.schema, need.table).Scan(&found)
		if err != nil {
			return "", err
		}
		if !found {
			return fmt.Sprintf("lacks %s on %s.%s", strings.ToUpper(need.right), need.schema, need.table), nil
		}
	}
	return "", nil
}

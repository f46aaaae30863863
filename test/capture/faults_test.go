package capture_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/gapless-go/gapless/test/capture"
)

// fault spoils capture in the way of a bug that somebody could write.
type fault struct {
	name    string
	dialect capture.Dialect
	kinds   []string // of the differences that show it
	// statements are run after Capture; {t} is the first captured table.
	statements []string
}

const onTable = "FOR EACH ROW EXECUTE FUNCTION public.planted_log()"

func faults() []fault {
	function := func(body string) string {
		return "CREATE OR REPLACE FUNCTION public.planted_log() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN " + body + "; END $$"
	}
	return []fault{
		{"an order inversion", capture.Postgres, []string{"fold", "old"}, []string{
			function("NEW.pos := 1000000000 - NEW.pos; RETURN NEW"),
			"CREATE OR REPLACE TRIGGER planted BEFORE INSERT ON change_log_inbox " + onTable,
		}},
		{"an event that is lost", capture.Postgres, []string{"fold", "old"}, []string{
			function("IF NEW.type LIKE '%.update' AND NEW.key LIKE '%2%' THEN RETURN NULL; END IF; RETURN NEW"),
			"CREATE OR REPLACE TRIGGER planted BEFORE INSERT ON change_log_inbox " + onTable,
		}},
		{"a comparison that some types lack", capture.Postgres, []string{"error"}, []string{
			function("IF OLD IS DISTINCT FROM NEW THEN RETURN NULL; END IF; RETURN NULL"),
			"CREATE TRIGGER planted AFTER UPDATE ON {t} " + onTable,
		}},
		{"a name that is looked up in the session's path", capture.Postgres, []string{"error"}, []string{
			"CREATE OR REPLACE FUNCTION public.planted_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 FROM change_log_head; RETURN NULL; END $$",
			"CREATE TRIGGER planted AFTER INSERT ON {t} " + onTable,
		}},
		{"a setting that is not pinned", capture.Postgres, []string{"fold", "old", "key"}, []string{
			`DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT DISTINCT tgfoid::regprocedure FROM pg_trigger WHERE tgrelid = '{t}'::regclass AND tgfoid::regprocedure::text LIKE '%\_to\_%\_row%'
				LOOP EXECUTE format('ALTER FUNCTION %s RESET datestyle RESET timezone RESET extra_float_digits RESET intervalstyle', f); END LOOP; END $$`,
		}},
		{"an OR IGNORE that reaches into the log", capture.SQLite, []string{"error", "fold", "old"}, []string{
			"CREATE UNIQUE INDEX IF NOT EXISTS planted ON change_log (key, type)",
		}},
		{"a trigger that changes the row", capture.SQLite, []string{"final", "rows", "old", "fold", "affected"}, []string{
			"CREATE TRIGGER planted_log AFTER INSERT ON {t} BEGIN DELETE FROM {t} WHERE rowid = 3; END",
		}},
		{"a wrong name", capture.MariaDB, []string{"error"}, []string{
			"CREATE TRIGGER planted AFTER DELETE ON {t} FOR EACH ROW INSERT INTO nowhere VALUES (1)",
		}},
		{"a number that the user asks for", capture.MariaDB, []string{"rows", "affected", "error"}, []string{
			"CREATE TRIGGER planted AFTER INSERT ON {t} FOR EACH ROW SET @seen = 1, @gone = 2",
		}},
	}
}

// plant is run on every script, some of whose statements fit no table.
func (f fault) plant(ctx context.Context, db *sqlx.DB, s *capture.Script) error {
	for _, t := range s.Tables {
		if !t.Captured {
			continue
		}
		for _, text := range f.statements {
			if _, err := db.ExecContext(ctx, strings.ReplaceAll(text, "{t}", t.QualifiedName(s.Dialect))); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

// withinSeeds is how many scripts a fault may survive.
const withinSeeds = 150

func TestPlantedFaultsAreCaught(t *testing.T) {
	for _, d := range []capture.Dialect{capture.Postgres, capture.MariaDB, capture.SQLite} {
		t.Run(string(d), func(t *testing.T) {
			t.Parallel()
			s := start(t, d)
			for _, f := range faults() {
				if f.dialect == d {
					t.Run(f.name, func(t *testing.T) { catch(t, s.judge(t, d), s.judge(t, d), f) })
				}
			}
		})
	}
}

// catch looks for a script that shows the fault; on another judge, where it is
// not planted, the script shows nothing.
func catch(t *testing.T, j, sound *capture.Judge, f fault) {
	t.Helper()
	for seed := uint64(1); seed <= withinSeeds; seed++ {
		s := capture.Generate(f.dialect, seed, capture.Avoided())
		s.Log, s.Twice = "change_log", false
		j.Plant = f.plant
		report, err := j.Run(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if report.Difference == nil || report.Difference.Kind == "verify" { // VerifyCapture knows better, but the judge must see it
			continue
		}
		if without, err := sound.Run(t.Context(), s); err != nil || without.Difference != nil {
			t.Fatalf("seed %d differs without the fault, too: %v %+v", seed, err, without)
		}
		if !slices.Contains(f.kinds, report.Difference.Kind) {
			t.Errorf("seed %d: a difference in %s, want one in %v: %s", seed, report.Difference.Kind, f.kinds, report.Difference.Detail)
		}
		t.Logf("seed %d: %s: %s", seed, report.Difference.Kind, report.Difference.Detail)
		return
	}
	t.Errorf("%s is not caught by %d scripts", f.name, withinSeeds)
}

// TestQuadraticPlanIsCaught plants a trigger that compares each row with each.
func TestQuadraticPlanIsCaught(t *testing.T) {
	j := start(t, capture.Postgres).judge(t, capture.Postgres)
	f := fault{"a quadratic plan", capture.Postgres, nil, []string{
		"CREATE OR REPLACE FUNCTION public.planted_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM count(*) FROM n a JOIN n b ON a.id < b.id; RETURN NULL; END $$",
		"CREATE TRIGGER planted AFTER INSERT ON {t} REFERENCING NEW TABLE AS n FOR EACH STATEMENT EXECUTE FUNCTION public.planted_log()",
	}}
	j.Plant = f.plant
	costs, err := j.Cost(t.Context(), []int{500, 6000})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(costs[0])
	if costs[0].Growth() < linear {
		t.Errorf("a quadratic INSERT is not caught: %s", costs[0])
	}
}

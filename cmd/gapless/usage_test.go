package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWrongUsageSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "some.db")
	ok(t, numbered(1, 1), "append", "-s", "sqlite:"+file)
	for _, c := range []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"tial"}, 2, []string{"tial", "gapless help"}},
		{[]string{"capture", "lst"}, 2, []string{"lst", "--help"}},
		{[]string{"consumers", "paus", "mailer"}, 2, []string{"paus", "--help"}},
		{[]string{"tail", "--form"}, 2, []string{"--form", "--help"}},
		{[]string{"tail", "extra"}, 2, []string{"extra"}},
		{[]string{"tail"}, 2, []string{"--source", "bolt:FILE", "postgres://"}},
		{[]string{"tail", "-s", file}, 2, []string{"sqlite:" + file}},
		{[]string{"tail", "-s", "mongo://x/y"}, 2, []string{"bolt:FILE"}},
		{[]string{"tail", "-s", "redis://127.0.0.1:1"}, 2, []string{"--log"}},
		{[]string{"tail", "-s", "mysql://root@127.0.0.1:1"}, 2, []string{"database"}},
		{[]string{"tail", "-s", "sqlite:" + file, "--from", "the start"}, 2, []string{"beginning"}},
		{[]string{"tail", "-s", "sqlite:" + file, "--limit", "-1"}, 2, []string{"--limit"}},
		{[]string{"tail", "-s", "sqlite:" + file, "--on-reset", "x"}, 2, []string{"continue"}},
		{[]string{"tail", "-s", "sqlite:" + file, "--progress", "x"}, 2, []string{"never"}},
		{[]string{"tail", "-s", "sqlite:" + file, "--columns", "id"}, 2, []string{"FIELD=COLUMN"}},
		{[]string{"tail", "-s", "sqlite:" + file, "--table", "other"}, 1, []string{"other", "--log"}},
		{[]string{"tail", "-s", "sqlite:" + file, "--foreign"}, 2, []string{"--foreign"}},
		{[]string{"tail", "-s", "bolt:" + file}, 1, []string{"bbolt"}},
		{[]string{"tail", "-s", "bolt:" + filepath.Join(dir, "none")}, 1, []string{"none", "--log"}},
		{[]string{"info", "-s", "redis://127.0.0.1:1/0/x", "--mode", "fence"}, 2, []string{"--mode", "redis"}},
		{[]string{"append", "-s", "http://127.0.0.1:1/events"}, 0, nil},
		{[]string{"trim", "-s", "http://127.0.0.1:1/events", "--to", "1", "--yes"}, 1, []string{"refused"}},
		{[]string{"info", "-s", "postgres://u:secret@127.0.0.1:1/db"}, 1, []string{"postgres://u@127.0.0.1:1/db"}},
		{[]string{"info", "-s", "redis://u:secret@127.0.0.1:1/0/log"}, 1, []string{"user and password"}},
		{[]string{"schema", "oracle"}, 2, []string{"oracle"}},
		{[]string{"append", "-s", "sqlite:" + file, "--batch", "0"}, 2, []string{"--batch"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			t.Parallel()
			refused(t, c.code, c.want, c.args...)
			if r := run(t, "", append(c.args, "--json")...); strings.Contains(r.err, "secret") {
				t.Errorf("the password is in %s", r.err)
			} else if c.code == 1 && !json.Valid([]byte(r.err)) {
				t.Errorf("--json: %s", r.err)
			}
		})
	}
}

// TestWhereFlagsComeFrom: the command line wins over the environment, which wins
// over the file.
func TestWhereFlagsComeFrom(t *testing.T) {
	dir := t.TempDir()
	source := func(name string) string {
		address := "bolt:" + filepath.Join(dir, name)
		ok(t, `{"type":"`+name+`"}`, "append", "-s", address)
		return address
	}
	flag, env := source("flag"), source("env")
	config := filepath.Join(dir, "gapless.yaml")
	if err := os.WriteFile(config, []byte("source: "+source("file")+"\ntype: [file, env, flag]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{"file": {}, "env": {"env"}, "flag": {"env", "flag"}} {
		var vars []string
		command := []string{"tail", "--config", config}
		for _, a := range args {
			if a == "env" {
				vars = append(vars, "GAPLESS_SOURCE="+env)
			} else {
				command = append(command, "--source", flag)
			}
		}
		if r := runWith(t, "", vars, command...); !strings.Contains(r.out, `"type":"`+want+`"`) {
			t.Errorf("%v: got %s%s", args, r.out, r.err)
		}
	}
	if err := os.WriteFile(config, []byte("sauce: x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, 2, []string{"sauce", "no setting"}, "tail", "--config", config)
}

func TestSmallCommands(t *testing.T) {
	if got := ok(t, "", "version"); !strings.HasPrefix(got, "gapless ") {
		t.Error(got)
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := ok(t, "", "completion", shell); !strings.Contains(got, "gapless") {
			t.Error(shell, got)
		}
	}
	for dialect, want := range map[string]string{"postgres": "CREATE TABLE", "sqlite": "CREATE TABLE", "mysql": "CREATE TABLE"} {
		if got := ok(t, "", "schema", dialect, "--table", "my_log"); !strings.Contains(got, want) || !strings.Contains(got, "my_log_head") {
			t.Error(got)
		}
		if got := ok(t, "", "schema", dialect, "--place", "workers"); !strings.Contains(got, "workers") {
			t.Error(got)
		}
	}
}

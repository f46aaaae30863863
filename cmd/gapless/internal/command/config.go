package command

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// configure sets the flags of the command that the command line does not: from
// the environment, else from the file.
func (a *app) configure(cmd *cobra.Command) error {
	if file := os.Getenv(envName("config")); a.config == "" {
		a.config = file
	}
	values, err := readConfig(a.config)
	if err != nil {
		return err
	}
	if err := checkKeys(cmd.Root(), a.config, values); err != nil {
		return err
	}
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || f.Name == "config" || failed != nil {
			return
		}
		if text, ok := os.LookupEnv(envName(f.Name)); ok {
			failed = set(cmd.Flags(), f, []string{text}, envName(f.Name))
		} else if v, ok := values[f.Name]; ok {
			failed = set(cmd.Flags(), f, texts(v), a.config+": "+f.Name)
		}
	})
	return failed
}

func envName(flag string) string {
	return "GAPLESS_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

func set(flags *pflag.FlagSet, f *pflag.Flag, values []string, where string) error {
	for _, v := range values {
		if err := flags.Set(f.Name, v); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
	}
	return nil
}

// readConfig reads a file of flag names and values; no file has none.
func readConfig(name string) (map[string]any, error) {
	if name == "" {
		return nil, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("the file of --config cannot be read: %w", err)
	}
	values := map[string]any{}
	if err := yaml.Unmarshal(text, &values); err != nil {
		return nil, fmt.Errorf("%s is not as expected, lines like \"listen: 127.0.0.1:8080\": %w", name, err)
	}
	if table, ok := values["table"]; ok {
		values["log"] = table
		delete(values, "table")
	}
	return values, nil
}

// checkKeys refuses keys that are no flag of any command.
func checkKeys(root *cobra.Command, file string, values map[string]any) error {
	var known []string
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		add := func(f *pflag.Flag) { known = append(known, f.Name) }
		cmd.LocalFlags().VisitAll(add)
		cmd.PersistentFlags().VisitAll(add)
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	visit(root)
	for key := range values {
		if !slices.Contains(known, key) {
			return fmt.Errorf("%s: %q is no setting: the keys are the names of the flags, see gapless help", file, key)
		}
	}
	return nil
}

// texts are a value of the file as the command line would have it.
func texts(v any) []string {
	list, ok := v.([]any)
	if !ok {
		return []string{fmt.Sprint(v)}
	}
	all := make([]string, len(list))
	for i, item := range list {
		all[i] = fmt.Sprint(item)
	}
	return all
}

package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/services/app"
)

// commands are all that can be called, by what is typed for them.
func commands() map[string]*cobra.Command {
	found := map[string]*cobra.Command{}
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Name() == "help" { // cobra's own
			return
		}
		found[strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), "erpconnector"))] = cmd
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(Root())
	return found
}

// Who asks for help gets it, whatever the environment lacks, and learns of every flag.
func TestEveryCommandHasHelp(t *testing.T) {
	t.Parallel()
	require.Len(t, commands(), 85, "a command was added: give it tests, and count it here")
	for name, cmd := range commands() {
		t.Run(strings.ReplaceAll("erpconnector "+name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			out := does(t, nil, append(strings.Fields(name), "--help")...)
			require.NotEmpty(t, cmd.Short)
			require.NotEmpty(t, cmd.Example)
			for line := range strings.SplitSeq(cmd.Example, "\n") {
				require.Regexp(t, `^    ?\S.*erpconnector |^  .*erpconnector `, line)
				requireTaken(t, line)
			}
			require.NotRegexp(t, `\.$`, cmd.Short, "it stands in a list")
			require.Contains(t, out, "Usage:\n  erpconnector")
			cmd.Flags().VisitAll(func(f *pflag.Flag) {
				require.NotEmpty(t, f.Usage, f.Name)
				require.Contains(t, out, "--"+f.Name)
				require.NotRegexp(t, "`.* .*`", f.Usage, "what stands in backticks is the name of the value")
			})
			for line := range strings.SplitSeq(cmd.Long, "\n") {
				require.LessOrEqual(t, len(line), 160, line)
			}
		})
	}
}

// requireTaken checks that the first command of an example is one, with flags that it has.
func requireTaken(t *testing.T, line string) {
	t.Helper()
	words := strings.Fields(line[strings.Index(line, "erpconnector ")+len("erpconnector "):])
	cmd, rest, err := Root().Find(words)
	require.NoError(t, err, line)
	require.True(t, cmd.HasParent(), line)
	for _, word := range rest {
		if strings.ContainsAny(word, "|&>#") {
			break
		}
		name, isFlag := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		require.False(t, isFlag && cmd.Flag(name) == nil && cmd.InheritedFlags().Lookup(name) == nil, "%s: %s", line, word)
	}
}

// A typing mistake ends with a word about it and an exit code other than 0: a script goes no further. For commands of which 1 says
// that something was found, it is 2.
func TestMisuse(t *testing.T) {
	t.Parallel()
	const unknownFlag, unknown, unwanted = "unknown flag: --bogus", `unknown command "bogus"`, `takes no argument, and got "bogus"`
	for args, c := range map[string]struct {
		want string
		code int
	}{
		"bogus":                                      {unknown, 1},
		"--bogus":                                    {unknownFlag, 1},
		"up bogus":                                   {unwanted, 1},
		"up --bogus":                                 {unknownFlag, 1},
		"up --kafka-port many":                       {`invalid argument "many" for "--kafka-port"`, 1},
		"demo bogus":                                 {unwanted, 1},
		"demo --rate many":                           {`invalid argument "many" for "--rate"`, 1},
		"run bogus":                                  {`there is no service "bogus"`, 1},
		"run --bogus":                                {unknownFlag, 1},
		"migrate bogus":                              {unwanted, 1},
		"topics ensure bogus":                        {unwanted, 1},
		"topics check bogus":                         {unwanted, 1},
		"quarantine list bogus":                      {unwanted, 1},
		"quarantine list --limit x":                  {`invalid argument "x" for "--limit"`, 1},
		"quarantine list --limit 0":                  {"--limit is 0; it must be 1 or more", 1},
		"quarantine show":                            {"got 0 arguments: it is called as erpconnector ", 1},
		"quarantine show 1 2":                        {"got 2 arguments: it is called as erpconnector ", 1},
		"quarantine show one":                        {`"one" is no id: erpconnector quarantine list shows them`, 1},
		"quarantine send":                            {"name entries by their ids, or give --all", 1},
		"quarantine send 1 --all":                    {"name entries by their ids, or give --all", 1},
		"quarantine send 1 --code refused":           {"--source, --code and the others go with --all", 1},
		"quarantine send 1 2 --event file":           {"--event goes with one id", 1},
		"quarantine send --all --event file":         {"--event goes with one id", 1},
		"quarantine send --all --code bogus":         {`--code is "bogus", which is no reason: there are refused, `, 1},
		"quarantine send --all --dry-run --event f":  {"--event goes with one id, and not with --dry-run", 1},
		"quarantine list --door bogus":               {`--door is "bogus", which is no door: there are http, outbox`, 1},
		"quarantine list --state shut":               {`--state is "shut"; it must be open`, 1},
		"quarantine discard":                         {"name entries by their ids, or give --all", 1},
		"quarantine discard 1":                       {"--reason is required", 1},
		"quarantine delete 1":                        {`unknown command "delete" for "erpconnector quarantine": there are discard, list, send, show`, 1},
		"quarantine dicard 1":                        {"did you mean discard?", 1},
		"settings unste debug":                       {"did you mean unset?", 1},
		"token crate":                                {"did you mean create?", 1},
		"deadletter list bogus":                      {unwanted, 1},
		"deadletter list --limit -1":                 {"--limit is -1; it must be 1 or more", 1},
		"deadletter list --state shut":               {`--state is "shut"; it must be open (which it is when left out), redriven, discarded or all`, 1},
		"deadletter show":                            {"got 0 arguments: it is called as erpconnector ", 1},
		"deadletter show one":                        {`"one" is no id: erpconnector deadletter list shows them`, 1},
		"deadletter redrive":                         {"name dead letters by their ids, or select them by --topic", 1},
		"deadletter redrive one --reason x":          {`"one" is no id`, 1},
		"deadletter redrive 1":                       {"--reason is required", 1},
		"deadletter discard":                         {"name dead letters by their ids, or select them by --topic", 1},
		"deadletter discard 99999999999999999999":    {`"99999999999999999999" is no id`, 1},
		"cron run bogus":                             {unwanted, 1},
		"topics bogus":                               {unknown, 1},
		"quarantine bogus":                           {unknown, 1},
		"deadletter bogus":                           {unknown, 1},
		"cron bogus":                                 {unknown, 1},
		"erp bogus":                                  {unknown, 1},
		"erp status bogus":                           {unwanted, 1},
		"erp open":                                   {"--reason is required: it stands in the history", 1},
		"erp open maintenance":                       {`takes no argument, and got "maintenance"`, 1},
		"erp open --reason":                          {"flag needs an argument: --reason", 1},
		"erp open --reason=":                         {"--reason is required", 1},
		"erp close":                                  {"--reason is required", 1},
		"erp close --json":                           {"unknown flag: --json", 1},
		"bulk bogus":                                 {unknown, 1},
		"bulk resync":                                {"select orders, by --status or another flag, or name them by --id", 1},
		"bulk resync --id 1 --status failed":         {"select orders, or name them by --id, not both", 1},
		"bulk resync --status lost --order-id x":     {`--status has "lost"`, 1},
		"bulk resync --id 1 --new-key":               {"--reason is required", 1},
		"bulk resync --id 1 --canary 1001":           {"--canary is 1001; it must be a whole number from 0 to 1000", 1},
		"bulk cancel --id 1":                         {"--reason is required", 1},
		"bulk cancel --id 1 --canary 1":              {"unknown flag: --canary", 1},
		"bulk list --state lost":                     {`--state is "lost"`, 1},
		"bulk list --limit 0":                        {"--limit is 0; it must be 1 or more", 1},
		"bulk show one":                              {`"one" is no bulk job's id`, 1},
		"bulk results 1 --result good":               {`--result is "good"`, 1},
		"bulk pause 1 --reason \x01":                 {"--reason contains the control character U+0001", 1},
		"bulk stop":                                  {"got 0 arguments: it is called as erpconnector ", 1},
		"settings bogus":                             {unknown, 1},
		"settings get":                               {"got 0 arguments: it is called as erpconnector ", 1},
		"settings get cron_bach":                     {"did you mean cron_batch?", 1},
		"settings set":                               {"requires at least 1 arg(s), only received 0", 1},
		"settings set debug":                         {`"debug" is not NAME=VALUE`, 1},
		"settings set debug=true debug=false":        {"debug stands there twice; give it once", 1},
		"settings unset":                             {"requires at least 1 arg(s), only received 0", 1},
		"settings history a b":                       {"got 2 arguments: it is called as erpconnector ", 1},
		"settings history --limit 0":                 {"--limit is 0; it must be 1 or more", 1},
		"settings history --after 7":                 {"--after 7 is no cursor", 1},
		"replay bogus":                               {unwanted, 1},
		"replay":                                     {"name an order (--order 000000123) or the start of a range", 1},
		"health a b":                                 {"got 2 arguments: it is called as erpconnector ", 1},
		"rebuild bogus":                              {unwanted, 1},
		"verify bogus":                               {unwanted, CouldNotTell},
		"verify --bogus":                             {unknownFlag, CouldNotTell},
		"audit bogus":                                {unwanted, CouldNotTell},
		"audit --bogus":                              {unknownFlag, CouldNotTell},
		"audit --limit x":                            {`invalid argument "x" for "--limit"`, CouldNotTell},
		"audit --limit -1":                           {"--limit -1 must not be negative", CouldNotTell},
		"audit --from yesterday":                     {`--from "yesterday" is no time: write 2024-01-15T10:00:00Z, or 2024-01-15 (UTC)`, CouldNotTell},
		"audit --to-time now":                        {`--to-time "now" is no time`, CouldNotTell},
		"audit --from 2024-01-15 --to-time 2024-1-1": {`--to-time "2024-1-1" is no time`, CouldNotTell},
		"audit --source Outlet":                      {`source "Outlet" must be`, CouldNotTell},
		"list bogus":                                 {unwanted, 1},
		"list -o xml":                                {`--output is "xml"; it must be table, json (a list), ndjson`, 1},
		"list --limit 0":                             {"--limit is 0; it must be from 1 to 1000000", 1},
		"tail bogus":                                 {unwanted, 1},
		"tail -o csv":                                {`--output is "csv"; it must be text or ndjson`, 1},
		"failures bogus":                             {unwanted, 1},
		"failures -o yaml":                           {`--output is "yaml"`, 1},
		"status":                                     {"got 0 arguments: it is called as erpconnector ", 1},
		"status 1 -o csv":                            {`--output is "csv"; it must be text or json`, 1},
		"watch 1 2":                                  {"got 2 arguments: it is called as erpconnector ", 1},
		"sync":                                       {"got 0 arguments: it is called as erpconnector ", 1},
		"sync 1 --wait 61s":                          {"--wait is 1m1s; it must be from 0s to 1m0s", 1},
		"resync 1 -o csv":                            {`--output is "csv"`, 1},
		"resync 1 --new-key":                         {"--reason is required", 1},
		"send-now 1":                                 {"--reason is required", 1},
		"cancel 1":                                   {"--reason is required", 1},
		"cancel 1 --new-key":                         {"unknown flag: --new-key", 1},
		"settle 1":                                   {"--reason is required", 1},
		"resync 1 --yes":                             {"--yes, --background and --canary go with --filter", 1},
		"resync 1 --filter status=failed":            {"name an order, or give --filter, not both", 1},
		"resync --filter failed":                     {`--filter "failed" is not WORD=VALUE`, 1},
		"resync --filter sttus=failed":               {"did you mean status?", 1},
		"resync --filter status=lost --dry-run":      {`--filter status has "lost"`, 1},
		"resync --filter source=a --filter source=b": {"--filter has source twice", 1},
		"list --sttus failed":                        {"unknown flag: --sttus: did you mean --status?", 1},
		"sttus 1":                                    {"did you mean status?", 1},
		"man":                                        {"got 0 arguments: it is called as erpconnector ", 1},
		"completion bsh":                             {`"bsh" is no shell that is known: did you mean bash?`, 1},
		"help lst":                                   {`unknown command "lst" for "erpconnector": did you mean list?`, 1},
		"help quarantine shw":                        {`unknown command "shw" for "erpconnector quarantine": did you mean show?`, 1},
		"version -x":                                 {"unknown shorthand flag: 'x' in -x: `erpconnector version --help` lists them", 1},
		"context bogus":                              {unknown, 1},
		"context list bogus":                         {unwanted, 1},
		"context set":                                {"got 0 arguments: it is called as erpconnector ", 1},
		"context use":                                {"got 0 arguments: it is called as erpconnector ", 1},
		"context remove":                             {"got 0 arguments: it is called as erpconnector ", 1},
		"doctor bogus":                               {unwanted, 1},
		"doctor -o xml":                              {`--output is "xml"; it must be text or json`, 1},
		"version bogus":                              {unwanted, 1},
		"version -o xml":                             {`--output is "xml"; it must be text or json`, 1},
		"config bogus":                               {unknown, 1},
		"config check bogus":                         {unwanted, 1},
		"repair bogus":                               {unwanted, CouldNotTell},
		"repair --bogus":                             {unknownFlag, CouldNotTell},
		"repair --limit -1":                          {"--limit is -1; it must not be negative", CouldNotTell},
	} {
		t.Run(strings.ReplaceAll(args, " ", "_"), func(t *testing.T) {
			t.Parallel()
			p := invoke(t, nil, strings.Fields(args)...)
			require.ErrorContains(t, p.err, c.want)
			require.Equal(t, c.code, p.code())
			require.Empty(t, p.out, "nothing on the standard output, which a script may read")
		})
	}
}

// What a command needs and the environment does not name is told by the variable, and all of it at once.
func TestWhatTheEnvironmentLacks(t *testing.T) {
	t.Parallel()
	const connector = "nothing listens at http://127.0.0.1:1: start it, or name another one with --url or --context, or the stores with DATABASE_URL"
	const database, brokers = "DATABASE_URL is not set: name the Postgres database", "KAFKA_BROKERS is not set: name the brokers"
	for args, c := range map[string]struct {
		want []string
		code int
	}{
		"run":                             {[]string{database, brokers}, 1},
		"run api":                         {[]string{database, brokers}, 1},
		"migrate":                         {[]string{database}, 1},
		"topics ensure":                   {[]string{brokers}, 1},
		"topics check":                    {[]string{brokers}, 1},
		"quarantine list":                 {[]string{connector}, 1},
		"quarantine show 1":               {[]string{connector}, 1},
		"quarantine send 1":               {[]string{connector}, 1},
		"quarantine send --all":           {[]string{connector}, 1},
		"quarantine discard 1 --reason=x": {[]string{connector}, 1},
		"deadletter list":                 {[]string{connector}, 1},
		"deadletter show 1":               {[]string{connector}, 1},
		"deadletter redrive 1 --reason":   {[]string{"flag needs an argument: --reason"}, 1},
		"deadletter redrive 1 --reason=x": {[]string{connector}, 1},
		"deadletter discard 1 --reason=x": {[]string{connector}, 1},
		"cron run":                        {[]string{database}, 1},
		"erp status":                      {[]string{connector}, 1},
		"erp status --json":               {[]string{connector}, 1},
		"erp open --reason=x":             {[]string{connector}, 1},
		"erp close --reason=x":            {[]string{connector}, 1},
		"settings":                        {[]string{connector}, 1},
		"settings get debug":              {[]string{connector}, 1},
		"settings set debug=true":         {[]string{connector}, 1},
		"settings unset debug":            {[]string{connector}, 1},
		"settings history":                {[]string{connector}, 1},
		"replay --order 1":                {[]string{database}, 1},
		"replay --from 2024-01-15":        {[]string{brokers}, 1},
		"rebuild":                         {[]string{database, brokers}, 1},
		"verify":                          {[]string{"could not compare: ", database, brokers}, CouldNotTell},
		"audit":                           {[]string{"could not tell: ", database, brokers}, CouldNotTell},
		"repair":                          {[]string{database, brokers}, CouldNotTell},
		"repair --yes":                    {[]string{database, brokers}, CouldNotTell},
	} {
		t.Run(strings.ReplaceAll(args, " ", "_"), func(t *testing.T) {
			t.Parallel()
			p := invoke(t, variables{"HTTP_ADDR": "127.0.0.1:1", "ERPCONNECTOR_CONFIG": "/nowhere"}, strings.Fields(args)...)
			for _, want := range c.want {
				require.ErrorContains(t, p.err, want)
			}
			require.Equal(t, c.code, p.code())
			require.Empty(t, p.out)
		})
	}
}

// A variable that cannot be is told by every command that reads the environment, before it reaches for a server.
func TestAVariableThatCannotBe(t *testing.T) {
	t.Parallel()
	env := variables{"LOG_LEVEL": "loud", "DATABASE_URL": "postgres://127.0.0.1:1/db", "KAFKA_BROKERS": "127.0.0.1:1"}
	for _, args := range []string{
		"up", "demo", "run", "migrate", "topics ensure", "topics check", "quarantine list", "deadletter list", "deadletter show 1", "cron run",
		"bulk list", "erp status", "erp open --reason x", "erp close --reason x", "settings", "replay --order 1", "replay --from 2024-01-15", "health", "verify", "rebuild", "audit", "repair", "config check",
	} {
		p := invoke(t, env, strings.Fields(args)...)
		require.ErrorContains(t, p.err, `LOG_LEVEL is "loud"; it must be debug, info, warn or error`, args)
		require.NotContains(t, p.err.Error(), "127.0.0.1", args)
	}
}

func TestLongRunningCommandsAreThere(t *testing.T) {
	t.Parallel()
	for _, name := range longRunning {
		cmd, rest, err := Root().Find([]string{name})
		require.NoError(t, err)
		require.Equal(t, name, cmd.Name())
		require.Empty(t, rest)
	}
}

func TestServicesAreKnownByName(t *testing.T) {
	t.Parallel()
	for _, names := range [][]string{nil, app.Names(), app.DefaultNames(), {"api", "projector"}} {
		require.NoError(t, knownServices(nil, names))
	}
	require.NotContains(t, app.DefaultNames(), "mockerp")
	for names, want := range map[string]string{
		"api api":                "the service api is named twice",
		"relay api syncer relay": "the service relay is named twice",
		"projectr":               `there is no service "projectr": did you mean projector?`,
		"relay everything":       `there is no service "everything": there are `,
		"API":                    `there is no service "API"`,
		"api,relay":              `there is no service "api,relay"`,
	} {
		require.ErrorContains(t, knownServices(nil, strings.Fields(names)), want)
	}
}

func TestCompleteConfig(t *testing.T) {
	t.Parallel()
	cfg, err := CompleteConfig(variables{"DATABASE_URL": "postgres://db/erp", "KAFKA_BROKERS": "a:1, b:2"}.lookup)
	require.NoError(t, err)
	require.Equal(t, []string{"a:1", "b:2"}, cfg.KafkaBrokers)
	_, err = CompleteConfig(variables{"KAFKA_PARTITIONS": "0"}.lookup)
	require.EqualError(t, err, `KAFKA_PARTITIONS is "0"; it must be a number from 1 to 1000`+"\n"+
		"DATABASE_URL is not set: name the Postgres database, there or in a file that DATABASE_URL_FILE names (`erpconnector up` needs none)\n"+
		"KAFKA_BROKERS is not set: name the brokers (`erpconnector up` needs none)")
}

// The process ends with one message on the standard error, which a terminal does not obey, and with a command's own code.
func TestTheProgramsEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		said string
		code int
	}{
		"well":          {nil, "", 0},
		"badly":         {errors.New("no"), "erpconnector: no\n", 1},
		"with_its_code": {coded{errors.New("could not tell"), CouldNotTell}, "erpconnector: could not tell\n", 2},
		"of_several":    {errors.Join(errors.New("a"), errors.New("b")), "erpconnector: a\nb\n", 1},
		"hostile":       {errors.New(hostile), "erpconnector: " + `id\x1b[2J\r` + "\n" + `\u202e\u009b31m\a\x00\xff` + "\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			cmd := &cobra.Command{Use: "x", SilenceErrors: true, SilenceUsage: true, RunE: func(*cobra.Command, []string) error { return c.err }}
			cmd.SetArgs(nil)
			require.Equal(t, c.code, runProgram(cmd, &stderr))
			require.Equal(t, c.said, stderr.String())
		})
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	require.Equal(t, 1, ExitCode(errors.New("plain")))
	require.Equal(t, 2, ExitCode(coded{errors.New("own"), 2}))
	wrapped := errors.Join(errors.New("first"), coded{errDiskFull, 2})
	require.Equal(t, 2, ExitCode(wrapped))
	require.ErrorIs(t, wrapped, errDiskFull)
}

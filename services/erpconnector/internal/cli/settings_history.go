package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/erpconnector/erpconnector/shared/client"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// historyListing says "(environment)" where there was no value of anybody: empty would look like an empty text.
var historyListing = listing[client.SettingChange]{
	member: "changes", none: "nobody has changed it", more: "there is more", most: 500, columns: []column[client.SettingChange]{
		{"version", func(p client.SettingChange) string { return strconv.FormatInt(p.Version, 10) }},
		{"at", func(p client.SettingChange) string { return p.ChangedAt.UTC().Format(time.DateTime) }},
		{"by", func(p client.SettingChange) string { return p.ChangedBy }},
		{"setting", func(p client.SettingChange) string { return p.Name }},
		{"before", func(p client.SettingChange) string { return valueText(p.Before) }},
		{"after", func(p client.SettingChange) string { return valueText(p.After) }},
		{"reason", func(p client.SettingChange) string { return textOf(p.Reason) }},
	},
	members: []string{"version", "name", "before", "after", "changed_by", "changed_at", "reason"},
}

func valueText(value any) string {
	if value == nil {
		return "(environment)"
	}
	raw, _ := json.Marshal(value) // it was JSON a moment ago
	return string(raw)
}

// settingsHistoryCommand shows the newest first: the last change is the first suspect.
func settingsHistoryCommand(r *remote) *cobra.Command {
	var after, output string
	var limit int
	cmd := &cobra.Command{
		Use: "history [NAME]", Short: "Show who changed what, the newest first", Args: cobra.MaximumNArgs(1), ValidArgsFunction: settingNames,
		Example: "  erpconnector settings history\n  erpconnector settings history erp_timeout -o ndjson",
		RunE: func(cmd *cobra.Command, args []string) error {
			query := url.Values{}
			if len(args) > 0 {
				if _, err := setting.Find(args[0]); err != nil {
					return err
				}
				query.Set("name", args[0])
			}
			if err := errors.Join(checkOutput(output), atLeastOne(limit)); err != nil {
				return err
			}
			if after != "" {
				if _, err := setting.ParseCursor(after); err != nil {
					return fmt.Errorf("--after %s %w", after, err)
				}
				query.Set("cursor", after)
			}
			return r.ask(cmd.Context(), func(c connector) error {
				return historyListing.print(cmd, c, output, query, limit, func(ctx context.Context, edit client.RequestEditorFn) (*http.Response, error) {
					return c.SettingsHistory(ctx, nil, edit)
				})
			})
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 50, "changes at most")
	cmd.Flags().StringVar(&after, "after", "", "start after this one, as an earlier page says")
	outputFlag(cmd, &output)
	return cmd
}

// atLeastOne checks --limit.
func atLeastOne(limit int) error {
	if limit < 1 {
		return fmt.Errorf("--limit is %d; it must be 1 or more", limit)
	}
	return nil
}

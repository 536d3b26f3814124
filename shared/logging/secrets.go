package logging

import "log/slog"

// Secrets returns the function that logs a change of a secret, for config.ERP.Secrets. An error names the file and never the secret.
func Secrets(log *slog.Logger) func(variable string, err error) {
	return func(variable string, err error) {
		if err != nil {
			log.Error("secret not read again; the one before stays", "variable", variable, "error", err)
			return
		}
		log.Info("secret read again", "variable", variable)
	}
}

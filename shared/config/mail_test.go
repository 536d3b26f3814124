package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheMailServer(t *testing.T) {
	t.Parallel()
	read := func(url, password, from string) (Mail, error) {
		m := Mail{Password: Secret(password), From: from}
		err := m.read(url)
		m.Password, m.From = "", ""
		return m, err
	}
	for url, want := range map[string]Mail{
		"":                         {},
		"smtp://mail.example.com":  {Host: "mail.example.com", Port: "587"},
		"smtps://[::1]/":           {Host: "::1", Port: "465", TLS: true},
		"smtp://127.0.0.1:1025":    {Host: "127.0.0.1", Port: "1025"},
		"smtp://me%40here@mail:25": {Host: "mail", Port: "25", User: "me@here"},
	} {
		password, from := "", "connector@example.com"
		if want.User != "" {
			password = "hunter2"
		}
		if url == "" {
			from = ""
		}
		got, err := read(url, password, from)
		require.NoError(t, err, url)
		require.Equal(t, want, got)
	}
	for url, want := range map[string]string{
		"":                        "ALERT_SMTP_URL is not",
		"mail.example.com":        "must be smtp:// or smtps://",
		"http://mail.example.com": "must be smtp:// or smtps://",
		"smtp://mail/path":        "must be smtp:// or smtps://",
		"smtp://me:hunter2@mail":  "must not hold the password",
		"smtp://mail":             "go together",
	} {
		_, err := read(url, "hunter2", "connector@example.com")
		require.ErrorContains(t, err, want, url)
		require.NotContains(t, err.Error(), "hunter2")
	}
	_, err := read("smtp://mail", "", "Connector <connector@example.com>")
	require.ErrorContains(t, err, "bare address")
}

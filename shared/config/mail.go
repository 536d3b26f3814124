package config

import (
	"errors"
	"net"
	"net/mail"
	"net/url"
)

// Mail is the server that e-mails of alerts go through; no Host: there is none.
type Mail struct {
	Host, Port string // of ALERT_SMTP_URL
	TLS        bool   // from the first byte (smtps); else by STARTTLS where the server offers it
	User       string // logs in with this and Password; empty: no login
	Password   Secret // ALERT_SMTP_PASSWORD (or _FILE)
	From       string // ALERT_EMAIL_FROM, a bare address

	file string // that the password was read from, and is read from again
}

const mailPassword = "ALERT_SMTP_PASSWORD"

// Addr is the server's host:port.
func (m Mail) Addr() string { return net.JoinHostPort(m.Host, m.Port) }

// CurrentPassword returns a function that gives the password in force now: a file is read again when it changes. report hears of each
// change, with the error or without.
func (m Mail) CurrentPassword(report func(variable string, err error)) func() Secret {
	return newFileSecret(m.file, m.Password, SecretKey, func(err error) { report(mailPassword, err) }).current
}

// schemes are the ports that the schemes of ALERT_SMTP_URL stand for.
var schemes = map[string]string{"smtp": "587", "smtps": "465"}

func (e *env) mail() Mail {
	text := e.text("ALERT_SMTP_URL", "", "The mail server for alerts: smtp://user@mail.example.com:587, which encrypts by STARTTLS where the server offers it, or smtps://…, which encrypts from the start. Without a user there is no login.")
	m := Mail{
		Password: e.secret(mailPassword, SecretKey, "The password for that login."),
		From:     e.text("ALERT_EMAIL_FROM", "", "The address that e-mails of alerts come from."),
		file:     e.value(mailPassword+"_FILE", ""),
	}
	if err := m.read(text); err != nil {
		e.problems = append(e.problems, err)
	}
	return m
}

// read takes the URL apart, and says what does not go together. The text of an address is not shown: it may hold a password.
func (m *Mail) read(text string) error {
	if text == "" {
		if m.Password != "" || m.From != "" {
			return errors.New("ALERT_SMTP_PASSWORD or ALERT_EMAIL_FROM is set and ALERT_SMTP_URL is not: no mail would go out")
		}
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || schemes[u.Scheme] == "" || u.Hostname() == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("ALERT_SMTP_URL must be smtp:// or smtps://, a user if there is a login, and a host, like smtp://user@mail.example.com:587")
	}
	if _, has := u.User.Password(); has {
		return errors.New("ALERT_SMTP_URL must not hold the password: give it in ALERT_SMTP_PASSWORD, or in the file that ALERT_SMTP_PASSWORD_FILE names")
	}
	m.Host, m.Port, m.TLS, m.User = u.Hostname(), u.Port(), u.Scheme == "smtps", u.User.Username()
	if m.Port == "" {
		m.Port = schemes[u.Scheme]
	}
	if (m.User == "") != (m.Password == "") {
		return errors.New("the user of ALERT_SMTP_URL and ALERT_SMTP_PASSWORD go together: one of them is not set")
	}
	if from, err := mail.ParseAddress(m.From); err != nil || from.Address != m.From {
		return errors.New("ALERT_EMAIL_FROM must be a bare address, like connector@example.com")
	}
	return nil
}

package alert

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/smtp"
	"strings"
	"time"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
)

// mailer sends by the mail server of the environment.
type mailer struct {
	server   config.Mail
	password func() config.Secret
	roots    *x509.CertPool // to check the server's certificate by; nil: the system's
}

var errNoMailServer = errors.New("ALERT_SMTP_URL is not set: no mail goes out")

// send hands a mail over to the server. The server's address is the operator's, so it is not kept from any network.
func (m mailer) send(ctx context.Context, to, messageID, body string, now time.Time) error {
	if m.server.Host == "" {
		return errNoMailServer
	}
	n, err := readNotice(body)
	if err != nil {
		return err
	}
	client, err := m.dial(ctx)
	if err != nil {
		return fmt.Errorf("reaching the mail server: %w", err)
	}
	defer func() { _ = client.Close() }()
	if err := m.login(client); err != nil {
		return err
	}
	return deliver(client, m.server.From, to, mailOf(n, m.server.From, to, messageID, now))
}

// dial connects, and encrypts as the URL says. All that follows ends with ctx.
func (m mailer) dial(ctx context.Context) (*smtp.Client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.server.Addr())
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	secure := &tls.Config{ServerName: m.server.Host, RootCAs: m.roots, MinVersion: tls.VersionTLS12}
	if m.server.TLS {
		conn = tls.Client(conn, secure)
	}
	client, err := smtp.NewClient(conn, m.server.Host)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	if offered, _ := client.Extension("STARTTLS"); offered && !m.server.TLS {
		if err := client.StartTLS(secure); err != nil {
			_ = client.Close()
			return nil, err
		}
	}
	return client, nil
}

// login sends no password over a connection that is not encrypted, but to the machine itself: net/smtp refuses to.
func (m mailer) login(client *smtp.Client) error {
	if m.server.User == "" {
		return nil
	}
	if err := client.Auth(smtp.PlainAuth("", m.server.User, m.password().Reveal(), m.server.Host)); err != nil {
		return fmt.Errorf("logging in to the mail server: %w", err)
	}
	return nil
}

func deliver(client *smtp.Client, from, to string, message []byte) error {
	if err := client.Mail(from); err != nil {
		return fmt.Errorf("the mail server does not take the sender: %w", err)
	}
	if err := client.Rcpt(to); err != nil {
		return fmt.Errorf("the mail server does not take the receiver: %w", err)
	}
	w, err := client.Data()
	if err == nil {
		if _, err = w.Write(message); err == nil {
			err = w.Close() // here the server says whether it has the mail
		}
	}
	if err != nil {
		return fmt.Errorf("the mail server does not take the mail: %w", err)
	}
	_ = client.Quit() // it has the mail, whatever it says now
	return nil
}

// mailOf is the mail as it goes over the wire. Message-ID is made of the id of the message, so that a mail program shows one sent twice once.
func mailOf(n Notice, from, to, messageID string, now time.Time) []byte {
	_, host, _ := strings.Cut(from, "@")
	var b bytes.Buffer
	for _, header := range [][2]string{
		{"From", "ERP Connector <" + from + ">"},
		{"To", "<" + to + ">"},
		{"Subject", mime.QEncoding.Encode("utf-8", n.title())},
		{"Date", now.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700")},
		{"Message-ID", "<" + messageID + "@" + host + ">"},
		{"Auto-Submitted", "auto-generated"}, // RFC 3834: no answer of an absent reader comes back
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", header[0], header[1])
	}
	b.WriteString("\r\n")
	text := quotedprintable.NewWriter(&b)
	_, _ = fmt.Fprintf(text, "%s%s\r\n\r\n%s\r\n", domain.PrintableLines(n.Data.Text), strings.ReplaceAll(n.hint(), "\n", "\r\n"), n.Timestamp.Format(time.RFC3339))
	_ = text.Close()
	return b.Bytes()
}

package alert

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/setting"
)

// mailServer is a mail server of RFC 5321 as far as a mail needs it, with STARTTLS, TLS from the start, and AUTH PLAIN.
type mailServer struct {
	addr     string
	roots    *x509.CertPool
	secure   *tls.Config
	implicit bool   // TLS from the start
	startTLS bool   // is offered
	password string // of me; empty: there is no login
	refuse   string // a command that is refused, like RCPT

	said chan session
}

// session is what one client did.
type session struct {
	from, to, message string
	encrypted, logged bool
}

func mailing(t *testing.T, s mailServer) *mailServer {
	t.Helper()
	certificates := httptest.NewUnstartedServer(nil) // httptest knows how to make one for 127.0.0.1
	certificates.StartTLS()
	s.roots = x509.NewCertPool()
	s.roots.AddCert(certificates.Certificate())
	s.secure = &tls.Config{Certificates: certificates.TLS.Certificates, MinVersion: tls.VersionTLS12}
	certificates.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	s.addr, s.said = listener.Addr().String(), make(chan session, 10)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return &s
}

func (s *mailServer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var got session
	if s.implicit {
		conn, got.encrypted = tls.Server(conn, s.secure), true
	}
	in := bufio.NewReader(conn)
	say := func(line string) { _, _ = fmt.Fprintf(conn, "%s\r\n", line) }
	say("220 mail.example.com ESMTP")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		switch {
		case s.refuse != "" && verb == s.refuse:
			say("550 we do not\x1b[2J want that")
		case verb == "EHLO":
			say("250-mail.example.com")
			if s.startTLS && !got.encrypted {
				say("250-STARTTLS")
			}
			say("250 AUTH PLAIN")
		case verb == "STARTTLS":
			say("220 go on")
			secured := tls.Server(conn, s.secure)
			conn, in, got.encrypted = secured, bufio.NewReader(secured), true
		case verb == "AUTH":
			raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			if got.logged = string(raw) == "\x00me\x00"+s.password; !got.logged {
				say("535 no")
				continue
			}
			say("235 welcome")
		case verb == "MAIL":
			got.from = rest
			say("250 ok")
		case verb == "RCPT":
			got.to = rest
			say("250 ok")
		case verb == "DATA":
			say("354 go on")
			var message strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				message.WriteString(strings.TrimPrefix(line, "."))
			}
			got.message = message.String()
			s.said <- got
			say("250 taken")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("500 what?")
		}
	}
}

// mailer is a sender for the server.
func (s *mailServer) sender(user string) *Sender {
	host, port, _ := net.SplitHostPort(s.addr)
	server := config.Mail{Host: host, Port: port, TLS: s.implicit, User: user, From: "connector@example.com"}
	sender := NewSender(setting.Fixed(setting.Defaults()), config.ERP{}, server, func() config.Secret { return "hunter2" })
	sender.mail.roots = s.roots
	return sender
}

func TestMails(t *testing.T) {
	t.Parallel()
	opened := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	n := Notice{Type: "orders_failed.opened", Timestamp: opened, Data: Data{
		AlertID: "7", Alert: domain.AlertOrdersFailed, Event: domain.AlertOpened,
		Text: "3 orders have failed with: Größe = unbekannt\n.\r\nRCPT TO:<evil@example.com>", Next: "GET /rest/V1/erpconnector/syncs?status=failed",
	}}
	body, err := n.Body()
	require.NoError(t, err)
	to := Destination{Name: "ops", Kind: KindEmail, Address: "ops@example.com", Enabled: true}
	for name, c := range map[string]struct {
		server          mailServer
		user            string
		encrypted, fine bool
		want            string
	}{
		"plain":                       {fine: true},
		"starttls":                    {server: mailServer{startTLS: true}, encrypted: true, fine: true},
		"tls":                         {server: mailServer{implicit: true}, encrypted: true, fine: true},
		"login":                       {server: mailServer{startTLS: true, password: "hunter2"}, user: "me", encrypted: true, fine: true},
		"a_wrong_password":            {server: mailServer{startTLS: true, password: "other"}, user: "me", want: "logging in to the mail server: 535"},
		"the_receiver_is_refused":     {server: mailServer{refuse: "RCPT"}, want: `the mail server does not take the receiver: 550 "we do not\x1b[2J want that"`},
		"the_sender_is_refused":       {server: mailServer{refuse: "MAIL"}, want: "the mail server does not take the sender: 550"},
		"the_mail_is_refused":         {server: mailServer{refuse: "DATA"}, want: "the mail server does not take the mail: 550"},
		"a_certificate_of_nobody":     {server: mailServer{implicit: true}, want: "certificate"},
		"a_certificate_after_a_while": {server: mailServer{startTLS: true}, want: "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := mailing(t, c.server)
			sender := server.sender(c.user)
			if strings.HasPrefix(name, "a_certificate") {
				sender.mail.roots = x509.NewCertPool()
			}
			got := sender.Send(t.Context(), to, "msg_1", body)
			require.Equal(t, c.fine, got.Delivered)
			if !c.fine {
				require.Contains(t, got.Said, c.want)
				require.Empty(t, server.said)
				return
			}
			said := <-server.said
			require.Equal(t, []any{"FROM:<connector@example.com>", "TO:<ops@example.com>", c.encrypted, c.user != ""}, []any{said.from, said.to, said.encrypted, said.logged})
			requireMail(t, said.message)
		})
	}
}

// requireMail reads the mail as a mail program does.
func requireMail(t *testing.T, text string) {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(text))
	require.NoError(t, err)
	require.Equal(t, "ERP Connector: orders_failed opened (alert 7)", m.Header.Get("Subject"))
	require.Equal(t, "<msg_1@example.com>", m.Header.Get("Message-Id"))
	require.Equal(t, "auto-generated", m.Header.Get("Auto-Submitted"))
	_, err = m.Header.Date()
	require.NoError(t, err)
	content, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	require.NoError(t, err)
	require.Contains(t, string(content), "3 orders have failed with: Größe = unbekannt\r\n")
	require.Contains(t, string(content), "RCPT TO:<evil@example.com>", "what stands in a text is no command")
	require.Contains(t, string(content), "Next: GET /rest/V1/erpconnector/syncs?status=failed\r\n\r\n2024-01-15T10:30:00Z")
}

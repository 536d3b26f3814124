package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
)

// ERP is what calls to the ERP and its callbacks need, apart from the run-time settings.
type ERP struct {
	APIKey       Secret // ERP_API_KEY (or _FILE)
	HMAC         Secret // ERP_HMAC_SECRET (or _FILE)
	PreviousHMAC Secret // ERP_HMAC_SECRET_PREVIOUS (or _FILE): while the secret is changed, both sign
	Basic        Basic
	OAuth        OAuth
	TLS          ERPTLS
	InFlight     int  // connections kept open to the ERP
	Proxy        bool // ERP_USE_PROXY: calls go through the environment's proxy

	files map[string]string // by the secret's variable: the file that it was read from, and is read from again
}

// Basic is a login with user and password (RFC 7617); no user: none.
type Basic struct {
	User     string // ERP_BASIC_USER
	Password Secret // ERP_BASIC_PASSWORD (or _FILE)
}

// OAuth is a login by OAuth 2 client credentials (RFC 6749, section 4.4); no token URL: none.
type OAuth struct {
	TokenURL string   // ERP_OAUTH_TOKEN_URL
	ClientID string   // ERP_OAUTH_CLIENT_ID
	Secret   Secret   // ERP_OAUTH_CLIENT_SECRET (or _FILE)
	Scopes   []string // ERP_OAUTH_SCOPES
}

// ERPTLS are PEM files for https; empty ones: the system's roots, no client certificate.
type ERPTLS struct {
	CA, Cert, Key string // ERP_TLS_CA_FILE, ERP_TLS_CERT_FILE, ERP_TLS_KEY_FILE
}

// The variables of the ERP's secrets.
const (
	erpAPIKey       = "ERP_API_KEY"
	erpHMAC         = "ERP_HMAC_SECRET"
	erpPreviousHMAC = "ERP_HMAC_SECRET_PREVIOUS"
	erpPassword     = "ERP_BASIC_PASSWORD"
	erpOAuthSecret  = "ERP_OAUTH_CLIENT_SECRET"
)

// ERPSecrets are the secrets of the ERP's connection at one moment.
type ERPSecrets struct {
	APIKey        Secret   // empty: no X-API-KEY
	HMAC          []Secret // the newest first, none of them empty; none: no signature
	BasicPassword Secret
	OAuthSecret   Secret
}

// Secrets returns a function that gives the secrets in force now. Those from files are read again when their files change. A file that
// cannot be used leaves the secret as it was; report hears of each change, with the error or without.
func (e ERP) Secrets(report func(variable string, err error)) func() ERPSecrets {
	live := func(variable string, initial Secret, use SecretUse) func() Secret {
		return newFileSecret(e.files[variable], initial, use, func(err error) { report(variable, err) }).current
	}
	apiKey, password, oauth := live(erpAPIKey, e.APIKey, SecretToken), live(erpPassword, e.Basic.Password, SecretKey), live(erpOAuthSecret, e.OAuth.Secret, SecretKey)
	hmac, previous := live(erpHMAC, e.HMAC, SecretKey), live(erpPreviousHMAC, e.PreviousHMAC, SecretKey)
	return func() ERPSecrets {
		return ERPSecrets{
			APIKey: apiKey(), BasicPassword: password(), OAuthSecret: oauth(),
			HMAC: slices.DeleteFunc([]Secret{hmac(), previous()}, func(s Secret) bool { return s == "" }),
		}
	}
}

func (e *env) erp() ERP {
	erp := ERP{
		APIKey:       e.secret(erpAPIKey, SecretToken, "Sent to the ERP as X-API-KEY."),
		HMAC:         e.secret(erpHMAC, SecretKey, "Signs what is sent to the ERP; the ERP checks X-Signature with it. `api` checks the ERP's callbacks with it."),
		PreviousHMAC: e.secret(erpPreviousHMAC, SecretKey, "The secret before, while it is changed: it signs too, in `webhook-signature`, and callbacks that it signs are taken."),
		Basic: Basic{
			User:     e.text("ERP_BASIC_USER", "", "Logs in to the ERP with this user and ERP_BASIC_PASSWORD."),
			Password: e.secret(erpPassword, SecretKey, "The password for that login."),
		},
		OAuth: OAuth{
			TokenURL: e.text("ERP_OAUTH_TOKEN_URL", "", "Where a token for the ERP is had by OAuth 2 client credentials; calls then carry `Authorization: Bearer …`."),
			ClientID: e.text("ERP_OAUTH_CLIENT_ID", "", "The client's id for that."),
			Secret:   e.secret(erpOAuthSecret, SecretKey, "The client's secret for that."),
			Scopes:   split(e.text("ERP_OAUTH_SCOPES", "", "The scopes to ask for, comma-separated.")),
		},
		TLS: ERPTLS{
			CA:   e.text("ERP_TLS_CA_FILE", "", "A PEM file with the roots to check the ERP's certificate by, in place of the system's."),
			Cert: e.text("ERP_TLS_CERT_FILE", "", "A PEM file with a client certificate, for an ERP that asks for one. A changed file is read again."),
			Key:  e.text("ERP_TLS_KEY_FILE", "", "A PEM file with the key of that certificate."),
		},
		Proxy: e.flag("ERP_USE_PROXY", "ERP calls and alerts go through the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name. Without it, they ignore these."),
		files: map[string]string{},
	}
	for _, name := range []string{erpAPIKey, erpHMAC, erpPreviousHMAC, erpPassword, erpOAuthSecret} {
		if file := e.value(name+"_FILE", ""); file != "" {
			erp.files[name] = file
		}
	}
	if err := erp.check(); err != nil {
		e.problems = append(e.problems, err)
	}
	return erp
}

// check says what does not go together.
func (e ERP) check() error {
	var errs []error
	add := func(is bool, what string) {
		if is {
			errs = append(errs, errors.New(what))
		}
	}
	u, err := url.Parse(e.OAuth.TokenURL)
	o, hasOAuth := e.OAuth, e.OAuth.TokenURL != "" || e.OAuth.ClientID != "" || e.OAuth.Secret != "" || len(e.OAuth.Scopes) > 0
	add(hasOAuth && (o.TokenURL == "" || o.ClientID == "" || o.Secret == ""), "ERP_OAUTH_TOKEN_URL, _CLIENT_ID and _CLIENT_SECRET go together: one of them is not set")
	add(o.TokenURL != "" && (err != nil || u.Host == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https")),
		"ERP_OAUTH_TOKEN_URL must be an http or https URL without user and password")
	add((e.Basic.User == "") != (e.Basic.Password == ""), "ERP_BASIC_USER and ERP_BASIC_PASSWORD go together: one of them is not set")
	add(hasOAuth && e.Basic.User != "", "ERP_OAUTH_* and ERP_BASIC_* are both set: a call has one Authorization header")
	add(e.PreviousHMAC != "" && e.HMAC == "", "ERP_HMAC_SECRET_PREVIOUS is set and ERP_HMAC_SECRET is not")
	if _, err := e.TLS.Config(nil); err != nil {
		errs = append(errs, fmt.Errorf("ERP_TLS_*_FILE: %w", err))
	}
	return errors.Join(errs...)
}

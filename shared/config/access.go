package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/erpconnector/erpconnector/shared/domain"
)

// OIDC says whose bearer JWTs are taken, and where people sign in to the console (OpenID Connect); no issuer: nobody's, and nowhere.
type OIDC struct {
	Issuer      string // OIDC_ISSUER
	Audience    string // OIDC_AUDIENCE: whom a token must be made for; empty: no JWT is taken
	NameClaim   string // OIDC_NAME_CLAIM, default preferred_username
	SourceClaim string // OIDC_SOURCE_CLAIM; empty: tokens are for all shops
	Rules       []OIDCRule

	ClientID     string   // OIDC_CLIENT_ID: what the console is at the issuer; empty: nobody signs in there
	ClientSecret Secret   // OIDC_CLIENT_SECRET (or …_FILE) at the start; empty: the client is a public one. CurrentClientSecret is the one in force
	Scopes       []string // OIDC_SCOPES, default openid, profile and email

	live *liveFile[Secret] // the client secret's file; nil: it has none
}

// SignInReturnPath is where the issuer sends people back to who have signed in.
const SignInReturnPath = "/console/callback"

// CurrentClientSecret is the client's secret that is in force now. One from a file is read again when the file changes.
func (o OIDC) CurrentClientSecret() Secret {
	if o.live == nil {
		return o.ClientSecret
	}
	return o.live.current()
}

// OIDCRule is a rule of OIDC_RESOURCES: who has this value in this claim may do this.
type OIDCRule struct {
	Claim     string // a dot leads into an object
	Value     string
	Resources []string // names without their prefix, or all
}

func (e *env) oidc() OIDC {
	o := OIDC{
		Issuer:      e.text("OIDC_ISSUER", "", "The issuer whose tokens (JWT) are taken as `Authorization: Bearer …`, beside those made here: its URL, as its tokens have it in `iss`. [OpenID Connect](access.md#tokens-of-an-identity-provider)."),
		Audience:    e.text("OIDC_AUDIENCE", "", "Whom such a token must be made for: its `aud`."),
		NameClaim:   e.text("OIDC_NAME_CLAIM", "preferred_username", "The claim that logs and histories name its holder by, like `preferred_username`, `email` or `sub`."),
		SourceClaim: e.text("OIDC_SOURCE_CLAIM", "", "The claim that names the one shop that the token is for, or `*` for all. Without this variable, all."),
	}
	rules := e.text("OIDC_RESOURCES", "", "What holders may do, by their claims: `groups:erp-support=view_status,resync;groups:erp-admin=all`.")
	var err error
	if o.Rules, err = parseOIDCRules(rules); err != nil {
		e.problems = append(e.problems, err)
	}
	e.oidcClient(&o)
	u, err := url.Parse(o.Issuer)
	switch {
	case o.Issuer == "" && o.Audience+o.SourceClaim+rules+o.ClientID+o.ClientSecret.Reveal() != "":
		e.problems = append(e.problems, errors.New("an OIDC_… variable is set and OIDC_ISSUER is not: name the issuer"))
	case o.Issuer == "":
	case err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "":
		e.bad("OIDC_ISSUER", o.Issuer, "the issuer's http or https URL")
	case o.Audience+o.ClientID == "" || rules == "":
		e.problems = append(e.problems, errors.New("OIDC_ISSUER, OIDC_RESOURCES and OIDC_AUDIENCE or OIDC_CLIENT_ID go together: one of them is not set"))
	}
	return o
}

// oidcClient reads what the console is at the issuer.
func (e *env) oidcClient(o *OIDC) {
	o.ClientID = e.text("OIDC_CLIENT_ID", "", "The client of the console at that issuer. With it people [sign in there](access.md#sign-in-at-an-identity-provider). `HTTP_PUBLIC_URL` must be set too.")
	o.ClientSecret, o.live = e.liveSecret("OIDC_CLIENT_SECRET", SecretKey, "The secret of that client. Without it the client is a public one.")
	o.Scopes = strings.Fields(strings.ReplaceAll(e.text("OIDC_SCOPES", "openid profile email", "What that client asks for, with blanks between. Many issuers put groups into a token only when they are asked for: `openid profile email groups`."), ",", " "))
	if o.ClientID == "" && o.ClientSecret != "" {
		e.problems = append(e.problems, errors.New("OIDC_CLIENT_SECRET is set and OIDC_CLIENT_ID is not: name the client"))
	}
	if !slices.Contains(o.Scopes, "openid") {
		e.problems = append(e.problems, errors.New("OIDC_SCOPES does not name openid: without it the issuer does not say who has signed in"))
	}
}

// parseOIDCRules reads claim:value=resource,…;… A value may have : and = in it.
func parseOIDCRules(text string) (rules []OIDCRule, err error) {
	for rule := range strings.SplitSeq(text, ";") {
		if rule = strings.TrimSpace(rule); rule == "" {
			continue
		}
		claim, rest, hasClaim := cutClaim(rule)
		at := strings.LastIndex(rest, "=")
		if !hasClaim || claim == "" || at < 1 || len(split(rest[at+1:])) == 0 {
			return nil, fmt.Errorf("OIDC_RESOURCES has %q; a rule is claim:value=resource,resource, like groups:erp-admin=all", rule)
		}
		rules = append(rules, OIDCRule{Claim: claim, Value: rest[:at], Resources: split(rest[at+1:])})
	}
	return rules, nil
}

// cutClaim cuts at the first colon that is not part of a URL: some providers have claims like https://example.com/roles.
func cutClaim(rule string) (claim, rest string, ok bool) {
	begin := strings.Index(rule, "://")
	if begin >= 0 && strings.Index(rule, ":") == begin {
		claim, rest, ok = strings.Cut(rule[begin+len("://"):], ":")
		return rule[:begin+len("://")] + claim, rest, ok
	}
	return strings.Cut(rule, ":")
}

// stores reads STORE_SOURCES: code=source,…
func (e *env) stores() map[string]string {
	stores := map[string]string{}
	for _, entry := range split(e.text("STORE_SOURCES", "", "The source of a store code in a path of Magento (`/rest/{store}/V1/…`), where they differ: `de_store=outlet,en_store=outlet`.")) {
		code, source, ok := strings.Cut(entry, "=")
		if !ok || code == "" || code == "all" || strings.Contains(code, "/") || domain.ValidateSource(source) != nil {
			e.bad("STORE_SOURCES", entry, "store=source, with any store code but all, and a source of a-z, 0-9, '.', '_' and '-'")
			continue
		}
		stores[code] = source
	}
	return stores
}

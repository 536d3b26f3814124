package issuer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/erpconnector/erpconnector/shared/config"
	"github.com/erpconnector/erpconnector/shared/domain"
	"github.com/erpconnector/erpconnector/shared/httpapi"
	"github.com/erpconnector/erpconnector/shared/spelling"
)

// everything is the resource of a rule that gives all, and everyShop the value of a source claim that is for all shops.
const (
	everything = "all"
	everyShop  = "*"
)

// rule gives resources to holders with a value in a claim.
type rule struct {
	claim, value string
	resources    []httpapi.Resource
	all          bool
}

func rulesOf(given []config.OIDCRule) (rules []rule, err error) {
	for _, g := range given {
		r := rule{claim: g.Claim, value: g.Value}
		for _, name := range g.Resources {
			resource := httpapi.ResourceOf(name)
			switch {
			case name == everything:
				r.all = true
			case slices.Contains(httpapi.Resources, resource):
				r.resources = append(r.resources, resource)
			default:
				return nil, fmt.Errorf("OIDC_RESOURCES gives %q to %s:%s: %s", name, g.Claim, g.Value, spelling.Hint(name, append(httpapi.ShortNames(), everything)))
			}
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// identity is who has these claims. Who matches no rule, or has no shop where there must be one, may do nothing, but has a name.
func (i *Issuer) identity(claims map[string]any) (httpapi.Identity, error) {
	id := httpapi.Identity{Name: i.name(claims)}
	if id.Name == "" {
		i.log.Debug("token of the issuer refused", "error", "it names nobody")
		return id, httpapi.ErrNoToken
	}
	var bound bool
	if id.Source, bound = i.source(claims); !bound {
		return id, nil
	}
	for _, r := range i.rules {
		if slices.Contains(values(claims, r.claim), r.value) {
			id.All = id.All || r.all
			id.Resources = append(id.Resources, r.resources...)
		}
	}
	return id, nil
}

// name is the claim that names the holder, else sub. An address that the provider has not verified is the holder's own word. A name that
// means another in histories gets an addition.
func (i *Issuer) name(claims map[string]any) string {
	name, _ := lookup(claims, i.cfg.NameClaim).(string)
	if verified, said := claims["email_verified"].(bool); i.cfg.NameClaim == "email" && said && !verified {
		name = ""
	}
	if name == "" {
		name, _ = claims["sub"].(string)
	}
	if httpapi.IsReservedName(name) {
		name += " of the issuer"
	}
	return domain.WhoText.Fit(strings.TrimSpace(name))
}

// source is the one shop of the holder, empty for all; ok is false when the claims name none.
func (i *Issuer) source(claims map[string]any) (source string, ok bool) {
	if i.cfg.SourceClaim == "" {
		return "", true
	}
	named := values(claims, i.cfg.SourceClaim)
	switch {
	case len(named) != 1:
		return "", false
	case named[0] == everyShop:
		return "", true
	default:
		return named[0], domain.ValidateKnownSource(named[0]) == nil
	}
}

// values are the texts of a claim: itself, those of a list, or the words of scope.
func values(claims map[string]any, claim string) (texts []string) {
	switch v := lookup(claims, claim).(type) {
	case string:
		if claim == "scope" {
			return strings.Fields(v)
		}
		return []string{v}
	case []any:
		for _, one := range v {
			if text, ok := one.(string); ok {
				texts = append(texts, text)
			}
		}
	}
	return texts
}

// lookup is the claim of a name. A dot leads into an object, as in realm_access.roles, unless it stands in the name itself.
func lookup(claims map[string]any, name string) any {
	if v, ok := claims[name]; ok {
		return v
	}
	outer, inner, nested := strings.Cut(name, ".")
	object, ok := claims[outer].(map[string]any)
	if !nested || !ok {
		return nil
	}
	return lookup(object, inner)
}

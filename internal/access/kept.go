package access

import (
	"encoding/json"
	"strings"

	"github.com/nats-io/jwt/v2"
)

// kept are the tokens of an earlier setup, by whom they are for. One that says the same stays: a server takes no other
// token of its operator while it runs, and leaves an account alone whose token it knows.
type kept map[string]string

func keptOf(config string) kept {
	all := kept{}
	for word := range strings.FieldsSeq(config) {
		if claims, err := jwt.Decode(word); err == nil {
			all[claims.Claims().Subject] = word
		}
	}
	return all
}

// instead returns the earlier token for the same, if it says what a new one says.
func (k kept) instead(subject, token string) string {
	if earlier := k[subject]; earlier != "" && said(earlier) == said(token) {
		return earlier
	}
	return token
}

// said is what a token says, without when.
func said(token string) string {
	claims, err := jwt.Decode(token)
	if err != nil {
		return token
	}
	claims.Claims().ID, claims.Claims().IssuedAt = "", 0
	if account, ok := claims.(*jwt.AccountClaims); ok {
		for _, i := range account.Imports {
			i.Token = said(i.Token)
		}
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return token
	}
	return string(text)
}

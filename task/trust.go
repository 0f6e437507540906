package task

// Trust says whose word is taken for who queued a job and how it ended: [TrustBroker],
// or the keys of [TrustKeys] and [TrustFile].
type Trust interface {
	// String is how a log names it.
	String() string
	trusted() *Keys
}

// TrustBroker takes what NATS let through: whoever may publish to a queue may name
// any user. A worker that trusts the broker says so in its log at every start.
var TrustBroker Trust = trustBroker{}

type trustBroker struct{}

func (trustBroker) String() string { return "the broker" }
func (trustBroker) trusted() *Keys { return nil }

// KeysOf returns the keys that t takes the word of, nil if it takes the broker's. For
// workers, waiters and handlers.
func KeysOf(t Trust) *Keys {
	if t == nil {
		return nil
	}
	return t.trusted()
}

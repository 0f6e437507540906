package task

// UserOf reads whose job an envelope of any version is: later versions keep the fields "v" and "u". The error is a
// [*WireError].
func UserOf(b []byte) (User, error) {
	f, err := openFrame(b, MaxEnvelope)
	if err != nil {
		return User{}, err
	}
	var u User
	known := false
	h, _ := f.next("", kindMap)
	for range h.size {
		var key []byte
		if h, err := readHead(f.b[f.at:]); err == nil && h.kind == kindString {
			_, key = f.next("", kindString)
		} else {
			f.skip()
		}
		switch {
		case string(key) != "u":
			f.skip()
		case known:
			f.refuse("duplicate", "field %q comes twice", key)
		default:
			u, known = f.user("u"), true
		}
		if f.err != nil {
			return User{}, f.err
		}
	}
	return u, nil
}

// Place says whether the signer may queue a job of that user into a queue: a producer's key for its users, a worker's key
// for the user of the job that it comes of. Of a job of a later version nothing else can be read. The error is a
// [*WireError] with the code "user", "queue" or "key".
func (p *Proof) Place(queue string, u User) error {
	if err := p.retired(); err != nil {
		return err
	}
	return p.place(queue, u)
}

func (p *Proof) place(queue string, u User) error {
	may := p.key.mayQueueInto
	if p.origin != nil {
		may = p.key.reaches
	}
	if !may(queue) {
		return refuse("queue", "key %s may not queue into queue %s", p.key.label(), Quote(queue))
	}
	if p.origin != nil {
		return p.origin.mustBeOf(u, p.key)
	}
	return p.key.mustSpeakFor(u)
}

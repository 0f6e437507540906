package task

// Place says whether the signer may queue anything for an owner into a queue, as far as a
// subject tells: of a job of a later version nothing else can be read. The error is a
// [*WireError] with the code "user", "queue" or "key".
func (p *Proof) Place(queue, owner string) error {
	if err := p.retired(); err != nil {
		return err
	}
	may, speaker := p.key.mayQueueInto, p.key
	if p.origin != nil {
		may, speaker = p.key.reaches, p.origin.by
	}
	if !may(queue) {
		return refuse("queue", "key %s may not queue into queue %s", p.key.label(), Quote(queue))
	}
	if p.origin != nil && p.origin.owner != owner || !speaker.mayOwn(owner) {
		return refuse("user", "key %s may not speak for the owner %s", speaker.label(), Quote(owner))
	}
	return nil
}

// mayOwn says whether the key may speak for a user of that owner token. Who is in a realm
// cannot be told from it.
func (k *Key) mayOwn(owner string) bool {
	switch {
	case k.Anyone:
		return true
	case owner == anonymousOwner:
		return k.Anonymous
	case len(k.Realms) > 0:
		return true
	}
	for _, u := range k.Users {
		if u.Owner() == owner {
			return true
		}
	}
	return false
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/nats-io/nkeys"

	"github.com/natsasync/natsasync/task"
)

type authCmd struct {
	Key   authKeyCmd   `cmd:"" help:"Make a key to sign and to log in with."`
	Setup authSetupCmd `cmd:"" help:"Make the accounts, logins and keys of a NATS server, each with the rights of its role and no other."`
	Check authCheckCmd `cmd:"" help:"Say what a login could do beyond its role; exit 1 if there is anything."`
}

type authKeyCmd struct {
	File string `arg:"" help:"Where the private seed goes; the file must not be there. It is told nowhere else."`
}

// Run makes an nkey and prints its public half.
func (c authKeyCmd) Run(_ context.Context, e *environment) error {
	public, seed, err := newKey()
	if err == nil {
		err = writePrivate(c.File, append(seed, '\n'))
	}
	if err != nil {
		return err
	}
	return e.result(map[string]string{"key": public, "file": c.File}, func() error { return e.say("%s", public) })
}

func newKey() (public string, seed []byte, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", nil, fmt.Errorf("make a key: %w", err)
	}
	if seed, err = pair.Seed(); err != nil {
		return "", nil, fmt.Errorf("make a key: %w", err)
	}
	if public, err = pair.PublicKey(); err != nil {
		return "", nil, fmt.Errorf("make a key: %w", err)
	}
	return public, seed, nil
}

// writePrivate makes a file that only its owner may read, and none that is there.
func writePrivate(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("file %s: it is there already (choose another name, or move it away)", task.Quote(path))
	}
	if err != nil {
		return fmt.Errorf("write the key: %w", err)
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// signer reads the key that --sign names, nil without one.
func (c connection) signer() (*task.Signer, error) {
	if c.Sign == "" {
		return nil, nil
	}
	s, err := task.SignerFromFile(c.Sign)
	if err != nil {
		return nil, fmt.Errorf("--sign: %w", err)
	}
	return s, nil
}

// trust is whose word the commands take.
func (c connection) trust() task.Trust {
	if c.TrustFile == "" {
		return task.TrustBroker
	}
	return task.TrustFile(c.TrustFile)
}

// owner is the user that the login is bound to, the anonymous one if it is to none.
func (c connection) owner() (task.User, error) {
	if c.Owner == "" {
		return task.User{}, nil
	}
	u, err := parseUser(c.Owner)
	if err != nil {
		return task.User{}, usageError{fmt.Errorf("--owner %s: it is REALM:ID", task.Quote(c.Owner))}
	}
	return u, nil
}

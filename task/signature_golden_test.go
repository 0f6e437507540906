package task_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/natsasync/natsasync/task"
)

// signatureVector is what another implementation checks its own against.
type signatureVector struct {
	Seed         string `json:"seed"`
	Key          string `json:"key"`
	Installation string `json:"installation"`
	Subject      string `json:"subject"`
	Body         string `json:"body"` // the golden vector that is signed
	Signature    string `json:"Async-Signature"`

	WorkerSeed      string `json:"worker_seed"`
	WorkerKey       string `json:"worker_key"`
	Member          string `json:"member_subject"`
	MemberBody      string `json:"member_body"`
	Origin          string `json:"member_Async-Origin"`
	WorkerSignature string `json:"member_Async-Signature"`
}

// fixedSeed is an nkey that everybody knows.
func fixedSeed(t *testing.T, b byte) []byte {
	t.Helper()
	pair, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, bytes.Repeat([]byte{b}, ed25519.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	return seed
}

func TestSignaturesStayAsTheyWereOnceWritten(t *testing.T) {
	t.Parallel()
	web, worker := fixedSeed(t, 1), fixedSeed(t, 2)
	producer, worked := signerOf(t, web), signerOf(t, worker)
	e := envelopes()["plain"]
	v := signatureVector{
		Seed: string(web), Key: producer.Public(), Installation: e.Installation,
		Subject: "natsasync.job.default.default." + alice.Owner() + "." + e.ID, Body: "envelope-plain",
		WorkerSeed: string(worker), WorkerKey: worked.Public(),
		Member: "natsasync.job.default.free." + alice.Owner() + "." + e.ID + ".1", MemberBody: "envelope-smallest",
	}
	v.Signature = producer.Sign(v.Installation, v.Subject, "", e.Encode(), monday)
	v.Origin = task.OriginOf([]string{v.Signature}, nil, v.Subject, e.Encode())
	member := envelopes()["smallest"].Encode()
	v.WorkerSignature = worked.Sign(v.Installation, v.Member, v.Origin, member, monday.Add(time.Second))

	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "signature.json")
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(was) != string(text)+"\n" {
		t.Errorf("signature.json is otherwise now:\n%s", text)
	}
	keys := task.TrustKeys(
		task.Key{Public: v.Key, Realms: []string{alice.Realm}},
		task.Key{Public: v.WorkerKey, Works: []string{"default"}},
	)
	if _, err := keys.Prove(task.Signed{
		Installation: v.Installation, Subject: v.Member, Body: member, Stored: monday, Late: task.MaxLate,
		Signature: []string{v.WorkerSignature}, Origin: []string{v.Origin},
	}); err != nil {
		t.Error(err)
	}
}

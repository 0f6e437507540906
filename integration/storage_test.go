package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natsasync/natsasync/task"
)

// The storage is a bucket on a server of its own that knows nothing of jobs.
const (
	bucket  = "shop"
	article = "article"
)

// written is what the storage holds of the article.
type written struct {
	By    string
	Fence uint64
}

// write stores by unless a job with a larger fence has written.
func write(ctx context.Context, url, by string) error {
	job, _ := task.JobFrom(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // like a library that knows no context
	defer cancel()
	nc, err := dial(ctx, url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		return err
	}
	body, err := json.Marshal(written{by, job.Fence})
	if err != nil {
		return err
	}
	for {
		has, revision, err := readArticle(ctx, kv)
		if err != nil {
			return err
		}
		if has.Fence > job.Fence {
			return fmt.Errorf("the storage refuses fence %d: %q has written with %d", job.Fence, has.By, has.Fence)
		}
		_, err = kv.Update(ctx, article, body, revision)
		if !errors.Is(err, jetstream.ErrKeyExists) {
			return err
		}
	}
}

func readArticle(ctx context.Context, kv jetstream.KeyValue) (written, uint64, error) {
	var has written
	e, err := kv.Get(ctx, article)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return has, 0, nil
	}
	if err != nil {
		return has, 0, err
	}
	err = json.Unmarshal(e.Value(), &has)
	return has, e.Revision(), err
}

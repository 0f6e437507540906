package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
)

// listener keeps what would be logged on stderr: to whoever asks what is wrong, it is part of the answer.
type listener struct {
	mu    sync.Mutex
	lines []string
}

// Enabled is part of [slog.Handler].
func (*listener) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle is part of [slog.Handler].
func (l *listener) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += fmt.Sprintf("; %s: %v", a.Key, a.Value)
		return true
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	return nil
}

// WithAttrs is part of [slog.Handler].
func (l *listener) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup is part of [slog.Handler].
func (l *listener) WithGroup(string) slog.Handler { return l }

// heard makes findings of it.
func (d *doctor) heard(l *listener) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		d.found(finding{warning, "log", line, "what it means for queued jobs stands in docs/operating.md, by its text", ""})
	}
}

package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/rs/zerolog"
)

const levelTrace = slog.LevelDebug - 4

func defaultLogger() *slog.Logger {
	zl := zerolog.New(os.Stderr).Level(zerolog.WarnLevel).With().Timestamp().Logger()
	return slog.New(zerolog.NewSlogHandler(zl))
}

// serverLog is the server's six-method logger over slog. What the server calls
// fatal is kept for whoever starts it.
type serverLog struct {
	log     *slog.Logger
	fatal   chan error
	forming atomic.Bool // the nodes of a cluster are still looking for each other
}

// whileForming are the complaints of a node that starts before the others: true,
// and nothing to act on.
var whileForming = []string{
	"Error trying to connect to route",
	"Waiting for routing to be established",
	"JetStream has not established contact with a meta leader",
	"JetStream is not current with the meta leader",
	"JetStream is still recovering meta layer",
}

func newServerLog(log *slog.Logger) *serverLog {
	return &serverLog{log: log, fatal: make(chan error, 1)}
}

func (l *serverLog) enabled(level slog.Level) bool {
	return l.log.Enabled(context.Background(), level)
}

func (l *serverLog) write(level slog.Level, format string, args []any) {
	if !l.enabled(level) {
		return
	}
	text := fmt.Sprintf(format, args...)
	if level > slog.LevelDebug && l.forming.Load() && expected(text) {
		l.Noticef("%s", text)
		return
	}
	l.log.Log(context.Background(), level, text)
}

func expected(text string) bool {
	return slices.ContainsFunc(whileForming, func(start string) bool { return strings.HasPrefix(text, start) })
}

func (l *serverLog) Noticef(format string, args ...any) { l.write(slog.LevelDebug, format, args) }
func (l *serverLog) Warnf(format string, args ...any)   { l.write(slog.LevelWarn, format, args) }
func (l *serverLog) Errorf(format string, args ...any)  { l.write(slog.LevelError, format, args) }
func (l *serverLog) Debugf(format string, args ...any)  { l.write(levelTrace, format, args) }
func (l *serverLog) Tracef(format string, args ...any)  { l.write(levelTrace, format, args) }

// Fatalf returns, unlike the server's own: the first text is the error of Start.
func (l *serverLog) Fatalf(format string, args ...any) {
	select {
	case l.fatal <- fatalError(format, args):
	default:
		l.write(slog.LevelError, format, args)
	}
}

func fatalError(format string, args []any) error {
	text := fmt.Sprintf(format, args...)
	for _, arg := range args {
		if cause, ok := arg.(error); ok {
			return &startError{text: text, cause: cause}
		}
	}
	return errors.New(text)
}

// startError reads as the server wrote it and still matches its cause.
type startError struct {
	text  string
	cause error
}

func (e *startError) Error() string { return e.text }
func (e *startError) Unwrap() error { return e.cause }

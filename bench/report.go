package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// wideSpread is from where on the rounds differ so much that it must be said.
const wideSpread = 0.2

// result is what a measurement found: medians of its rounds.
type result struct {
	Name      string    `json:"name"`
	What      string    `json:"what"`
	Unit      string    `json:"unit"`
	Ours      float64   `json:"ours"`
	Reference float64   `json:"reference"`
	Against   string    `json:"against"`
	Ratio     float64   `json:"ratio"` // median of the ratios of the rounds
	Ratios    []float64 `json:"ratios"`
	Spread    float64   `json:"spread"` // of the ratios, highest less lowest, as a part of the median
	Target    string    `json:"target"`
	Holds     bool      `json:"holds"`
	Sync      string    `json:"sync"`
}

// compare runs both sides in turn, the one that begins changing from round to round.
func (m *measurement) compare(ctx context.Context, rounds int) (*result, error) {
	var ours, reference, ratios []float64
	for i := range rounds {
		a, b, err := m.round(ctx, i%2 == 1)
		if err != nil {
			return nil, err
		}
		ours, reference, ratios = append(ours, a), append(reference, b), append(ratios, a/b)
	}
	r := &result{
		Name: m.name, What: m.what, Unit: m.unit, Against: m.against, Target: m.target.text, Sync: "server's default (2 min)",
		Ours: median(ours), Reference: median(reference), Ratio: median(ratios), Ratios: ratios,
	}
	if m.synced {
		r.Sync = "always (every write)"
	}
	r.Spread = (slices.Max(ratios) - slices.Min(ratios)) / r.Ratio
	r.Holds = m.target.holds(r.Ours, r.Ratio)
	return r, nil
}

func (m *measurement) round(ctx context.Context, referenceFirst bool) (ours, reference float64, err error) {
	steps := []func() error{
		func() (err error) { ours, err = m.ours(ctx); return wrap("ours", err) },
		func() (err error) { reference, err = m.reference(ctx); return wrap(m.against, err) },
	}
	if referenceFirst {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return 0, 0, err
		}
	}
	return ours, reference, nil
}

func wrap(who string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", who, err)
}

// report prints results as they come.
type report struct {
	w      io.Writer
	asJSON bool
}

func newReport(w io.Writer, asJSON bool) *report { return &report{w, asJSON} }

func (p *report) head(g *ground, rounds int) {
	if p.asJSON {
		return
	}
	layout := "server in a process of its own, loopback TCP"
	if g.inproc {
		layout = "server in this process, no sockets"
	}
	fmt.Fprintf(p.w, "natsasync ÷ raw NATS client, same steps, in turn; medians of %d rounds; %s; file storage, 1 replica; %d cores, %s, %s\n\n",
		rounds, layout, runtime.NumCPU(), runtime.Version(), time.Now().Format(time.DateOnly))
	fmt.Fprintf(p.w, "%-21s %9s %9s %-6s %5s %-11s %-21s %-4s %s\n", "measurement", "ours", "reference", "unit", "ratio", "min–max", "target", "", "what; sync policy")
}

func (p *report) line(r *result) error {
	if p.asJSON {
		if err := json.NewEncoder(p.w).Encode(r); err != nil {
			return fmt.Errorf("print: %w", err)
		}
		return nil
	}
	verdict := "ok"
	if !r.Holds {
		verdict = "MISS"
	}
	spread := ""
	if r.Spread > wideSpread {
		spread = fmt.Sprintf("; SPREAD %.0f %%", 100*r.Spread)
	}
	_, err := fmt.Fprintf(p.w, "%-21s %9s %9s %-6s %5.2f %-11s %-21s %-4s %s, against %s; sync %s%s\n",
		r.Name, thousands(r.Ours), thousands(r.Reference), r.Unit, r.Ratio,
		fmt.Sprintf("%.2f–%.2f", slices.Min(r.Ratios), slices.Max(r.Ratios)), r.Target, verdict, r.What, r.Against, r.Sync, spread)
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// median of no values is 0.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// thousands writes 1234567 as 1,234,567; below 100 with one decimal.
func thousands(x float64) string {
	if x < 100 && x != math.Trunc(x) {
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	s := strconv.FormatFloat(x, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

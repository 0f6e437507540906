package main

import (
	"strings"
	"unicode/utf8"
)

// cell is one field of a table. Its text is made printable when it is written.
type cell struct {
	text   string
	colour string
}

// Colours of a terminal.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	bold   = "\x1b[1m"
	faint  = "\x1b[2m"
	reset  = "\x1b[0m"
)

func (t *terminal) paint(text, colour string) string {
	if !t.colours || colour == "" {
		return text
	}
	return colour + text + reset
}

// table prints rows under a head, each column as wide as it must be.
func (t *terminal) table(head []string, rows [][]cell) error {
	all := make([][]cell, 0, len(rows)+1)
	first := make([]cell, len(head))
	for i, name := range head {
		first[i] = cell{strings.ToUpper(name), bold}
	}
	all = append(all, first)
	all = append(all, rows...)
	widths := make([]int, len(head))
	for _, row := range all {
		for i := range row {
			if row[i].text == "" {
				row[i] = cell{text: "-"}
			}
			row[i].text = printable(row[i].text)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	for _, row := range all {
		if err := t.say("%s", t.line(row, widths)); err != nil {
			return err
		}
	}
	return nil
}

func (t *terminal) line(row []cell, widths []int) string {
	var b strings.Builder
	for i, c := range row {
		b.WriteString(t.paint(c.text, c.colour))
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2))
		}
	}
	return b.String()
}

func texts(values ...string) []cell {
	cells := make([]cell, len(values))
	for i, v := range values {
		cells[i] = cell{text: v}
	}
	return cells
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

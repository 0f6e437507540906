package consumer

import "sync"

// hands are the goroutines that handle deliveries. They are used again: a new one would
// grow its stack anew for each job, a fifth of all that a worker of short jobs does.
type hands struct {
	next chan *delivery
	off  chan struct{}
	all  sync.WaitGroup
}

func newHands() *hands {
	return &hands{next: make(chan *delivery), off: make(chan struct{})}
}

// take gives d to an idle hand, or to a new one.
func (h *hands) take(d *delivery) {
	select {
	case h.next <- d:
	default:
		h.all.Go(func() { h.work(d) })
	}
}

func (h *hands) work(d *delivery) {
	for d != nil {
		d.handle()
		select {
		case d = <-h.next:
		case <-h.off:
			return
		}
	}
}

// rest sends hands away that are idle, up to most.
func (h *hands) rest(most int) {
	for range most {
		select {
		case h.next <- nil:
		default:
			return
		}
	}
}

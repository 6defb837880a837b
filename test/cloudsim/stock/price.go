package stock

import "sync"

// A Price says by how much a price has moved since the start.
type Price struct {
	Key `json:",inline"`
	// Factor of the configured price.
	Factor float64 `json:"factor"`
}

// Prices that have moved.
type Prices struct {
	mu    sync.Mutex
	moves []Price
}

// NewPrices returns Prices that have not moved.
func NewPrices() *Prices { return &Prices{} }

// Set the factor of all prices that match the region, zone, type and charge,
// where an empty field matches every one. The last call that matches a price
// counts.
func (p *Prices) Set(m Price) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moves = append(p.moves, m)
}

// Factor of a price, 1 if it has not moved.
func (p *Prices) Factor(k Key) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.moves) - 1; i >= 0; i-- {
		m := p.moves[i]
		if m.Spot == k.Spot && (m.Region == "" || m.Region == k.Region) && (m.Zone == "" || m.Zone == k.Zone) && (m.Type == "" || m.Type == k.Type) {
			return m.Factor
		}
	}
	return 1
}

// List returns the moves, oldest first.
func (p *Prices) List() []Price {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Price{}, p.moves...)
}

// Reset undoes all moves.
func (p *Prices) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moves = nil
}

package demo

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

const (
	frameInterval = 200 * time.Millisecond
	// plainInterval is how often the figures are printed without a terminal,
	// if they changed.
	plainInterval = 2 * time.Second
	minWidth      = 60
	maxWidth      = 110
)

// A picture of the region that is drawn.
type picture struct {
	phase    string
	services []bar
	own      int
	cloud    int
	hourly   float64
	spent    float64
	// known is false until there is something to draw.
	known bool
}

// A bar of replicas.
type bar struct {
	name                string
	desired             int
	own, cloud, pending int
}

// A screen tells the story: lines that stay, and on a terminal a panel below
// them that is drawn again and again.
type screen struct {
	out   io.Writer
	fd    int
	live  bool
	begin time.Time

	mu      sync.Mutex
	pic     picture
	rows    int // of the panel that is on the terminal
	printed string
	at      time.Time
}

// newScreen draws on a terminal and prints plain lines on anything else.
func newScreen(out io.Writer) *screen {
	s := &screen{out: out, begin: time.Now()}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		s.live, s.fd = true, int(f.Fd())
	}
	return s
}

// Colours of the terminal; empty without one.
const (
	reset  = "\x1b[0m"
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
	red    = "\x1b[31m"
)

func (s *screen) paint(colour, text string) string {
	if !s.live || text == "" {
		return text
	}
	return colour + text + reset
}

// say prints a line of the story.
func (s *screen) say(format string, args ...any) {
	s.line("", fmt.Sprintf(format, args...))
}

// heading begins a phase of the story.
func (s *screen) heading(text string) {
	s.line(bold, "── "+text)
}

// aside prints a line of detail.
func (s *screen) aside(format string, args ...any) {
	s.line(dim, fmt.Sprintf(format, args...))
}

func (s *screen) line(colour, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	fmt.Fprintf(s.out, "%s  %s\n", s.paint(cyan, stamp(time.Since(s.begin))), s.paint(colour, text))
	s.draw()
}

// raw prints text without a time, below which no panel is drawn.
func (s *screen) raw(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	s.pic.known = false
	fmt.Fprint(s.out, text)
}

// Write lets the stack report its progress through the screen, a line at a time.
// Its lines begin with a time in brackets, which the screen's own replaces.
func (s *screen) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		if _, after, found := strings.Cut(line, "] "); found && strings.HasPrefix(line, "[") {
			line = after
		}
		if line = strings.TrimSpace(line); line != "" {
			s.aside("%s", line)
		}
	}
	return len(b), nil
}

// show draws the picture.
func (s *screen) show(p picture) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pic = p
	if s.live {
		s.erase()
		s.draw()
		return
	}
	if text := figures(p); p.known && text != s.printed && time.Since(s.at) >= plainInterval {
		s.printed, s.at = text, time.Now()
		fmt.Fprintf(s.out, "%s  %s\n", stamp(time.Since(s.begin)), text)
	}
}

// erase removes the panel from the terminal.
func (s *screen) erase() {
	if s.rows > 0 {
		fmt.Fprintf(s.out, "\x1b[%dA\r\x1b[J", s.rows)
		s.rows = 0
	}
}

func (s *screen) draw() {
	if !s.live || !s.pic.known {
		return
	}
	width := maxWidth
	if w, _, err := term.GetSize(s.fd); err == nil && w > 0 {
		width = w
	}
	rows := s.panel(min(width-1, maxWidth))
	fmt.Fprint(s.out, strings.Join(rows, "\n")+"\n")
	s.rows = len(rows)
}

// panel returns the rows of the panel, none wider than the terminal: a row that
// wraps could not be erased.
func (s *screen) panel(width int) []string {
	p := s.pic
	title := " " + stamp(time.Since(s.begin)) + "  " + p.phase + " "
	if width < minWidth {
		return []string{clip(title+" "+figures(p), width)}
	}
	rows := []string{s.paint(bold, title) + s.paint(dim, strings.Repeat("─", max(0, width-runes(title))))}

	most := 1
	for _, b := range p.services {
		most = max(most, b.desired, b.own+b.cloud)
	}
	room := width - 48
	for _, b := range p.services {
		total := max(b.desired, b.own+b.cloud)
		length := (total*room + most - 1) / most
		// What there is at all has a mark, and what there is not has none.
		cloud, wait := marks(b.cloud, length, total), marks(total-b.own-b.cloud, length, total)
		own := max(0, length-cloud-wait)
		rows = append(rows, fmt.Sprintf(" %-10s %s%s%s%s %s", clip(b.name, 10),
			s.paint(green, strings.Repeat("█", own)), s.paint(yellow, strings.Repeat("▓", cloud)), s.paint(dim, strings.Repeat("░", wait)),
			strings.Repeat(" ", max(0, room-own-cloud-wait)),
			fmt.Sprintf("%3d own %3d cloud %3d pending of %d", b.own, b.cloud, b.pending, b.desired)))
	}
	most = max(1, width-40) / 2
	rows = append(rows,
		fmt.Sprintf(" %-10s %s %s  %d own, %d cloud", "nodes", s.paint(green, strings.Repeat("■", min(p.own, most))),
			s.paint(yellow, strings.Repeat("■", min(p.cloud, most))), p.own, p.cloud),
		fmt.Sprintf(" %-10s %s an hour now, %s spent", "money", s.paint(bold, fmt.Sprintf("CNY %.2f", p.hourly)), fmt.Sprintf("CNY %.2f", p.spent)))
	return rows
}

// marks is the share of a bar for n of a total, and at least one mark.
func marks(n, length, total int) int {
	if n <= 0 || total <= 0 {
		return 0
	}
	return max(1, n*length/total)
}

// figures is the picture in one line.
func figures(p picture) string {
	var parts []string
	for _, b := range p.services {
		text := fmt.Sprintf("%s %d own", b.name, b.own)
		if b.cloud > 0 {
			text += fmt.Sprintf(" + %d cloud", b.cloud)
		}
		if b.pending > 0 {
			text += fmt.Sprintf(" + %d pending", b.pending)
		}
		parts = append(parts, text)
	}
	return fmt.Sprintf("%s | nodes %d own + %d cloud | CNY %.2f an hour", strings.Join(parts, ", "), p.own, p.cloud, p.hourly)
}

func stamp(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

func clip(text string, width int) string {
	r := []rune(text)
	if len(r) <= max(width, 0) {
		return text
	}
	return string(r[:max(width, 0)])
}

func runes(text string) int { return len([]rune(text)) }

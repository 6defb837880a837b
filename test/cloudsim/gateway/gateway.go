// Package gateway has what the front ends of all simulated APIs need to answer,
// and to fail to answer.
package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"regionpool.io/provider-regionpool/test/cloudsim/faults"
	"regionpool.io/provider-regionpool/test/cloudsim/requestlog"
)

// MaxBody is the largest request, in bytes.
const MaxBody = 4 << 20

// Response notes the status in the log, and can break off. A call is in the log
// before its caller can have the answer.
type Response struct {
	http.ResponseWriter
	Entry *requestlog.Entry
	// Log that gets the entry.
	Log *requestlog.Log

	logged bool
}

// Finish logs the call, unless it was logged with its answer.
func (w *Response) Finish() { w.log(w.Entry.Status) }

func (w *Response) log(status int) {
	if w.logged {
		return
	}
	w.logged = true
	w.Entry.Status, w.Entry.Seconds = status, time.Since(w.Entry.Time).Seconds()
	w.Log.Add(*w.Entry)
}

// WriteHeader sends the status.
func (w *Response) WriteHeader(status int) {
	w.log(status)
	w.ResponseWriter.WriteHeader(status)
}

// Cut closes the connection without an answer.
func (w *Response) Cut() {
	w.log(0)
	if h, ok := w.ResponseWriter.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			_ = conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}

// Truncate announces the whole body and sends half of it.
func (w *Response) Truncate(status int, b []byte) {
	w.log(status)
	h, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	conn, _, err := h.Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	res := http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(b)), Body: io.NopCloser(bytes.NewReader(b))}
	var out bytes.Buffer
	_ = res.Write(&out)
	_, _ = conn.Write(out.Bytes()[:out.Len()-(len(b)+1)/2])
}

// JSON answers with a body, or with none if it is nil.
func (w *Response) JSON(status int, body any) {
	var b []byte
	if body != nil {
		b, _ = json.Marshal(body)
	}
	w.Bytes(status, "application/json;charset=utf-8", b)
}

// Bytes answers with a body of any type.
func (w *Response) Bytes(status int, contentType string, b []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// TakeFn takes a fault of the call that is answered, or nil.
type TakeFn func(faults.Kind) *faults.Rule

// Held makes the call wait if a fault says so. It returns true if it will never
// be answered.
func (w *Response) Held(ctx context.Context, take TakeFn) bool {
	if f := take(faults.TimeoutBefore); f != nil {
		Wait(ctx, f.Seconds(60))
		w.Cut()
		return true
	}
	if f := take(faults.Delay); f != nil {
		Wait(ctx, f.Seconds(2))
	}
	return false
}

// Broken answers as a broken gateway does if a fault says so, and reports whether
// one did. The call is run, and takes effect, only if the fault says that it was
// accepted. Fail answers in the vendor's words.
func (w *Response) Broken(take TakeFn, run func() error, fail func(status int, code string)) bool {
	for _, k := range []faults.Kind{faults.HTTP500JSON, faults.HTTP502HTML, faults.HTTP503} {
		f := take(k)
		if f == nil {
			continue
		}
		if f.Arg("accept", "") == "true" {
			w.Entry.Accepted = run() == nil
		}
		switch k {
		case faults.HTTP502HTML:
			w.Entry.Code = "BadGateway"
			w.Bytes(http.StatusBadGateway, "text/html", []byte("<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"))
		case faults.HTTP503:
			w.Entry.Code = "ServiceUnavailable"
			fail(http.StatusServiceUnavailable, w.Entry.Code)
		default:
			w.Entry.Code = "InternalError"
			fail(http.StatusInternalServerError, w.Entry.Code)
		}
		return true
	}
	return false
}

// Wait for real seconds, or until the caller has given up.
func Wait(ctx context.Context, seconds float64) {
	t := time.NewTimer(time.Duration(seconds * float64(time.Second)))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

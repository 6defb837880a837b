// Package render runs the real composite reconciler of Crossplane, in memory,
// against our function: `crossplane internal render` reads a RenderRequest on
// standard input and answers with a RenderResponse.
package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// exitPipelineFatal is the exit code if a function returns a FATAL result.
const exitPipelineFatal = 3

// Field numbers of crossplane/proto/render/v1alpha1/render.proto. The messages
// are spelled out here so that the project need not depend on the whole of
// Crossplane core for a dozen fields.
const (
	inComposite protowire.Number = 2

	inXR          protowire.Number = 1
	inComposition protowire.Number = 2
	inFunctions   protowire.Number = 3
	inObserved    protowire.Number = 4
	inRequired    protowire.Number = 5
	inDefinition  protowire.Number = 8

	inFunctionName    protowire.Number = 1
	inFunctionAddress protowire.Number = 2

	outComposite protowire.Number = 2

	outXR       protowire.Number = 1
	outComposed protowire.Number = 2
	outDeleted  protowire.Number = 3
	outEvents   protowire.Number = 4

	outEventType    protowire.Number = 1
	outEventReason  protowire.Number = 2
	outEventMessage protowire.Number = 3
)

// An Input is what is rendered.
type Input struct {
	XR          *unstructured.Unstructured
	Definition  *unstructured.Unstructured
	Composition *unstructured.Unstructured
	// Functions are addresses of plain gRPC servers by the name of the function.
	Functions map[string]string
	Observed  []*unstructured.Unstructured
	// Required resources are what a function can ask for, beside the observed.
	Required []*unstructured.Unstructured
}

// An Event on the composite resource.
type Event struct {
	Type, Reason, Message string
}

// An Output is what the reconciler would do.
type Output struct {
	XR       *unstructured.Unstructured
	Composed []*unstructured.Unstructured
	Deleted  []*unstructured.Unstructured
	Events   []Event
	// Fatal is the complaint if a function returned a FATAL result.
	Fatal string
}

// Run renders with the given crossplane binary.
func Run(ctx context.Context, crossplane string, in Input) (*Output, error) {
	req, err := in.encode()
	if err != nil {
		return nil, fmt.Errorf("cannot encode the request: %w", err)
	}
	cmd := exec.CommandContext(ctx, crossplane, "internal", "render")
	stdout, stderr := &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(req), stdout, stderr
	err = cmd.Run()
	fatal := ""
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == exitPipelineFatal {
		fatal = string(bytes.TrimSpace(stderr.Bytes()))
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot run crossplane internal render: %w: %s", err, stderr)
	}
	out := &Output{Fatal: fatal}
	if err := out.decode(stdout.Bytes()); err != nil {
		return nil, fmt.Errorf("cannot decode the response: %w", err)
	}
	return out, nil
}

func (in Input) encode() ([]byte, error) {
	var c []byte
	one := func(n protowire.Number, u *unstructured.Unstructured) error {
		if u == nil {
			return nil
		}
		// JSON knows one kind of number, as does Struct.
		j, err := u.MarshalJSON()
		if err != nil {
			return err
		}
		s := &structpb.Struct{}
		if err := s.UnmarshalJSON(j); err != nil {
			return err
		}
		b, err := proto.Marshal(s)
		if err != nil {
			return err
		}
		c = field(c, n, b)
		return nil
	}
	if err := errors.Join(one(inXR, in.XR), one(inComposition, in.Composition), one(inDefinition, in.Definition)); err != nil {
		return nil, err
	}
	for name, address := range in.Functions {
		c = field(c, inFunctions, field(field(nil, inFunctionName, []byte(name)), inFunctionAddress, []byte(address)))
	}
	for _, u := range in.Observed {
		if err := one(inObserved, u); err != nil {
			return nil, err
		}
	}
	for _, u := range in.Required {
		if err := one(inRequired, u); err != nil {
			return nil, err
		}
	}
	return field(nil, inComposite, c), nil
}

func field(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

func (o *Output) decode(b []byte) error {
	return fields(b, func(n protowire.Number, v []byte) error {
		if n != outComposite {
			return nil
		}
		return fields(v, func(n protowire.Number, v []byte) error {
			if n == outEvents {
				e := Event{}
				err := fields(v, e.set)
				o.Events = append(o.Events, e)
				return err
			}
			if n != outXR && n != outComposed && n != outDeleted {
				return nil
			}
			s := &structpb.Struct{}
			if err := proto.Unmarshal(v, s); err != nil {
				return err
			}
			// The detour over JSON tells integers from floats.
			j, err := s.MarshalJSON()
			if err != nil {
				return err
			}
			u := &unstructured.Unstructured{}
			if err := u.UnmarshalJSON(j); err != nil {
				return err
			}
			switch n {
			case outXR:
				o.XR = u
			case outComposed:
				o.Composed = append(o.Composed, u)
			default:
				o.Deleted = append(o.Deleted, u)
			}
			return nil
		})
	})
}

func (e *Event) set(n protowire.Number, v []byte) error {
	switch n {
	case outEventType:
		e.Type = string(v)
	case outEventReason:
		e.Reason = string(v)
	case outEventMessage:
		e.Message = string(v)
	}
	return nil
}

// fields calls fn with each length-delimited field of a message, and skips the
// others.
func fields(b []byte, fn func(protowire.Number, []byte) error) error {
	for len(b) > 0 {
		n, t, l := protowire.ConsumeTag(b)
		if l < 0 {
			return protowire.ParseError(l)
		}
		b = b[l:]
		if t != protowire.BytesType {
			if l = protowire.ConsumeFieldValue(n, t, b); l < 0 {
				return protowire.ParseError(l)
			}
			b = b[l:]
			continue
		}
		v, l := protowire.ConsumeBytes(b)
		if l < 0 {
			return protowire.ParseError(l)
		}
		b = b[l:]
		if err := fn(n, v); err != nil {
			return err
		}
	}
	return nil
}

package tke

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	testclock "k8s.io/utils/clock/testing"

	"regionpool.io/provider-regionpool/apis/v1alpha1"
)

// issuer of temporary credentials.
type issuer struct {
	calls int
	fail  bool
}

func (i *issuer) GetCredential() (common.CredentialIface, error) {
	i.calls++
	if i.fail {
		return nil, errors.New("no")
	}
	return common.NewTokenCredential("id", "key", time.Duration(i.calls).String()), nil
}

func TestInjected(t *testing.T) {
	c := testclock.NewFakeClock(time.Now())
	is := &issuer{fail: true}
	i := &injected{provider: is, clock: c}
	steps := []struct {
		reason string
		step   time.Duration
		fail   bool
		token  string
		calls  int
	}{
		{reason: "Nothing is issued: the cloud will refuse the call.", fail: true, calls: 1},
		{reason: "A failure is not repeated with each call.", step: time.Second, calls: 1},
		{reason: "But after a while.", step: 10 * time.Second, token: "2ns", calls: 2},
		{reason: "Credentials are kept.", step: 30 * time.Minute, token: "2ns", calls: 2},
		{reason: "They are renewed well before they end.", step: 31 * time.Minute, token: "3ns", calls: 3},
		{reason: "If that fails they serve on.", step: 61 * time.Minute, fail: true, token: "3ns", calls: 4},
	}
	for _, s := range steps {
		c.Step(s.step)
		is.fail = s.fail
		_, _, token := i.GetCredential()
		if diff := cmp.Diff([]any{s.token, s.calls}, []any{token, is.calls}); diff != "" {
			t.Errorf("\nReason: %s\nGetCredential(): -want, +got:\n%s", s.reason, diff)
		}
	}
	if i.GetSecretId() != "id" || i.GetSecretKey() != "key" || i.GetToken() != "3ns" {
		t.Errorf("the parts of the credentials differ from the whole")
	}
}

func TestInjectedIdentity(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("t"), 0o600); err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{envRole: "role", envProvider: "OIDC", envToken: token, envRegion: "ap-guangzhou"} {
		t.Setenv(k, v)
	}
	spec := &v1alpha1.ProviderConfigSpec{Type: v1alpha1.TypeTencentCloud}
	f := NewFactory(testclock.NewFakeClock(time.Now()))
	a, err := f.Client(spec, nil, "ap-guangzhou")
	if err != nil {
		t.Fatalf("\nReason: the pod has an identity, which is not used before the first call\nClient(...): %v", err)
	}
	b, err := f.Client(spec, nil, "ap-shanghai")
	if err != nil || a == b || a.sdk.GetCredential() != b.sdk.GetCredential() {
		t.Errorf("\nReason: regions have clients of their own, and share the credentials\nClient(...): %v", err)
	}
	t.Setenv(envToken, filepath.Join(t.TempDir(), "none"))
	if _, err := NewFactory(testclock.NewFakeClock(time.Now())).Client(spec, nil, "ap-guangzhou"); err == nil {
		t.Errorf("\nReason: without a token there is no identity\nClient(...): no error")
	}
}

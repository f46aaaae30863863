package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const secret = "a secret of the tests, longer than 32 bytes"

// token is signed by the key, and ends in an hour unless a claim says otherwise.
func token(t *testing.T, method jwt.SigningMethod, key any, gapless any, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{"sub": "u-1", "exp": time.Now().Add(time.Hour).Unix()}
	if gapless != nil {
		all["gapless"] = gapless
	}
	for name, value := range claims {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	made := jwt.NewWithClaims(method, all)
	made.Header["kid"] = "1"
	text, err := made.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

type m = map[string]any

func TestTokens(t *testing.T) {
	address := "bolt:" + filepath.Join(t.TempDir(), "app.db")
	ok(t, `{"topic":"orders","type":"seen","meta":{"by":"x"}}`+"\n"+`{"topic":"secret","type":"hidden"}`, "append", "-s", address)
	s := serve(t, "-s", address, "--append", "--jwt-secret-file", write(t, secret+"\n"), "--jwt-issuer", "shop", "--admin", "127.0.0.1:0")
	sign := func(gapless any, claims jwt.MapClaims) string {
		if claims == nil {
			claims = jwt.MapClaims{}
		}
		if _, ok := claims["iss"]; !ok {
			claims["iss"] = "shop"
		}
		return token(t, jwt.SigningMethodHS256, []byte(secret), gapless, claims)
	}
	orders, everything := m{"topics": []string{"orders"}}, m{"everything": true}
	for _, c := range []struct {
		name, token string
		read, write int
	}{
		{"none", "", 401, 401},
		{"orders", sign(orders, nil), 200, 403},
		{"everything", sign(everything, nil), 200, 403},
		{"append alone", sign(m{"append": true}, nil), 403, 200},
		{"nothing", sign(m{}, nil), 403, 403},
		{"no claim", sign(nil, nil), 403, 403},
		{"no types", sign(m{"everything": true, "types": []string{}}, nil), 403, 403},
		{"expired", sign(everything, jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}), 401, 401},
		{"for ever", sign(everything, jwt.MapClaims{"exp": nil}), 401, 401},
		{"of others", sign(everything, jwt.MapClaims{"iss": "other"}), 401, 401},
		{"unsigned", token(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, everything, jwt.MapClaims{"iss": "shop"}), 401, 401},
		{"another secret", token(t, jwt.SigningMethodHS256, []byte("another"), everything, jwt.MapClaims{"iss": "shop"}), 401, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			tryToken(t, s, c.token, c.read, c.write, c.name == "orders")
		})
	}
	adminAlone(t, s)
	refused(t, 1, []string{"--token"}, "info", "-s", s.url+"/events")
	refused(t, 1, []string{"meta"}, "tail", "--once", "-s", s.url+"/events", "--token", sign(orders, nil))
	got := events(t, ok(t, "", "tail", "--once", "-s", s.url+"/events", "--token", sign(m{"topics": []string{"orders"}, "meta": true}, nil)))
	if len(got) != 1 || got[0].Meta["by"] != "x" {
		t.Errorf("tail with a token: %+v", got)
	}
	ok(t, `{"type":"b"}`, "append", "-s", s.url+"/events", "--token", sign(m{"append": true}, nil))
}

// tryToken reads and appends with it; limited: it is for one topic.
func tryToken(t *testing.T, s *served, token string, read, write int, limited bool) {
	t.Helper()
	bearer := []string{"Authorization", "Bearer " + token, "Content-Type", "application/json"}
	if token == "" {
		bearer = bearer[2:]
	}
	got, body := get(t, newRequest(t, http.MethodGet, s.url+"/events?after=beginning&limit=10", "", bearer...))
	if got != read || limited && (!strings.Contains(body, `"seen"`) || strings.Contains(body, "hidden")) {
		t.Errorf("reading: got %d, want %d: %s", got, read, body)
	}
	if got, body := get(t, newRequest(t, http.MethodPost, s.url+"/append", `{"type":"a"}`, bearer...)); got != write {
		t.Errorf("appending: got %d, want %d: %s", got, write, body)
	}
}

// adminAlone wants status and metrics on the address of --admin and nowhere else.
func adminAlone(t *testing.T, s *served) {
	t.Helper()
	for _, path := range []string{"/status", "/metrics"} {
		if got, _ := get(t, newRequest(t, http.MethodGet, s.url+path, "")); got != 404 {
			t.Errorf("%s is open to everybody: %d", path, got)
		}
		if got, _ := get(t, newRequest(t, http.MethodGet, s.admin+path, "")); got != 200 {
			t.Errorf("%s: got %d on the address of --admin", path, got)
		}
	}
}

func TestKeySets(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	set := fmt.Sprintf(`{"keys":[{"kty":"RSA","kid":"1","alg":"RS256","use":"sig","n":%q,"e":%q}]}`, encode(key.N.Bytes()), encode(big.NewInt(int64(key.E)).Bytes()))
	address := "bolt:" + filepath.Join(t.TempDir(), "app.db")
	ok(t, `{"topic":"orders","type":"seen"}`, "append", "-s", address)
	s := serve(t, "-s", address, "--jwks-file", write(t, set), "--ticket-key-file", write(t, secret), "--cors-origin", "https://app.example.com")
	good := token(t, jwt.SigningMethodRS256, key, m{"topics": []string{"orders"}}, nil)
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	// The public key as the secret of another algorithm.
	confused := token(t, jwt.SigningMethodHS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), m{"everything": true}, nil)
	for text, want := range map[string]int{good: 200, confused: 401, "x": 401} {
		if got, body := get(t, newRequest(t, http.MethodGet, s.url+"/events?after=beginning&limit=1", "", "Authorization", "Bearer "+text)); got != want {
			t.Errorf("got %d, want %d: %s", got, want, body)
		}
	}
	var answer struct{ Ticket string }
	_, body := get(t, newRequest(t, http.MethodPost, s.url+"/tickets", "", "Authorization", "Bearer "+good))
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	got, body := get(t, newRequest(t, http.MethodGet, s.url+"/events?after=beginning&limit=1&ticket="+answer.Ticket, "", "Origin", "https://app.example.com"))
	if got != 200 || !strings.Contains(body, `"seen"`) {
		t.Errorf("with a ticket: %d %s", got, body)
	}
	for origin, want := range map[string]string{"https://app.example.com": "https://app.example.com", "https://evil.example.com": ""} {
		preflight := newRequest(t, http.MethodOptions, s.url+"/tickets", "", "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
		response, err := http.DefaultTransport.RoundTrip(preflight)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := response.Header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("a ticket for a page of %s: allowed is %q, want %q", origin, got, want)
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if got, _ := get(t, newRequest(t, http.MethodPost, s.url+"/tickets", "")); got != 401 {
		t.Errorf("a ticket without a token: %d", got)
	}
}

func TestServeTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.ParseIP("127.0.0.1")},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := write(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})))
	private8 := write(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
	s := serve(t, "-s", "bolt:"+filepath.Join(t.TempDir(), "app.db"), "--yes", "--append", "--tls-cert", cert, "--tls-key", private8)
	trust := []string{"SSL_CERT_FILE=" + cert}
	if r := runWith(t, numbered(1, 3), trust, "append", "-s", s.url+"/events"); r.code != 0 {
		t.Fatal(r.err)
	}
	if r := runWith(t, "", trust, "tail", "--once", "-s", s.url+"/events"); r.code != 0 || len(events(t, r.out)) != 3 {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	if r := run(t, "", "info", "-s", s.url+"/events"); r.code != 1 || !strings.Contains(r.err, "certificate") {
		t.Errorf("an unknown certificate: exit %d %s", r.code, r.err)
	}
}

func TestServeRefusesWhatCannotBeMeant(t *testing.T) {
	address := "bolt:" + filepath.Join(t.TempDir(), "app.db")
	good, short := write(t, secret), write(t, "short")
	for _, c := range []struct {
		want []string
		args []string
	}{
		{[]string{"5 bytes", "openssl rand"}, []string{"--jwt-secret-file", short}},
		{[]string{"5 bytes"}, []string{"--ticket-key-file", short}},
		{[]string{"no set of JSON Web Keys"}, []string{"--jwks-file", short}},
		{[]string{"not both"}, []string{"--jwks-file", good, "--jwt-secret-file", good}},
		{[]string{"a ticket only reads"}, []string{"--ticket-key-file", good, "--append"}},
		{[]string{"belong together"}, []string{"--tls-cert", good}},
		{[]string{"--drain"}, []string{"--drain", "-1s"}},
		{[]string{"SQL"}, []string{"--capture", "orders", "--yes"}},
	} {
		refused(t, 2, c.want, append([]string{"serve", "-s", address, "--listen", "127.0.0.1:0"}, c.args...)...)
	}
}

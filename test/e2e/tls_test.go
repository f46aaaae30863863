package e2e_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gapless-go/gapless/internal/testserver"
)

// certificate is self-made, for loopback.
type certificate struct {
	certFile, keyFile string
	pair              tls.Certificate
	pool              *x509.CertPool
}

// trust are the variables by which programs in Node.js and Go trust it.
func (c certificate) trust() []string {
	return []string{"NODE_EXTRA_CA_CERTS=" + c.certFile, "SSL_CERT_FILE=" + c.certFile}
}

func newCertificate(t *testing.T) certificate {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "Gapless test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:         true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	dir := t.TempDir()
	c := certificate{certFile: filepath.Join(dir, "cert.pem"), keyFile: filepath.Join(dir, "key.pem"), pool: x509.NewCertPool()}
	must(os.WriteFile(c.certFile, certPEM, 0o600))
	must(os.WriteFile(c.keyFile, keyPEM, 0o600))
	c.pair, err = tls.X509KeyPair(certPEM, keyPEM)
	must(err)
	c.pool.AppendCertsFromPEM(certPEM)
	return c
}

const nginx = "/usr/sbin/nginx"

func needNginx(t *testing.T) {
	t.Helper()
	if !exists(nginx) || !exists("/etc/nginx/nginx.conf") {
		testserver.Missing(t, "nginx", "the Debian package is not installed")
	}
}

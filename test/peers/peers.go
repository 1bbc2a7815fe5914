// What zlint and go-spiffe say of our certificates and of the Workload API; run by main.ts.
package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/bundle/spiffebundle"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"
)

func main() {
	switch os.Args[1] {
	case "zlint":
		registry, err := lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: []lint.LintSource{lint.RFC5280}})
		if err != nil { panic(err) }
		for _, f := range os.Args[2:] {
			data, _ := os.ReadFile(f)
			b, _ := pem.Decode(data)
			c, err := zx509.ParseCertificate(b.Bytes)
			if err != nil { fmt.Println(f, "parse", err); os.Exit(1) }
			n := 0
			for name, r := range zlint.LintCertificateEx(c, registry).Results {
				if r.Status >= lint.Notice { fmt.Println(f, name, r.Status, r.Details); n++ }
			}
			fmt.Println(f, "findings", n)
		}
	case "verify":
		data, _ := os.ReadFile(os.Args[2])
		var chain []*x509.Certificate
		for b, rest := pem.Decode(data); b != nil; b, rest = pem.Decode(rest) {
			c, err := x509.ParseCertificate(b.Bytes)
			if err != nil { panic(err) }
			chain = append(chain, c)
		}
		raw, _ := os.ReadFile(os.Args[3])
		td := spiffeid.RequireTrustDomainFromString(os.Args[4])
		sb, err := spiffebundle.Parse(td, raw)
		if err != nil { panic(err) }
		id, _, err := x509svid.Verify(chain, sb.X509Bundle())
		fmt.Println(id, err)
		if err != nil { os.Exit(1) }
	case "workload":
		ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
		defer cancel()
		src, err := workloadapi.NewX509Source(ctx)
		if err != nil { fmt.Println("error", err); os.Exit(1) }
		for i := 0; i < 600; i++ {
			svid, err := src.GetX509SVID()
			if err != nil { fmt.Println("error", err); os.Exit(1) }
			b, _ := src.GetX509BundleForTrustDomain(svid.ID.TrustDomain())
			_, _, verr := x509svid.Verify(svid.Certificates, x509bundle.FromX509Authorities(svid.ID.TrustDomain(), b.X509Authorities()))
			json.NewEncoder(os.Stdout).Encode(map[string]any{"id": svid.ID.String(), "serial": svid.Certificates[0].SerialNumber.Text(16), "roots": len(b.X509Authorities()), "verified": verr == nil})
			select {
			case <-src.Updated():
			case <-time.After(30 * time.Second):
				return
			}
		}
	}
}

// Peer: the same reports as bench-attest's, verified by go-sev-guest; the same lines on stdin and
// stdout (attest/bench/main.c). Turin is left out: this version of the library cannot read it.
//
//	peer FOLDER MS
//
// Roots are the library's own, given explicitly: without that it would decode them for each report.
//
// SPDX-License-Identifier: Apache-2.0
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/google/go-sev-guest/abi"
	"github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/verify"
	"github.com/google/go-sev-guest/verify/trust"
)

// The time that bench_sample.c judges at.
var at = time.Unix(1784000000, 0)

var files = []struct{ name, line, report, vek string }{
	{"milan", "Milan", "milan/tav_report.bin", "milan/tav_vcek.der"},
	{"genoa", "Genoa", "genoa/az_evidence_genoa_report.bin", "genoa/az_evidence_genoa_vcek.der"},
}

type sample struct {
	name        string
	report      []byte
	vek         []byte
	certificate *x509.Certificate
	roots       *trust.AMDRootCerts
	line        string
}

func load(folder string) ([]sample, error) {
	var samples []sample
	for _, f := range files {
		report, err := os.ReadFile(filepath.Join(folder, "snp", f.report))
		if err != nil {
			return nil, err
		}
		vek, err := os.ReadFile(filepath.Join(folder, "snp", f.vek))
		if err != nil {
			return nil, err
		}
		certificate, err := x509.ParseCertificate(vek)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.vek, err)
		}
		roots, err := trust.GetDefaultRootCerts(f.line)
		if err != nil {
			return nil, err
		}
		samples = append(samples, sample{f.name, report, vek, certificate, roots, f.line})
	}
	return samples, nil
}

// verify is all that the library does with raw bytes: decoding, chain, signature, bindings.
func (s *sample) verify() error {
	report, err := abi.ReportToProto(s.report)
	if err != nil {
		return err
	}
	return verify.SnpAttestation(
		&sevsnp.Attestation{
			Report:           report,
			CertificateChain: &sevsnp.CertificateChain{VcekCert: s.vek},
		},
		&verify.Options{
			DisableCertFetching: true,
			Now:                 at,
			TrustedRoots:        map[string][]*trust.AMDRootCerts{s.line: {s.roots}},
		})
}

func littleEndian(bytes []byte) *big.Int {
	reversed := slices.Clone(bytes)
	slices.Reverse(reversed)
	return new(big.Int).SetBytes(reversed)
}

// ecdsa is Go's own P-384 verification alone.
func (s *sample) ecdsa() error {
	digest := sha512.Sum384(s.report[:0x2A0])
	key := s.certificate.PublicKey.(*ecdsa.PublicKey)
	if !ecdsa.Verify(key, digest[:], littleEndian(s.report[0x2A0:0x2D0]),
		littleEndian(s.report[0x2E8:0x318])) {
		return fmt.Errorf("%s: the signature is bad", s.name)
	}
	return nil
}

// parse is the library's reading of a report alone.
func (s *sample) parse() error {
	_, err := abi.ReportToProto(s.report)
	return err
}

// processor is the user and system time of this process, the garbage collector's included.
func processor() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func repeat(run func() error, least time.Duration) (float64, error) {
	begin := processor()
	count := 0
	for {
		if err := run(); err != nil {
			return 0, err
		}
		count++
		if spent := processor() - begin; spent >= least {
			return float64(spent.Nanoseconds()) / float64(count) / 1e3, nil
		}
	}
}

func round(samples []sample, least time.Duration) (map[string]map[string]float64, error) {
	all := map[string]map[string]float64{}
	for i := range samples {
		s := &samples[i]
		rows := map[string]float64{}
		for name, run := range map[string]func() error{
			"go-verify": s.verify, "go-ecdsa": s.ecdsa, "go-parse": s.parse} {
			us, err := repeat(run, least)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", s.name, name, err)
			}
			rows[name] = us
		}
		all[s.name] = rows
	}
	return all, nil
}

func run(folder, ms string) error {
	number, err := strconv.Atoi(ms)
	if err != nil {
		return err
	}
	samples, err := load(folder)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		rows, err := round(samples, time.Duration(number)*time.Millisecond)
		if err != nil {
			return err
		}
		if err := out.Encode(rows); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	runtime.GOMAXPROCS(1)
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: peer FOLDER MS")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

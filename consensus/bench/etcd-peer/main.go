// Peer: etcd's own client, told what to do by JSON lines on stdin, one JSON line on stdout each.
//
//	{"do": "status", "endpoints": [..]}            -> {"members": [{"endpoint", "leads", "index"}]}
//	{"do": "load", "endpoints": [..], "outstanding": N, "size": BYTES, "warm_ms": N,
//	 "window_ms": N}                               -> {"rate", "p50_us", "p99_us", "count"}
//	{"do": "failover", "pid": N, "endpoints": [..]} -> {"ms"}
//
// load: one connection, N requests outstanding at any time, each a put of one of 1024 keys.
// failover: kill -9 of a process, then a new put every 5 ms to each endpoint until one succeeds. A
// put that went to a leader that is gone is answered late or never, so a single one would say
// nothing about the cluster.
//
// SPDX-License-Identifier: Apache-2.0
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	keys           = 1024
	failoverBound  = 30 * time.Second
	failoverPeriod = 5 * time.Millisecond
)

type command struct {
	Do          string
	Endpoints   []string
	Outstanding int
	Size        int
	WarmMs      int `json:"warm_ms"`
	WindowMs    int `json:"window_ms"`
	Pid         int
}

func connect(endpoints ...string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: 5 * time.Second, Logger: zap.NewNop()})
}

func status(c *command) (any, error) {
	members := []map[string]any{}
	client, err := connect(c.Endpoints...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	for _, endpoint := range c.Endpoints {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		got, err := client.Status(ctx, endpoint)
		cancel()
		if err == nil {
			members = append(members, map[string]any{"endpoint": endpoint, "index": got.RaftIndex,
				"leads": got.Leader == got.Header.MemberId, "knows": got.Leader != 0})
		}
	}
	return map[string]any{"members": members}, nil
}

type worker struct {
	took []time.Duration
	err  error
}

func (w *worker) run(client *clientv3.Client, number int, value string, begin, end time.Time) {
	for i := number; ; i += 7919 {
		start := time.Now()
		if start.After(end) {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_, w.err = client.Put(ctx, fmt.Sprintf("bench/%04d", i%keys), value)
		cancel()
		if w.err != nil {
			return
		}
		if now := time.Now(); !now.Before(begin) && now.Before(end) {
			w.took = append(w.took, now.Sub(start))
		}
	}
}

func load(c *command) (any, error) {
	client, err := connect(c.Endpoints...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	window := time.Duration(c.WindowMs) * time.Millisecond
	begin := time.Now().Add(time.Duration(c.WarmMs) * time.Millisecond)
	workers := make([]worker, c.Outstanding)
	var group sync.WaitGroup
	for i := range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			workers[i].run(client, i, strings.Repeat("x", c.Size), begin, begin.Add(window))
		}()
	}
	group.Wait()
	var took []time.Duration
	for _, w := range workers {
		if w.err != nil {
			return nil, w.err
		}
		took = append(took, w.took...)
	}
	if len(took) == 0 {
		return nil, errors.New("no answer inside the window")
	}
	slices.Sort(took)
	rank := func(permille int) float64 { // nearest rank, as coordinator/bench/samples.h
		return float64(took[(len(took)*permille+999)/1000-1].Nanoseconds()) / 1e3
	}
	return map[string]any{"rate": float64(len(took)) / window.Seconds(), "count": len(took),
		"p50_us": rank(500), "p99_us": rank(990)}, nil
}

func failover(c *command) (any, error) {
	clients := make([]*clientv3.Client, len(c.Endpoints))
	for i, endpoint := range c.Endpoints {
		client, err := connect(endpoint)
		if err != nil {
			return nil, err
		}
		defer client.Close()
		clients[i] = client
		// The connection stands before the kill.
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, err = client.Put(ctx, "bench/before", "x")
		cancel()
		if err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), failoverBound)
	defer cancel()
	first := make(chan time.Time, 1)
	put := func(client *clientv3.Client) {
		if _, err := client.Put(ctx, "bench/after", "x"); err == nil {
			select {
			case first <- time.Now():
			default:
			}
		}
	}
	killed := time.Now()
	if err := syscall.Kill(c.Pid, syscall.SIGKILL); err != nil {
		return nil, err
	}
	ticks := time.NewTicker(failoverPeriod)
	defer ticks.Stop()
	for {
		for _, client := range clients {
			go put(client)
		}
		select {
		case at := <-first:
			return map[string]any{"ms": float64(at.Sub(killed).Nanoseconds()) / 1e6}, nil
		case <-ctx.Done():
			return nil, errors.New("no put succeeds after the kill")
		case <-ticks.C:
		}
	}
}

func main() {
	verbs := map[string]func(*command) (any, error){
		"status": status, "load": load, "failover": failover}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var c command
		err := json.Unmarshal(lines.Bytes(), &c)
		if err == nil && verbs[c.Do] == nil {
			err = fmt.Errorf("what is '%s'?", c.Do)
		}
		var answer any
		if err == nil {
			answer, err = verbs[c.Do](&c)
		}
		if err != nil {
			answer = map[string]any{"error": err.Error()}
		}
		if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
			os.Exit(1)
		}
	}
}

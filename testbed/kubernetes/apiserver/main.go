// SPDX-License-Identifier: Apache-2.0

// Command kubernetes is the part of a Kubernetes cluster that tests need, in one
// program: `kubernetes etcd` is an etcd server, `kubernetes apiserver` the
// kube-apiserver with all its flags.
package main

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: kubernetes etcd|apiserver FLAGS")
		os.Exit(2)
	}
	which := os.Args[1]
	os.Args = append(os.Args[:1], os.Args[2:]...)
	switch which {
	case "etcd":
		if err := etcd(); err != nil {
			fmt.Fprintln(os.Stderr, "etcd:", err)
			os.Exit(1)
		}
	case "apiserver":
		os.Exit(cli.Run(app.NewAPIServerCommand()))
	default:
		fmt.Fprintf(os.Stderr, "%q is neither etcd nor apiserver\n", which)
		os.Exit(2)
	}
}

// etcd serves clients at one address until a signal comes. What it keeps need not
// outlive the machine, so it waits for no disk.
func etcd() error {
	dir := flag.String("data-dir", "", "directory for the data")
	clients := flag.String("listen-client", "", "URL to listen at for clients")
	peers := flag.String("listen-peer", "", "URL to listen at for other members, of which there are none")
	flag.Parse()
	config := embed.NewConfig()
	config.Dir, config.UnsafeNoFsync, config.LogLevel = *dir, true, "error"
	for _, u := range []struct {
		text string
		into []*[]url.URL
	}{
		{*clients, []*[]url.URL{&config.ListenClientUrls, &config.AdvertiseClientUrls}},
		{*peers, []*[]url.URL{&config.ListenPeerUrls, &config.AdvertisePeerUrls}},
	} {
		parsed, err := url.Parse(u.text)
		if err != nil {
			return err
		}
		for _, into := range u.into {
			*into = []url.URL{*parsed}
		}
	}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	select {
	case <-stop:
		server.Close()
		return nil
	case err := <-server.Err():
		return err
	}
}

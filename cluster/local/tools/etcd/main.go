// Command etcd is the etcd server. The upstream main package belongs to a
// module that cannot be required by version, so this calls its entry point.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}

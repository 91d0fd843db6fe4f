#!/usr/bin/env bash
# Validates docker-compose.yml against the Compose specification with the reference loader, without a Docker engine. Needs Go.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v go >/dev/null || { echo "check_compose: needs Go (apt-get install golang-go, or go.dev)" >&2; exit 1; }
tools=$PWD/.tools/compose
mkdir -p "$tools"
cat >"$tools/go.mod" <<'END'
module compose_check
go 1.24
END
# LoadProject, unlike LoadModel, also finds services, volumes and secrets that are named but not defined.
cat >"$tools/main.go" <<'END'
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	options, err := cli.NewProjectOptions(os.Args[1:], cli.WithOsEnv, cli.WithDotEnv, cli.WithInterpolation(true))
	if err == nil {
		_, err = options.LoadProject(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
END
(cd "$tools" && export GOFLAGS=-mod=mod GOTOOLCHAIN=local && go get github.com/compose-spec/compose-go/v2@v2.16.2 >/dev/null 2>&1 && go build -o check .)
"$tools/check" docker-compose.yml && echo "compose: docker-compose.yml is valid"

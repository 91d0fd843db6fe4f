// A TCP port of 127.0.0.1 that nobody listens on at the moment of asking. For programs that are
// given their port, or that are started anew with the same one; others ask for port 0.
#pragma once

namespace crossover::testing {

int FreePort();

}  // namespace crossover::testing

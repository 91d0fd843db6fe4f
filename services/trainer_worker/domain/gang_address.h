// Where a worker awaits the others of a gang.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace crossover::worker {

struct GangAddress {
  std::string host;  // an address of this machine that the others reach
  int port = 0;
};

// host:port apart; an IPv6 address in brackets. INVALID_ARGUMENT CONFIG_INVALID says what is wrong
// with `text`, which `name` (an option) was given: no host, one that means every address, or no
// port between 1 and 65535.
absl::StatusOr<GangAddress> ParseGangAddress(const std::string& name, const std::string& text);

// The two options about gangs together: a worker that may be one of several needs an address.
// CONFIG_INVALID.
absl::Status CheckGangOptions(int max_gang, const std::string& gang_address);

}  // namespace crossover::worker

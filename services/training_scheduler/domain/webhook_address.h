// Which addresses a webhook may be posted to: a guard against requests into networks that only the
// scheduler reaches (server-side request forgery). Asked about the address that is connected to, so
// that a name cannot be checked as one and used as another.
#pragma once

#include <string>

namespace crossover::scheduler {

// `address` in textual form, IPv4 or IPv6 (mapped IPv4 counts as IPv4). Never: link-local (clouds
// serve credentials there), multicast, broadcast, unspecified, what cannot be read. Loopback and
// private networks (RFC 1918, RFC 6598, RFC 4193) only if `private_networks`.
bool MayPostTo(const std::string& address, bool private_networks);

}  // namespace crossover::scheduler

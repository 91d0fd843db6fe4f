#include "services/training_scheduler/domain/webhook_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

namespace crossover::scheduler {
namespace {

struct Network {
  std::array<uint8_t, 16> prefix;
  int bits;
};

// IPv4 as ::ffff:a.b.c.d, so that one comparison serves both.
constexpr Network V4(uint8_t a, uint8_t b, uint8_t c, uint8_t d, int bits) {
  return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}, 96 + bits};
}

constexpr Network V6(uint8_t first, uint8_t second, int bits) { return {{first, second}, bits}; }

// 0.0.0.0/8, link-local, multicast and above; NAT64 (64:ff9b::/32 and around) and 6to4 would
// lead into any IPv4 network.
constexpr Network kNever[] = {
    V4(0, 0, 0, 0, 8), V4(169, 254, 0, 0, 16), V4(224, 0, 0, 0, 3), V6(0xfe, 0x80, 10),
    V6(0xff, 0, 8),    V6(0, 0x64, 16),        V6(0x20, 0x02, 16),  {{}, 128}};
constexpr Network kPrivate[] = {
    V4(127, 0, 0, 0, 8),
    V4(10, 0, 0, 0, 8),
    V4(172, 16, 0, 0, 12),
    V4(192, 168, 0, 0, 16),
    V4(100, 64, 0, 0, 10),
    V6(0xfc, 0, 7),
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 128},
};

bool IsIn(const std::array<uint8_t, 16>& address, const Network& network) {
  for (int bit = 0; bit < network.bits; ++bit) {
    const auto byte = static_cast<size_t>(bit / 8);
    const int mask = 0x80 >> (bit % 8);
    if ((address[byte] & mask) != (network.prefix[byte] & mask)) return false;
  }
  return true;
}

bool IsInAny(const std::array<uint8_t, 16>& address, std::span<const Network> networks) {
  return std::any_of(networks.begin(), networks.end(),
                     [&](const Network& network) { return IsIn(address, network); });
}

}  // namespace

bool MayPostTo(const std::string& address, bool private_networks) {
  std::array<uint8_t, 16> bytes = V4(0, 0, 0, 0, 0).prefix;
  if (::inet_pton(AF_INET, address.c_str(), bytes.data() + 12) != 1 &&
      ::inet_pton(AF_INET6, address.c_str(), bytes.data()) != 1) {
    return false;  // a scoped address (fe80::1%eth0) among them
  }
  return !IsInAny(bytes, kNever) && (private_networks || !IsInAny(bytes, kPrivate));
}

}  // namespace crossover::scheduler

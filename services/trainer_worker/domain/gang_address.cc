#include "services/trainer_worker/domain/gang_address.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::worker {
namespace {

constexpr int kMostWorkers = 64;  // as Requirements.gang_size

absl::Status Invalid(const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, "CONFIG_INVALID", what);
}

}  // namespace

absl::StatusOr<GangAddress> ParseGangAddress(const std::string& name, const std::string& text) {
  const auto invalid = [&](const std::string& why) {
    return Invalid(absl::StrCat(name, " is '", text, "': ", why,
                                "; host:port is meant, such as "
                                "192.0.2.7:7090, or 127.0.0.1:7090 where all run on one machine"));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return invalid("it has no port");
  GangAddress address{.host = text.substr(0, colon), .port = 0};
  if (!absl::SimpleAtoi(text.substr(colon + 1), &address.port) || address.port < 1 ||
      address.port > 65535) {
    return invalid("its port is not between 1 and 65535");
  }
  const bool bracketed = address.host.starts_with('[') && address.host.ends_with(']');
  if (bracketed) address.host = address.host.substr(1, address.host.size() - 2);
  if (!bracketed && address.host.find(':') != std::string::npos)
    return invalid("an IPv6 address stands in brackets");
  if (address.host.empty()) return invalid("it has no host");
  if (address.host == "0.0.0.0" || address.host == "::")
    return invalid("the others need one address of this machine, not all of them");
  return address;
}

absl::Status CheckGangOptions(int max_gang, const std::string& gang_address) {
  if (max_gang < 1 || max_gang > kMostWorkers) {
    return Invalid(absl::StrCat("max-gang is ", max_gang, "; 1 (alone) to ", kMostWorkers,
                                " workers train together"));
  }
  if (max_gang == 1 && gang_address.empty()) return absl::OkStatus();
  if (max_gang == 1) {
    return Invalid(absl::StrCat("gang-address is ", gang_address,
                                ", but max-gang is 1: this worker trains alone; set max-gang to "
                                "the most workers it may train together with"));
  }
  if (gang_address.empty()) {
    return Invalid(absl::StrCat("max-gang is ", max_gang,
                                ", but gang-address is not set; the others must know where to meet "
                                "this worker, such as 127.0.0.1:7090"));
  }
  return ParseGangAddress("gang-address", gang_address).status();
}

}  // namespace crossover::worker

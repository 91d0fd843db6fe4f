// Takes personal data and secrets out of text before anything is stored.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crossover::router {

struct Redacted {
  std::string text;
  int redactions = 0;
};

// Thread-safe. E-mail addresses, phone numbers, payment cards (Luhn-checked), IBANs, IPv4
// addresses, bearer tokens and API keys become `[EMAIL]`, `[PHONE]` …
class Redactor {
 public:
  static absl::StatusOr<std::unique_ptr<Redactor>> Create();
  ~Redactor();
  Redactor(const Redactor&) = delete;
  Redactor& operator=(const Redactor&) = delete;

  // Fails closed: an error means that nothing of the text may be stored.
  absl::StatusOr<Redacted> Redact(std::string_view text) const;

 private:
  struct Rule;
  Redactor();
  std::vector<Rule> rules_;
};

}  // namespace crossover::router

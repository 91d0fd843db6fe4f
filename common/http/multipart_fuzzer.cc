// Any body, in pieces: no crash, and never more bytes of data than were fed.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "common/http/multipart.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using crossover::http::FormPart;
  if (size == 0) return 0;
  size_t seen = 0;
  crossover::http::MultipartReader reader(
      "b", [](const FormPart&) { return absl::OkStatus(); },
      [&](std::string_view bytes) {
        seen += bytes.size();
        return absl::OkStatus();
      });
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t step = 1 + data[0] % 64;
  for (size_t at = 0; at < body.size(); at += step) {
    if (!reader.Feed(body.substr(at, step)).ok()) break;
  }
  if (seen > body.size()) std::abort();
  (void)reader.Finish().ok();
  return 0;
}

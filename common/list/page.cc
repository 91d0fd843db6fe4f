#include "common/list/page.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/json/digest.h"
#include "common/status/absl_view.h"
#include "common/status/error.h"

namespace crossover::list {
namespace {

constexpr size_t kHashBytes = 8;

std::string HashOf(std::string_view query) {
  const Sha256Bytes hash = Sha256Of(query);
  return std::string(reinterpret_cast<const char*>(hash.data()), kHashBytes);
}

absl::Status InvalidToken(std::string_view what) {
  return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID",
               absl::StrCat("page_token ", ToAbsl(what), ": list again from the first page"));
}

}  // namespace

absl::StatusOr<int> PageSize(int64_t requested) {
  if (requested < 0) {
    return Error(
        absl::StatusCode::kInvalidArgument, "page_size must not be negative",
        {.reason = "FIELD_INVALID", .violations = {{"page_size", "must be 0 (= 50) to 1,000"}}});
  }
  if (requested == 0) return kDefaultPageSize;
  return static_cast<int>(std::min<int64_t>(requested, kMaxPageSize));
}

std::string MakePageToken(std::string_view position, std::string_view query) {
  std::string token;
  absl::WebSafeBase64Escape(absl::StrCat(HashOf(query), ToAbsl(position)), &token);
  return token;
}

absl::StatusOr<std::string> ParsePageToken(std::string_view token, std::string_view query) {
  if (token.empty()) return std::string();
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(ToAbsl(token), &bytes) || bytes.size() < kHashBytes) {
    return InvalidToken("is damaged");
  }
  if (bytes.substr(0, kHashBytes) != HashOf(query))
    return InvalidToken("belongs to another list, filter or order");
  return bytes.substr(kHashBytes);
}

}  // namespace crossover::list

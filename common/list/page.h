// Pages of lists: sizes and opaque tokens. A token holds the keyset position after the last item of
// a page, and a hash of the query, so that a token of another filter is refused instead of giving a
// wrong page.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace crossover::list {

inline constexpr int kDefaultPageSize = 50;
inline constexpr int kMaxPageSize = 1000;

// 0 = 50, over 1,000 = 1,000; InvalidArgument FIELD_INVALID when negative.
absl::StatusOr<int> PageSize(int64_t requested);

// `position` is any text; `query` everything that defines the list (parent, filter, order).
std::string MakePageToken(std::string_view position, std::string_view query);

// The position; "" for an empty token. InvalidArgument PAGE_TOKEN_INVALID if it is damaged or of
// another query.
absl::StatusOr<std::string> ParsePageToken(std::string_view token, std::string_view query);

}  // namespace crossover::list

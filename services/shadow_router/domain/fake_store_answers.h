// What FakeRouterStore answers whatever it was asked for; for its own .cc files.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "services/shadow_router/domain/store.h"

namespace crossover::router::fake_store {

inline absl::Status NotFound(const std::string& name) {
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat("there is no ", name));
}

// A page of `all`, which is in the order of the list; tokens are positions.
template <typename T>
Listed<T> PageOf(const std::vector<T>& all, const Page& page) {
  size_t begin = 0;
  if (!page.token.empty() && !absl::SimpleAtoi(page.token, &begin)) begin = all.size();
  Listed<T> result;
  for (size_t i = begin; i < all.size() && result.items.size() < static_cast<size_t>(page.size);
       ++i) {
    result.items.push_back(all[i]);
  }
  const size_t end = begin + result.items.size();
  if (end < all.size()) result.next_token = absl::StrCat(end);
  return result;
}

}  // namespace crossover::router::fake_store

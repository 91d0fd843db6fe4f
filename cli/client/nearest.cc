#include "cli/client/nearest.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/str_cat.h"

namespace crossover::cli {
namespace {

constexpr size_t kNamed = 6;  // of what there is, in one line of a message

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string Nearest(std::string_view word, const std::vector<std::string>& known) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const size_t distance = EditDistance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string InsteadOf(std::string_view word, const std::vector<std::string>& known,
                      const std::string& list, const std::string& make) {
  if (known.empty()) return absl::StrCat("`", make, "` makes one");
  if (const std::string meant = Nearest(word, known); !meant.empty())
    return absl::StrCat("did you mean '", meant, "'?");
  const size_t named = std::min(known.size(), kNamed);
  std::string some;
  for (size_t i = 0; i < named; ++i) absl::StrAppend(&some, i == 0 ? "" : ", ", known[i]);
  if (named == known.size()) return "there are: " + some;
  return absl::StrCat("there are: ", some, " and ", known.size() - named, " more; `", list,
                      "` shows them");
}

}  // namespace crossover::cli

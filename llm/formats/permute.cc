#include "llm/formats/permute.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"

namespace crossover::llm {
namespace {

absl::Status CheckRows(size_t in, size_t out, int64_t heads, int64_t head_dim) {
  const bool sound = heads > 0 && head_dim > 0 && head_dim % 2 == 0 && in == out &&
                     in % static_cast<size_t>(heads * head_dim) == 0;
  if (sound) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               absl::StrCat("cannot reorder ", in, " bytes into ", out, " as ", heads, " heads of ",
                            head_dim, " rows (an even number)"));
}

}  // namespace

absl::Status PermuteHfToGguf(std::span<const std::byte> in, std::span<std::byte> out, int64_t heads,
                             int64_t head_dim) {
  const absl::Status sizes = CheckRows(in.size(), out.size(), heads, head_dim);
  if (!sizes.ok()) return sizes;
  const int64_t rows = heads * head_dim;
  const size_t row_bytes = in.size() / rows;
  for (int64_t row = 0; row < rows; ++row) {
    std::memcpy(out.data() + row * row_bytes, in.data() + HfRowOfGgufRow(row, head_dim) * row_bytes,
                row_bytes);
  }
  return absl::OkStatus();
}

absl::Status PermuteGgufToHf(std::span<const std::byte> in, std::span<std::byte> out, int64_t heads,
                             int64_t head_dim) {
  const absl::Status sizes = CheckRows(in.size(), out.size(), heads, head_dim);
  if (!sizes.ok()) return sizes;
  const int64_t rows = heads * head_dim;
  const size_t row_bytes = in.size() / rows;
  for (int64_t row = 0; row < rows; ++row) {
    std::memcpy(out.data() + HfRowOfGgufRow(row, head_dim) * row_bytes, in.data() + row * row_bytes,
                row_bytes);
  }
  return absl::OkStatus();
}

}  // namespace crossover::llm

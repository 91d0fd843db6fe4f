// The identity of a row, and of its input.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "common/dataset/row.h"

namespace crossover::dataset {

// `sha256:<hex>` over the RFC 8785 form of {messages, tools, response_format, rejected}: no
// weights, absent keys omitted. InvalidArgument if a text is not UTF-8 or a number has no RFC 8785
// form.
absl::StatusOr<std::string> RowDigest(const Row& row);

// The same without the trailing assistant turn and without `rejected`: rows with equal input_digest
// and different row_digest disagree about the answer.
absl::StatusOr<std::string> InputDigest(const Row& row);

}  // namespace crossover::dataset

// The leaf of a sealed version: the bytes that are hashed into its Merkle tree and are one line of
// its shards.
//
// RFC 8785 form of {row{messages, tools, response_format, rejected}, split, weight, weights[],
// cluster, group, logprobs}. `weights` has one number per message and is omitted when no message
// says its own; cluster, group and logprobs (a teacher's, of the answer) are omitted when empty.
// Nothing that tells where or when the row was imported is in it, so equal data give equal digests.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/dataset/row.h"

namespace crossover::dataset {

// The leaf without its newline. `row.split` must be train, validation or test.
absl::StatusOr<std::string> LeafBytes(const Row& row);

// The row of a leaf; weights of messages are set where the leaf has them.
absl::StatusOr<Row> ParseLeaf(std::string_view leaf);

}  // namespace crossover::dataset

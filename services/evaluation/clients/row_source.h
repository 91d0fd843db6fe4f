// Rows of sealed versions: the version's name is looked up in curation, its shards are read from
// the blob store.
#pragma once

#include <filesystem>
#include <memory>

#include "common/blob/blob_store.h"
#include "services/evaluation/clients/channels.h"
#include "services/evaluation/domain/ports.h"

namespace crossover::evaluation {

// Borrows blobs. `scratch` is a folder for laying out artifacts while they are read. Thread-safe.
std::unique_ptr<RowSource> NewRowSource(const Channels& channels, BlobStore& blobs,
                                        std::filesystem::path scratch);

}  // namespace crossover::evaluation

// Streams an artifact's bytes.
#pragma once

#include "absl/status/status.h"
#include "common/blob/blob_store.h"
#include "common/rpc/stream.h"
#include "crossover/scheduler/v1/model_service.pb.h"

namespace crossover::scheduler {

// Blocks until everything is queued; a slow reader holds it back. Does not finish the stream.
absl::Status SendArtifact(BlobStore& blobs, const v1::DownloadArtifactRequest& request,
                          const rpc::Stream<v1::DownloadArtifactResponse>& stream);

}  // namespace crossover::scheduler

// Whether what a worker says it has made is what it calls it.
#pragma once

#include "absl/status/status.h"
#include "common/blob/blob_store.h"
#include "services/training_scheduler/domain/job.h"

namespace crossover::scheduler {

// INVALID_ARGUMENT FIELD_INVALID, with the field, for an artifact of another kind: as `adapter`
// only an adapter will do, as `artifact` an export or, of a PEFT export, an adapter. A checkpoint
// that became a model version could be neither served nor exported. What this store does not hold,
// or holds as a plain blob, is not judged.
absl::Status CheckOutputs(BlobStore& blobs, const Outputs& outputs);

}  // namespace crossover::scheduler

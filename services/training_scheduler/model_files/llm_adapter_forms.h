// AdapterForms by the language-model library, from adapters in the blob store.
#pragma once

#include <string>

#include "common/blob/blob_store.h"
#include "services/training_scheduler/domain/adapter_form.h"

namespace crossover::scheduler {

// Thread-safe. Borrows the blob store. Reads an adapter's tensors, and of its base the shape alone.
class LlmAdapterForms final : public AdapterForms {
 public:
  explicit LlmAdapterForms(BlobStore& blobs) : blobs_(blobs) {}

  absl::StatusOr<AdapterForm> Read(const std::string& adapter_digest,
                                   const std::string& base_digest) override;

 private:
  BlobStore& blobs_;
};

}  // namespace crossover::scheduler

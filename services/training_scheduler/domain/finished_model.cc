#include "services/training_scheduler/domain/finished_model.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "services/training_scheduler/domain/suffix.h"

namespace crossover::scheduler {
namespace {

ModelKind KindOf(ExportFormat format) {
  switch (format) {
    case ExportFormat::kPeft:
      return ModelKind::kAdapter;
    case ExportFormat::kSafetensors:
      return ModelKind::kMerged;
    case ExportFormat::kGgufAdapter:
      return ModelKind::kGgufAdapter;
    case ExportFormat::kGgufF16:
    case ExportFormat::kGgufQ8_0:
    case ExportFormat::kGgufBf16:
    case ExportFormat::kGgufQ4_0:
    case ExportFormat::kGgufQ4_K_M:
    case ExportFormat::kGgufQ5_K_M:
    case ExportFormat::kGgufQ6_K:
      return ModelKind::kGguf;
  }
  return ModelKind::kGguf;
}

}  // namespace

std::optional<ModelVersion> ModelOf(const Job& job, absl::Time now) {
  const bool exported = job.kind == JobKind::kExport;
  const std::string& digest = exported ? job.outputs.artifact_digest : job.outputs.adapter_digest;
  if (digest.empty()) return std::nullopt;
  ModelVersion version;
  version.project = job.project;
  const std::string suffix = SuffixSlug(job.spec.training.suffix);
  version.model = job.base_model;
  if (!exported) absl::StrAppend(&version.model, "-", suffix.empty() ? "ft" : suffix);
  version.model.resize(std::min<size_t>(version.model.size(), 63));
  while (version.model.back() == '-') version.model.pop_back();
  version.task = job.task;
  version.digest = digest;
  version.kind = exported ? KindOf(job.resolved.export_format) : ModelKind::kAdapter;
  version.architecture = job.inputs.architecture;
  version.base_digest = job.inputs.base_digest;
  version.tokenizer_digest = job.resolved.tokenizer_digest;
  version.template_digest = job.resolved.template_digest;
  version.bytes = job.outputs.bytes;
  version.licence = job.inputs.licence;
  version.source_job = job.id;
  version.dataset_version = job.dataset_version;
  version.create_time = now;
  return version;
}

}  // namespace crossover::scheduler

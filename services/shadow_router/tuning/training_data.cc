#include "services/shadow_router/tuning/training_data.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/context/request_context.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/tuning/openai_json.h"

namespace crossover::router {
namespace {

using curation_pb::CurationRun;
using curation_pb::File;
using FilesStub = curation_pb::FileService::Stub;
using RunsStub = curation_pb::CurationService::Stub;
using DatasetsStub = curation_pb::DatasetService::Stub;

constexpr char kDatasetId[] = "openai-files";
constexpr int64_t kMinRows = 10;
constexpr int kLinesNamed = 5;

absl::Status BadFile(const std::string& field, const std::string& reason,
                     const std::string& message) {
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat(field, ": ", message),
               {.reason = reason, .metadata = {}, .violations = {{field, message}}});
}

absl::StatusOr<File> CheckedFile(TuningBackend& backend, const TrainingFiles& files,
                                 const std::string& field, const std::string& id) {
  curation_pb::GetFileRequest request;
  absl::StatusOr<std::string> name = FileNameOf(files.project, id, field);
  if (name.ok()) request.set_name(*name);
  const absl::StatusOr<File> file =
      name.ok() ? rpc::Invoke(*backend.files, &FilesStub::GetFile, request, Repeatable())
                : absl::StatusOr<File>(name.status());
  if (absl::IsNotFound(file.status())) {
    return BadFile(field, "RESOURCE_NOT_FOUND", absl::StrCat("file ", id, " does not exist"));
  }
  RETURN_IF_ERROR(file.status());
  if (file->purpose() != "fine-tune") {
    return BadFile(
        field, "FIELD_INVALID",
        absl::StrCat("file ", id, " has purpose '", file->purpose(), "'; must be 'fine-tune'"));
  }
  ASSIGN_OR_RETURN(const std::string wrong, WrongLine(backend, *file));
  if (!wrong.empty())
    return BadFile(field, "ROW_INVALID", absl::StrCat(file->filename(), " ", wrong));
  if (file->state() != File::READY) {
    return BadFile(field, "FILE_NOT_READY",
                   absl::StrCat("file ", id, " cannot be used: ", file->state_reason()));
  }
  if (file->row_count() < kMinRows) {
    return BadFile(field, "TOO_FEW_ROWS",
                   absl::StrCat(file->filename(), " has ", file->row_count(), " rows; at least ",
                                kMinRows, " are needed"));
  }
  const bool holds_pairs = file->format() == File::PREFERENCE_JSONL;
  if (files.preference && !holds_pairs && file->format() != File::CROSSOVER_JSONL) {
    return BadFile(field, "FORMAT_INVALID",
                   absl::StrCat(file->filename(),
                                " holds no preference rows (input, preferred_output, "
                                "non_preferred_output), which method dpo needs"));
  }
  if (!files.preference && holds_pairs) {
    return BadFile(field, "FORMAT_INVALID",
                   absl::StrCat(file->filename(), " holds preference rows; they need method dpo"));
  }
  return *file;
}

absl::Status EnsureDataset(TuningBackend& backend, const std::string& project) {
  curation_pb::GetDatasetRequest get;
  get.set_name(absl::StrCat(project, "/datasets/", kDatasetId));
  const absl::Status found =
      rpc::Invoke(*backend.datasets, &DatasetsStub::GetDataset, get, Repeatable()).status();
  if (!absl::IsNotFound(found)) return found;
  curation_pb::CreateDatasetRequest create;
  create.set_parent(project);
  create.set_dataset_id(kDatasetId);
  create.mutable_dataset();
  const absl::Status created =
      rpc::Invoke(*backend.datasets, &DatasetsStub::CreateDataset, create).status();
  return absl::IsAlreadyExists(created) ? absl::OkStatus() : created;
}

// Rows as they are: nothing is judged, but what stands in both files is found.
curation_pb::Recipe AsGiven() {
  curation_pb::Recipe recipe;
  recipe.add_stages()->set_name("exact_duplicates");
  curation_pb::Recipe::Stage& split = *recipe.add_stages();
  split.set_name("split");
  auto& parameters = *split.mutable_parameters()->mutable_fields();
  parameters["train"].set_number_value(1);
  parameters["validation"].set_number_value(0);
  parameters["test"].set_number_value(0);
  return recipe;
}

absl::StatusOr<CurationRun> RunToItsEnd(TuningBackend& backend, CurationRun run) {
  curation_pb::GetCurationRunRequest get;
  get.set_name(run.name());
  absl::Duration pause = absl::Milliseconds(20);
  while (run.state() == CurationRun::QUEUED || run.state() == CurationRun::RUNNING ||
         run.state() == CurationRun::STATE_UNSPECIFIED) {
    if (RequestContext::Current().Remaining(backend.clock) <= pause) {
      return Error(absl::StatusCode::kDeadlineExceeded, "DEADLINE_PASSED",
                   "the files are still being read; ask again, it goes on where it is");
    }
    backend.clock.SleepFor(pause);
    pause = std::min(pause * 2, absl::Seconds(1));
    ASSIGN_OR_RETURN(run, rpc::Invoke(*backend.runs, &RunsStub::GetCurationRun, get, Repeatable()));
  }
  return run;
}

// OK unless rows of the training file stand in the validation file too.
absl::Status CheckOverlap(TuningBackend& backend, const CurationRun& run) {
  int64_t leaks = 0;
  for (const curation_pb::FunnelStep& step : run.funnel()) {
    const auto found = step.dropped().find("leaks_into_validation");
    if (found != step.dropped().end()) leaks += found->second;
  }
  if (leaks == 0) return absl::OkStatus();
  curation_pb::ListRowsRequest request;
  request.set_parent(run.name());
  request.set_filter("drop_reason : *");
  request.set_order_by("origin.line");
  request.set_page_size(1000);
  std::vector<std::string> lines;
  const auto rows = rpc::Invoke(*backend.datasets, &DatasetsStub::ListRows, request, Repeatable());
  RETURN_IF_ERROR(rows.status());
  for (const curation_pb::Row& row : rows->rows()) {
    if (row.drop_reason().find("leaks_into_validation") == std::string::npos) continue;
    if (lines.size() < kLinesNamed) lines.push_back(absl::StrCat(row.origin().line()));
  }
  const std::string which =
      lines.empty() ? absl::StrCat(leaks, " rows")
                    : absl::StrCat(leaks == 1 ? "line " : "lines ", absl::StrJoin(lines, ", "),
                                   leaks > static_cast<int64_t>(lines.size()) ? ", …" : "");
  return BadFile("validation_file", "SPLITS_OVERLAP",
                 absl::StrCat("the files overlap: ", which,
                              " of the training file also stand in the validation file"));
}

}  // namespace

absl::StatusOr<std::string> WrongLine(TuningBackend& backend, const File& file) {
  if (file.problem_count() == 0) return std::string();
  curation_pb::ListProblemsRequest request;
  request.set_parent(file.name());
  request.set_page_size(1000);
  std::vector<std::string> errors;
  // Any number of warnings may stand before the first error.
  do {
    ASSIGN_OR_RETURN(const curation_pb::ListProblemsResponse page,
                     rpc::Invoke(*backend.files, &FilesStub::ListProblems, request, Repeatable()));
    for (const curation_pb::Problem& problem : page.problems()) {
      if (problem.severity() == curation_pb::Problem::ERROR) errors.push_back(problem.message());
    }
    request.set_page_token(page.next_page_token());
  } while (errors.empty() && !request.page_token().empty());
  if (errors.empty()) return std::string();
  const size_t more = errors.size() - 1;
  return absl::StrCat(errors[0], more == 0 ? "" : absl::StrCat(" (and ", more, " more)"));
}

absl::StatusOr<nlohmann::json> CheckedFileJson(TuningBackend& backend, const File& file) {
  std::string wrong;
  if (file.state() == File::READY) {
    ASSIGN_OR_RETURN(wrong, WrongLine(backend, file));
  }
  return FileJson(file, wrong);
}

nlohmann::json StoredFileJson(TuningBackend& backend, const File& file) {
  absl::StatusOr<nlohmann::json> json = CheckedFileJson(backend, file);
  if (json.ok()) return *std::move(json);
  // A READY file has a reason exactly if lines of it were left out.
  return FileJson(file, file.state() == File::READY ? file.state_reason() : "");
}

absl::StatusOr<std::string> SealTrainingData(TuningBackend& backend, const TrainingFiles& files) {
  curation_pb::CreateCurationRunRequest create;
  const bool validated = !files.validation_file.empty();
  const auto add = [&](const char* field, const std::string& id,
                       const char* split) -> absl::Status {
    ASSIGN_OR_RETURN(const File file, CheckedFile(backend, files, field, id));
    curation_pb::RunInput& input = *create.mutable_curation_run()->add_inputs();
    input.set_file(file.name());
    input.set_split(split);
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(add("training_file", files.training_file, "train"));
  if (validated) RETURN_IF_ERROR(add("validation_file", files.validation_file, "validation"));
  RETURN_IF_ERROR(EnsureDataset(backend, files.project));
  create.set_parent(absl::StrCat(files.project, "/datasets/", kDatasetId));
  *create.mutable_curation_run()->mutable_recipe() = AsGiven();
  ASSIGN_OR_RETURN(CurationRun run,
                   rpc::Invoke(*backend.runs, &RunsStub::CreateCurationRun, create));
  ASSIGN_OR_RETURN(run, RunToItsEnd(backend, std::move(run)));
  RETURN_IF_ERROR(CheckOverlap(backend, run));
  if (run.state() != CurationRun::SUCCEEDED) {
    return BadFile("training_file",
                   run.error_reason().empty() ? "RUN_NOT_SUCCEEDED" : run.error_reason(),
                   run.state_reason());
  }
  curation_pb::SealDatasetVersionRequest seal;
  seal.set_parent(create.parent());
  seal.set_run(run.name());
  ASSIGN_OR_RETURN(const curation_pb::DatasetVersion version,
                   rpc::Invoke(*backend.datasets, &DatasetsStub::SealDatasetVersion, seal,
                               {.timeout = absl::Minutes(2)}));
  return version.name();
}

}  // namespace crossover::router

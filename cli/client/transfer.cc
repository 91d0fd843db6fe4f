#include "cli/client/transfer.h"

#include <fstream>
#include <memory>
#include <system_error>
#include <vector>

#include "absl/strings/str_cat.h"
#include "cli/client/incoming_file.h"
#include "cli/client/watch.h"
#include "cli/output/error.h"
#include "cli/output/format.h"
#include "cli/output/progress.h"
#include "cli/output/table.h"
#include "common/rpc/error_mapper.h"
#include "common/status/error.h"
#include "crossover/curation/v1/file_service.grpc.pb.h"
#include "crossover/scheduler/v1/model_service.grpc.pb.h"

namespace crossover::cli {
namespace {

namespace curation_pb = ::crossover::curation::v1;
namespace scheduler = ::crossover::scheduler::v1;

constexpr size_t kPiece = 1 << 20;
constexpr int kUploadAttempts = 5;
constexpr absl::Duration kTransferTimeout = absl::Hours(12);
constexpr int kProblemsShown = 20;

// Sends the file's bytes from `offset` on. OK when the server has taken and validated all.
absl::StatusOr<curation_pb::File> Send(Context& context, curation_pb::FileService::Stub& stub,
                                       const curation_pb::File& file,
                                       const std::filesystem::path& path, int64_t size,
                                       ProgressLine& progress) {
  std::ifstream input(path, std::ios::binary);
  if (!input) return UsageError(absl::StrCat("cannot read ", path.string()));
  const int64_t offset = file.size_bytes();
  input.seekg(offset);
  grpc::ClientContext call;
  const std::string key = context.ApiKey();
  rpc::PrepareContext(call, {.timeout = kTransferTimeout, .api_key = key});
  curation_pb::File result;
  auto writer = stub.UploadFile(&call, &result);
  std::vector<char> buffer(kPiece);
  bool open = true;
  for (int64_t sent = offset; open;) {
    curation_pb::UploadFileRequest piece;
    if (sent == offset) {
      piece.set_name(file.name());
      piece.set_offset(offset);
    }
    input.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    piece.set_data(buffer.data(), static_cast<size_t>(input.gcount()));
    sent += input.gcount();
    const bool last = input.gcount() < static_cast<std::streamsize>(buffer.size());
    piece.set_finish(last);
    open = writer->Write(piece) && !last;
    progress.Update(
        absl::StrCat("uploading ", path.filename().string(), "  ",
                     Bar(size > 0 ? static_cast<double>(sent) / static_cast<double>(size) : 1, 24,
                         context.terminal().err_is_terminal),
                     " ", Bytes(sent), " of ", Bytes(size), last ? ", validating" : ""));
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (!status.ok()) return rpc::FromGrpc(status);
  return result;
}

// The first problems of a file, as the server recorded them.
absl::StatusOr<std::vector<curation_pb::Problem>> FirstProblems(
    Context& context, std::unique_ptr<curation_pb::FileService::Stub>& stub,
    const curation_pb::File& file) {
  curation_pb::ListProblemsRequest request;
  request.set_parent(file.name());
  ASSIGN_OR_RETURN(const auto list,
                   context.ListAll(
                       stub, &curation_pb::FileService::Stub::ListProblems, request,
                       [](auto& page) { return page.mutable_problems(); }, kProblemsShown));
  std::vector<curation_pb::Problem> first(list.problems().begin(), list.problems().end());
  if (first.size() > kProblemsShown) first.resize(kProblemsShown);
  return first;
}

std::string PlaceOf(const curation_pb::Problem& problem) {
  return absl::StrCat("line ", problem.line(), problem.field().empty() ? "" : " ", problem.field());
}

// The first problems of a rejected file as one error.
absl::Status Rejected(Context& context, std::unique_ptr<curation_pb::FileService::Stub>& stub,
                      const curation_pb::File& file) {
  ASSIGN_OR_RETURN(const auto problems, FirstProblems(context, stub, file));
  ErrorDetail detail{.reason = "ROW_INVALID"};
  for (const curation_pb::Problem& problem : problems)
    detail.violations.push_back({PlaceOf(problem), problem.message()});
  const std::string more = file.problem_count() > static_cast<int64_t>(detail.violations.size())
                               ? absl::StrCat(", the first ", detail.violations.size(), " are")
                               : ":";
  return Error(absl::StatusCode::kInvalidArgument,
               absl::StrCat(file.filename(), " was rejected: ",
                            file.state_reason().empty()
                                ? absl::StrCat(file.problem_count(), " problems", more)
                                : file.state_reason()),
               std::move(detail));
}

// A file that is taken although some of its lines are not: says which and why.
absl::Status WarnOfProblems(Context& context, std::unique_ptr<curation_pb::FileService::Stub>& stub,
                            const curation_pb::File& file) {
  if (file.problem_count() == 0 || context.globals.json) return absl::OkStatus();
  ASSIGN_OR_RETURN(const auto problems, FirstProblems(context, stub, file));
  Terminal& terminal = context.terminal();
  terminal.err << Styled(terminal, Style::kWarning, "warning:") << " " << file.filename() << ": "
               << Count(file.problem_count())
               << (file.problem_count() == 1 ? " problem" : " problems")
               << (file.state_reason().empty() ? "" : "; " + file.state_reason()) << "\n";
  Details lines;
  bool left_out = false;
  for (const curation_pb::Problem& problem : problems) {
    const bool is_error = problem.severity() != curation_pb::Problem::WARNING;
    left_out = left_out || is_error;
    lines.Add("  " + PlaceOf(problem), problem.message() + (is_error ? "" : " (the row is kept)"));
  }
  const int64_t more = file.problem_count() - static_cast<int64_t>(problems.size());
  if (more > 0) lines.Add("  and", Count(more) + " more");
  lines.Add("  try", left_out
                         ? "go on without these lines, or correct them and import the file again"
                         : "nothing has to be done: keys that nobody reads are ignored");
  terminal.err << lines.Render(terminal);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<curation_pb::File> UploadFile(Context& context, const std::filesystem::path& path,
                                             const std::string& purpose) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  if (error) return UsageError(absl::StrCat("cannot read ", path.string(), ": ", error.message()));
  if (size == 0) return UsageError(absl::StrCat(path.string(), " is empty"));
  auto stub = curation_pb::FileService::NewStub(context.Channel());
  curation_pb::CreateFileRequest create;
  create.set_parent(context.Project());
  create.mutable_file()->set_filename(path.filename().string());
  create.mutable_file()->set_purpose(purpose);
  create.set_request_id(context.RequestId());
  ASSIGN_OR_RETURN(curation_pb::File file,
                   context.Call(stub, &curation_pb::FileService::Stub::CreateFile, create, true));
  ProgressLine progress(context.terminal(), context.world.clock);
  for (int attempt = 1;; ++attempt) {
    auto sent = Send(context, *stub, file, path, static_cast<int64_t>(size), progress);
    if (sent.ok()) {
      file = *std::move(sent);
      break;
    }
    if (sent.status().code() != absl::StatusCode::kUnavailable || attempt == kUploadAttempts) {
      return context.Explained(sent.status());
    }
    context.world.clock.SleepFor(absl::Seconds(1));
    curation_pb::GetFileRequest get;
    get.set_name(file.name());
    ASSIGN_OR_RETURN(file, context.Call(stub, &curation_pb::FileService::Stub::GetFile, get, true));
  }
  // A server may answer before it has validated.
  curation_pb::GetFileRequest get;
  get.set_name(file.name());
  while (file.state() == curation_pb::File::UPLOADING ||
         file.state() == curation_pb::File::VALIDATING) {
    context.world.clock.SleepFor(absl::Milliseconds(200));
    ASSIGN_OR_RETURN(file, context.Call(stub, &curation_pb::FileService::Stub::GetFile, get, true));
  }
  progress.Finish();
  if (file.state() == curation_pb::File::REJECTED) return Rejected(context, stub, file);
  RETURN_IF_ERROR(WarnOfProblems(context, stub, file));
  return file;
}

absl::StatusOr<Downloaded> DownloadArtifact(Context& context, const std::string& digest,
                                            const std::filesystem::path& folder,
                                            const std::string& single_name) {
  auto stub = scheduler::ModelService::NewStub(context.Channel());
  scheduler::DownloadArtifactRequest request;
  request.set_parent(context.Project());
  request.set_digest(digest);
  grpc::ClientContext call;
  const std::string key = context.ApiKey();
  rpc::PrepareContext(call, {.timeout = kTransferTimeout, .api_key = key});
  auto reader = stub->DownloadArtifact(&call, request);
  ProgressLine progress(context.terminal(), context.world.clock);
  scheduler::DownloadArtifactResponse piece;
  std::unique_ptr<IncomingFile> file;
  Downloaded done;
  int64_t total = 0;
  while (reader->Read(&piece)) {
    if (piece.total_bytes() > 0) total = piece.total_bytes();
    if (!piece.path().empty()) {
      if (file) RETURN_IF_ERROR(file->Finish());
      // A single file is called by its digest: people get the name they asked for.
      const bool is_single = digest == "sha256:" + piece.path() || digest == piece.path();
      ASSIGN_OR_RETURN(
          file, IncomingFile::Open(folder, is_single ? single_name : piece.path(), piece.sha256()));
      ++done.files;
    }
    if (file == nullptr) {
      return Error(absl::StatusCode::kDataLoss, "FORMAT_INVALID",
                   absl::StrCat("artifact ", digest, " begins with bytes of no file"));
    }
    RETURN_IF_ERROR(file->Add(piece.data()));
    done.bytes += static_cast<int64_t>(piece.data().size());
    progress.Update(
        absl::StrCat("downloading  ", Bytes(done.bytes), total > 0 ? " of " + Bytes(total) : ""));
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return context.Explained(rpc::FromGrpc(status));
  if (file) RETURN_IF_ERROR(file->Finish());
  return done;
}

}  // namespace crossover::cli

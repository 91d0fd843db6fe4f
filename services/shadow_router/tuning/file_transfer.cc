#include "services/shadow_router/tuning/file_transfer.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/context/request_context.h"
#include "common/http/multipart.h"
#include "common/rpc/error_mapper.h"
#include "common/status/disk_full.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/tuning/openai_json.h"

namespace crossover::router {
namespace {

constexpr size_t kPieceBytes = 1 << 20;
constexpr size_t kMaxField = 64 << 10;
constexpr absl::Duration kTransferTimeout = absl::Minutes(30);  // the request's own is nearer

// Takes the parts of a form: the file to disk, everything else into memory.
class FormTaker {
 public:
  FormTaker(UploadedForm& form, const std::string& file_field, size_t max_bytes)
      : form_(form), file_field_(file_field), max_bytes_(max_bytes) {}

  absl::Status Begin(const http::FormPart& part) {
    field_ = part.name;
    is_file_ = part.name == file_field_;
    if (!is_file_) return absl::OkStatus();
    form_.filename = part.filename.value_or("upload");
    form_.file.reset(std::tmpfile());
    return form_.file == nullptr ? UploadNotKept(errno) : absl::OkStatus();
  }

  absl::Status Data(std::string_view bytes) {
    if (!is_file_) {
      std::string& value = form_.fields[field_];
      if (value.size() + bytes.size() > kMaxField) return TooLarge(field_, kMaxField);
      value.append(bytes);
      return absl::OkStatus();
    }
    form_.size += static_cast<int64_t>(bytes.size());
    if (form_.size > static_cast<int64_t>(max_bytes_)) return TooLarge(field_, max_bytes_);
    const size_t written = std::fwrite(bytes.data(), 1, bytes.size(), form_.file.get());
    return written == bytes.size() ? absl::OkStatus() : UploadNotKept(errno);
  }

 private:
  static absl::Status TooLarge(const std::string& field, size_t limit) {
    const std::string text = absl::StrCat("is larger than ", limit, " bytes");
    return Error(absl::StatusCode::kInvalidArgument, absl::StrCat("'", field, "' ", text),
                 {.reason = "FILE_TOO_LARGE", .metadata = {}, .violations = {{field, text}}});
  }

  UploadedForm& form_;
  const std::string file_field_;
  const size_t max_bytes_;
  std::string field_;
  bool is_file_ = false;
};

absl::StatusOr<curation_pb::File> SendForm(TuningBackend& backend, const std::string& name,
                                           UploadedForm& form) {
  FileWriter writer(backend, name);
  std::vector<char> buffer(kPieceBytes);
  while (true) {
    const size_t got = std::fread(buffer.data(), 1, buffer.size(), form.file.get());
    if (got == 0 || !writer.Write({buffer.data(), got})) break;
  }
  if (std::ferror(form.file.get()) != 0) {
    return Error(absl::StatusCode::kInternal, "FILE_READ_FAILED",
                 "the router cannot read the upload back from its disk");
  }
  return writer.Finish();
}

// The request's time may be what ran out, so this has its own.
absl::Status DropFile(TuningBackend& backend, const std::string& name) {
  RequestContext context = RequestContext::Current();
  context.deadline = absl::InfiniteDuration();
  const ScopedContext scope(std::move(context));
  curation_pb::DeleteFileRequest request;
  request.set_name(name);
  const absl::Status dropped =
      rpc::Invoke(*backend.files, &curation_pb::FileService::Stub::DeleteFile, request,
                  {.timeout = absl::Seconds(10), .idempotent = true})
          .status();
  return absl::IsNotFound(dropped) ? absl::OkStatus() : dropped;
}

}  // namespace

absl::Status UploadNotKept(int error) {
  const std::string message =
      absl::StrCat("the router cannot keep the upload in a temporary file of its machine (",
                   P_tmpdir, "): ", std::generic_category().message(error));
  if (IsDiskFull(error)) {
    return Error(absl::StatusCode::kResourceExhausted, "DISK_FULL",
                 absl::StrCat(message, "; free some space there, then send it again"));
  }
  return Error(absl::StatusCode::kUnavailable, "FILE_WRITE_FAILED", message);
}

absl::StatusOr<UploadedForm> ReadUpload(http::Exchange& exchange, const std::string& file_field,
                                        size_t max_bytes) {
  ASSIGN_OR_RETURN(const std::string boundary,
                   http::BoundaryOf(exchange.request().headers.Get("content-type").value_or("")));
  UploadedForm form;
  FormTaker taker(form, file_field, max_bytes);
  http::MultipartReader reader(
      boundary, [&](const http::FormPart& part) { return taker.Begin(part); },
      [&](std::string_view bytes) { return taker.Data(bytes); });
  while (true) {
    ASSIGN_OR_RETURN(const std::string piece, exchange.ReadBody());
    if (piece.empty()) break;
    RETURN_IF_ERROR(reader.Feed(piece));
  }
  RETURN_IF_ERROR(reader.Finish());
  if (form.file == nullptr) {
    return Error(
        absl::StatusCode::kInvalidArgument,
        absl::StrCat("'", file_field, "' is a required property"),
        {.reason = "FIELD_REQUIRED", .metadata = {}, .violations = {{file_field, "is required"}}});
  }
  // A small file has not left the buffer before.
  if (std::fflush(form.file.get()) != 0) return UploadNotKept(errno);
  if (std::fseek(form.file.get(), 0, SEEK_SET) != 0)
    return absl::ErrnoToStatus(errno, "the uploaded file cannot be read back");
  return form;
}

FileWriter::FileWriter(TuningBackend& backend, const std::string& name) : name_(name) {
  rpc::PrepareContext(context_, {.timeout = kTransferTimeout});
  writer_ = backend.files->UploadFile(&context_, &result_);
}

bool FileWriter::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    curation_pb::UploadFileRequest piece;
    piece.set_name(std::exchange(name_, ""));
    const size_t size = std::min(bytes.size(), kPieceBytes);
    piece.set_data(bytes.data(), size);
    bytes.remove_prefix(size);
    if (!writer_->Write(piece)) return false;
  }
  return true;
}

absl::StatusOr<curation_pb::File> FileWriter::Finish() {
  curation_pb::UploadFileRequest last;
  last.set_name(std::exchange(name_, ""));
  last.set_finish(true);
  // What goes wrong is said by Finish.
  (void)writer_->Write(last);
  (void)writer_->WritesDone();
  const grpc::Status status = writer_->Finish();
  if (!status.ok()) return rpc::FromGrpc(status);
  return std::move(result_);
}

absl::StatusOr<curation_pb::File> StoreUpload(TuningBackend& backend,
                                              const curation_pb::CreateFileRequest& create,
                                              UploadedForm& form) {
  ASSIGN_OR_RETURN(
      const curation_pb::File file,
      rpc::Invoke(*backend.files, &curation_pb::FileService::Stub::CreateFile, create,
                  {.timeout = absl::Seconds(30), .idempotent = !create.request_id().empty()}));
  absl::StatusOr<curation_pb::File> sent = SendForm(backend, file.name(), form);
  if (sent.ok()) return sent;
  if (const absl::Status dropped = DropFile(backend, file.name()); !dropped.ok()) {
    return WithContext(sent.status(), absl::StrCat(FileIdOf(file.name()), " may be left behind (",
                                                   dropped.message(), ")"));
  }
  return sent;
}

absl::Status ReadFile(TuningBackend& backend, const std::string& name,
                      const std::function<absl::Status(std::string_view)>& take) {
  curation_pb::DownloadFileRequest request;
  request.set_name(name);
  grpc::ClientContext context;
  rpc::PrepareContext(context, {.timeout = kTransferTimeout});
  auto reader = backend.files->DownloadFile(&context, request);
  curation_pb::DownloadFileResponse piece;
  absl::Status taken;
  while (taken.ok() && reader->Read(&piece)) taken = take(piece.data());
  if (!taken.ok()) context.TryCancel();
  const grpc::Status status = reader->Finish();
  if (!taken.ok()) return taken;
  return status.ok() ? absl::OkStatus() : rpc::FromGrpc(status);
}

}  // namespace crossover::router

// /v1/uploads: files that arrive in parts, in any order. An upload is a file of data_curation whose
// bytes have not come; each part is a file of its own until the upload is completed.
#include <openssl/evp.h>

#include <array>
#include <memory>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/id/uuid7.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/shadow_router/tuning/file_transfer.h"
#include "services/shadow_router/tuning/openai_json.h"
#include "services/shadow_router/tuning/route_support.h"
#include "services/shadow_router/tuning/training_data.h"
#include "services/shadow_router/tuning/tuning_routes.h"

namespace crossover::router {
namespace {

using Json = nlohmann::json;
using FilesStub = curation_pb::FileService::Stub;

constexpr char kUploadPrefix[] = "upload_";
constexpr char kPartPrefix[] = "part_";
constexpr size_t kMaxPart = size_t{64} << 20;
constexpr size_t kMaxParts = 10'000;
constexpr int64_t kUploadSeconds = 3600;

absl::Status BadUpload(const std::string& field, const std::string& text,
                       const char* reason = "FIELD_INVALID") {
  return Error(absl::StatusCode::kInvalidArgument, absl::StrCat("'", field, "' ", text),
               {.reason = reason, .metadata = {}, .violations = {{field, text}}});
}

absl::StatusOr<std::string> NameBehind(const std::string& project, const char* prefix,
                                       const std::string& id, const char* what) {
  const std::string_view start(prefix);
  if (id.rfind(prefix, 0) == 0 && ParseId(std::string_view(id).substr(start.size())).ok()) {
    return absl::StrCat(project, "/files/", id.substr(start.size()));
  }
  return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
               absl::StrCat("No such ", what, ": ", id.substr(0, 100)));
}

std::string IdBehind(const char* prefix, const curation_pb::File& file) {
  return absl::StrCat(prefix, file.name().substr(file.name().rfind('/') + 1));
}

std::string LabelText(const curation_pb::File& file, const char* label) {
  const auto found = file.labels().find(label);
  return found == file.labels().end() ? "" : found->second;
}

// Without its file.
Json UploadJson(const curation_pb::File& file, const char* status) {
  int64_t bytes = 0;
  (void)absl::SimpleAtoi(LabelText(file, kUploadBytesLabel), &bytes);
  const int64_t created = file.create_time().seconds();
  return {{"id", IdBehind(kUploadPrefix, file)},
          {"object", "upload"},
          {"bytes", bytes},
          {"created_at", created},
          {"expires_at", created + kUploadSeconds},
          {"filename", file.filename()},
          {"purpose", file.purpose()},
          {"status", status},
          {"file", Json()}};
}

absl::StatusOr<Json> BodyOf(const RouteCall& call) {
  Json body = Json::parse(call.request.body, nullptr, /*allow_exceptions=*/false);
  if (body.is_object()) return body;
  return Error(absl::StatusCode::kInvalidArgument, "FORMAT_INVALID",
               "the body must be a JSON object");
}

absl::StatusOr<std::string> TextField(const Json& body, const char* field) {
  const auto found = body.find(field);
  if (found != body.end() && found->is_string() && !found->get<std::string>().empty()) {
    return found->get<std::string>();
  }
  return BadUpload(field, "is required: a string", "FIELD_REQUIRED");
}

// The upload, still open: NOT_FOUND if there is none, STATE_INVALID if it has ended.
absl::StatusOr<curation_pb::File> OpenUpload(const TuningRoutes& routes, const RouteCall& call) {
  curation_pb::GetFileRequest request;
  const std::string id = PathPart(call, "upload");
  ASSIGN_OR_RETURN(*request.mutable_name(), NameBehind(call.project, kUploadPrefix, id, "upload"));
  ASSIGN_OR_RETURN(const curation_pb::File file,
                   rpc::Invoke(*routes.backend.files, &FilesStub::GetFile, request, Repeatable()));
  if (LabelText(file, kUploadBytesLabel).empty()) {
    return Error(absl::StatusCode::kNotFound, "RESOURCE_NOT_FOUND",
                 absl::StrCat("No such upload: ", id));
  }
  if (file.state() != curation_pb::File::UPLOADING) {
    return Error(absl::StatusCode::kFailedPrecondition, "STATE_INVALID",
                 absl::StrCat("upload ", id, " has been completed"));
  }
  return file;
}

absl::StatusOr<Json> CreateUpload(const TuningRoutes& routes, const RouteCall& call) {
  ASSIGN_OR_RETURN(const Json body, BodyOf(call));
  curation_pb::CreateFileRequest create;
  create.set_parent(call.project);
  create.set_request_id(RequestIdOf(call));
  curation_pb::File& file = *create.mutable_file();
  ASSIGN_OR_RETURN(*file.mutable_filename(), TextField(body, "filename"));
  ASSIGN_OR_RETURN(*file.mutable_purpose(), TextField(body, "purpose"));
  RETURN_IF_ERROR(TextField(body, "mime_type").status());
  const Json bytes = body.value("bytes", Json());
  if (!bytes.is_number_integer() || bytes.get<int64_t>() < 1 ||
      bytes.get<int64_t>() > static_cast<int64_t>(routes.options.max_file_bytes)) {
    return BadUpload(
        "bytes", absl::StrCat("must be a whole number from 1 to ", routes.options.max_file_bytes));
  }
  const Json expiry = body.value("expires_after", Json());
  if (expiry.is_object()) {
    ASSIGN_OR_RETURN(const int64_t seconds,
                     ExpirySeconds(expiry.value("anchor", ""),
                                   expiry.contains("seconds") ? expiry["seconds"].dump() : ""));
    file.mutable_expire_time()->set_seconds(absl::ToUnixSeconds(routes.backend.clock.Now()) +
                                            seconds);
  }
  (*file.mutable_labels())[kUploadBytesLabel] = bytes.dump();
  ASSIGN_OR_RETURN(const curation_pb::File created,
                   rpc::Invoke(*routes.backend.files, &FilesStub::CreateFile, create));
  return UploadJson(created, "pending");
}

absl::Status TakePart(const TuningRoutes& routes, const RouteCall& call, http::Exchange& exchange) {
  ASSIGN_OR_RETURN(const curation_pb::File upload, OpenUpload(routes, call));
  ASSIGN_OR_RETURN(UploadedForm form, ReadUpload(exchange, "data", kMaxPart));
  if (form.size == 0) return BadUpload("data", "is empty", "FILE_EMPTY");
  curation_pb::CreateFileRequest create;
  create.set_parent(call.project);
  create.mutable_file()->set_filename("part");
  create.mutable_file()->set_purpose("user_data");
  const std::string id = IdBehind(kUploadPrefix, upload);
  (*create.mutable_file()->mutable_labels())[kUploadLabel] = id;
  create.mutable_file()->mutable_expire_time()->set_seconds(
      absl::ToUnixSeconds(routes.backend.clock.Now()) + kUploadSeconds);
  ASSIGN_OR_RETURN(const curation_pb::File part, StoreUpload(routes.backend, create, form));
  return exchange.Respond(JsonResponse({{"id", IdBehind(kPartPrefix, part)},
                                        {"object", "upload.part"},
                                        {"created_at", part.create_time().seconds()},
                                        {"upload_id", id}}));
}

// The parts in the order asked for, each of this upload; together as long as was announced.
absl::StatusOr<std::vector<curation_pb::File>> PartsOf(const TuningRoutes& routes,
                                                       const RouteCall& call,
                                                       const curation_pb::File& upload,
                                                       const Json& ids) {
  if (!ids.is_array() || ids.empty() || ids.size() > kMaxParts) {
    return BadUpload("part_ids", "is required: an array of the parts' ids in order",
                     "FIELD_REQUIRED");
  }
  std::vector<curation_pb::File> parts;
  int64_t sum = 0;
  for (const Json& id : ids) {
    curation_pb::GetFileRequest request;
    ASSIGN_OR_RETURN(*request.mutable_name(),
                     NameBehind(call.project, kPartPrefix,
                                id.is_string() ? id.get<std::string>() : id.dump(), "part"));
    ASSIGN_OR_RETURN(curation_pb::File part, rpc::Invoke(*routes.backend.files, &FilesStub::GetFile,
                                                         request, Repeatable()));
    if (LabelText(part, kUploadLabel) != IdBehind(kUploadPrefix, upload)) {
      return BadUpload("part_ids", absl::StrCat("names ", IdBehind(kPartPrefix, part),
                                                ", which is a part of another upload"));
    }
    sum += part.size_bytes();
    parts.push_back(std::move(part));
  }
  if (absl::StrCat(sum) != LabelText(upload, kUploadBytesLabel)) {
    return BadUpload("part_ids",
                     absl::StrCat("are ", sum, " bytes together, but ",
                                  LabelText(upload, kUploadBytesLabel), " were announced"));
  }
  return parts;
}

// MD5 of what passes by: the contract's checksum.
class Md5 {
 public:
  Md5() : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free) {
    EVP_DigestInit_ex(context_.get(), EVP_md5(), nullptr);
  }
  void Add(std::string_view bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }
  std::string Hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> bytes;
    unsigned int size = 0;
    EVP_DigestFinal_ex(context_.get(), bytes.data(), &size);
    return absl::BytesToHexString(
        absl::string_view(reinterpret_cast<const char*>(bytes.data()), size));
  }

 private:
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

// Best effort: what stays expires.
void DropParts(const TuningRoutes& routes, const std::vector<curation_pb::File>& parts) {
  for (const curation_pb::File& part : parts) {
    curation_pb::DeleteFileRequest request;
    request.set_name(part.name());
    (void)rpc::Invoke(*routes.backend.files, &FilesStub::DeleteFile, request).status();
  }
}

absl::StatusOr<Json> CompleteUpload(const TuningRoutes& routes, const RouteCall& call) {
  ASSIGN_OR_RETURN(const Json body, BodyOf(call));
  ASSIGN_OR_RETURN(const curation_pb::File upload, OpenUpload(routes, call));
  ASSIGN_OR_RETURN(const std::vector<curation_pb::File> parts,
                   PartsOf(routes, call, upload, body.value("part_ids", Json())));
  const std::string wanted =
      body.contains("md5") && body["md5"].is_string() ? body["md5"].get<std::string>() : "";
  if (!wanted.empty()) {
    Md5 md5;
    for (const curation_pb::File& part : parts) {
      RETURN_IF_ERROR(ReadFile(routes.backend, part.name(), [&](std::string_view bytes) {
        md5.Add(bytes);
        return absl::OkStatus();
      }));
    }
    const std::string actual = md5.Hex();
    if (!absl::EqualsIgnoreCase(actual, wanted)) {
      return BadUpload("md5", absl::StrCat("is ", wanted, ", but the parts have ", actual),
                       "DIGEST_MISMATCH");
    }
  }
  FileWriter writer(routes.backend, upload.name());
  for (const curation_pb::File& part : parts) {
    RETURN_IF_ERROR(ReadFile(routes.backend, part.name(), [&](std::string_view bytes) {
      return writer.Write(bytes) ? absl::OkStatus() : absl::CancelledError("see Finish");
    }));
  }
  ASSIGN_OR_RETURN(const curation_pb::File file, writer.Finish());
  DropParts(routes, parts);
  Json completed = UploadJson(file, "completed");
  completed["file"] = StoredFileJson(routes.backend, file);
  return completed;
}

absl::StatusOr<Json> CancelUpload(const TuningRoutes& routes, const RouteCall& call) {
  ASSIGN_OR_RETURN(const curation_pb::File upload, OpenUpload(routes, call));
  curation_pb::DeleteFileRequest request;
  request.set_name(upload.name());
  RETURN_IF_ERROR(rpc::Invoke(*routes.backend.files, &FilesStub::DeleteFile, request).status());
  return UploadJson(upload, "cancelled");
}

}  // namespace

void AddUploadRoutes(http::Server& server, TuningRoutes& routes) {
  AddJsonRoute(server, routes, "POST", "/v1/uploads", Access::kCall,
               [&routes](const RouteCall& call) { return CreateUpload(routes, call); });
  AddStreamRoute(server, routes, "POST", "/v1/uploads/{upload}/parts", Access::kCall,
                 [&routes](const RouteCall& call, http::Exchange& exchange) {
                   return TakePart(routes, call, exchange);
                 },
                 {.max_body_bytes = kMaxPart + (1 << 20), .stream_body = true});
  AddJsonRoute(
      server, routes, "POST", "/v1/uploads/{upload}/complete", Access::kCall,
      [&routes](const RouteCall& call) { return CompleteUpload(routes, call); },
      routes.options.create_timeout);
  AddJsonRoute(server, routes, "POST", "/v1/uploads/{upload}/cancel", Access::kCall,
               [&routes](const RouteCall& call) { return CancelUpload(routes, call); });
}

}  // namespace crossover::router

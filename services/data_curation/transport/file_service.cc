#include "services/data_curation/transport/file_service.h"

#include <google/protobuf/util/time_util.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/list/page.h"
#include "common/rpc/request_key.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "services/data_curation/transport/convert.h"
#include "services/data_curation/transport/names.h"
#include "services/data_curation/transport/paged.h"

namespace crossover::curation {
namespace {

constexpr size_t kFilePiece = size_t{1} << 20;

std::optional<std::string> FieldOf(const FileRecord& file, const std::string& field) {
  if (field == "purpose") return file.purpose;
  if (field == "state") return std::string(Name(file.state));
  if (field == "format") return std::string(Name(file.format));
  return LabelOf(file.labels, field);
}

}  // namespace

absl::Status FileServiceImpl::DoCreateFile(const v1::CreateFileRequest& request,
                                           v1::File& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), kProjectPattern, "parent"));
  FileRecord file{.project = parent[0],
                  .filename = request.file().filename(),
                  .purpose = request.file().purpose()};
  ASSIGN_OR_RETURN(file.labels, LabelsFromProto(request.file().labels()));
  if (request.file().has_expire_time()) {
    file.expire_time = absl::FromUnixSeconds(request.file().expire_time().seconds());
  }
  ASSIGN_OR_RETURN(const RequestKey key, rpc::RequestKeyOf(request, rpc::FieldNames::kJson));
  ASSIGN_OR_RETURN(file, files_.Create(std::move(file), key));
  response = ToProto(file);
  return absl::OkStatus();
}

absl::Status FileServiceImpl::DoGetFile(const v1::GetFileRequest& request, v1::File& response) {
  ASSIGN_OR_RETURN(const auto name, ParseScoped(request.name(), kFilePattern, "name"));
  ASSIGN_OR_RETURN(const FileRecord file, files_.Get(name[0], name[1]));
  response = ToProto(file);
  return absl::OkStatus();
}

absl::Status FileServiceImpl::DoListFiles(const v1::ListFilesRequest& request,
                                          v1::ListFilesResponse& response) {
  ASSIGN_OR_RETURN(const auto parent, ParseScoped(request.parent(), kProjectPattern, "parent"));
  ASSIGN_OR_RETURN(
      const Listed<FileRecord> listed,
      ListFiltered<FileRecord>(
          {parent[0], "", request.page_size(), request.page_token(), request.filter(),
           request.order_by()},
          {"purpose", "state", "format", "labels.*"},
          [this](const PageQuery& query) { return store_.ListFiles(query); }, FieldOf));
  for (const FileRecord& file : listed.records) *response.add_files() = ToProto(file);
  response.set_next_page_token(listed.next_page_token);
  return absl::OkStatus();
}

absl::Status FileServiceImpl::DoDeleteFile(const v1::DeleteFileRequest& request,
                                           google::protobuf::Empty&) {
  ASSIGN_OR_RETURN(const auto name, ParseScoped(request.name(), kFilePattern, "name"));
  return files_.Delete(name[0], name[1]);
}

absl::Status FileServiceImpl::DoListProblems(const v1::ListProblemsRequest& request,
                                             v1::ListProblemsResponse& response) {
  ASSIGN_OR_RETURN(const auto name, ParseScoped(request.parent(), kFilePattern, "parent"));
  ASSIGN_OR_RETURN(const int size, list::PageSize(request.page_size()));
  ASSIGN_OR_RETURN(const std::string position,
                   list::ParsePageToken(request.page_token(), request.parent()));
  int64_t from = 0;
  if (!position.empty() && !absl::SimpleAtoi(position, &from)) {
    return Error(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID", "page_token is damaged");
  }
  ASSIGN_OR_RETURN(const std::vector<Problem> problems,
                   store_.ListProblems(name[0], name[1], from, size + 1));
  for (size_t i = 0; i < problems.size() && static_cast<int>(i) < size; ++i) {
    *response.add_problems() = ToProto(problems[i]);
  }
  if (static_cast<int>(problems.size()) > size) {
    response.set_next_page_token(list::MakePageToken(absl::StrCat(from + size), request.parent()));
  }
  return absl::OkStatus();
}

grpc::ServerReadReactor<v1::UploadFileRequest>* FileServiceImpl::UploadFile(
    grpc::CallbackServerContext* context, v1::File* response) {
  return handler_.Upload<v1::UploadFileRequest>(
      context, "UploadFile",
      [this, response](const rpc::Call&, rpc::UploadReader<v1::UploadFileRequest>& reader) {
        return DoUpload(reader, *response);
      });
}

absl::Status FileServiceImpl::DoUpload(rpc::UploadReader<v1::UploadFileRequest>& reader,
                                       v1::File& response) {
  v1::UploadFileRequest piece;
  if (!reader.Read(&piece)) {
    return Error(absl::StatusCode::kInvalidArgument, "FIELD_REQUIRED",
                 "the first message must name the file");
  }
  ASSIGN_OR_RETURN(const auto name, ParseScoped(piece.name(), kFilePattern, "name"));
  ASSIGN_OR_RETURN(FileRecord file, files_.Get(name[0], name[1]));
  bool finish = false;
  std::string sha256;
  if (file.state == FileState::kUploading) {
    ASSIGN_OR_RETURN(const std::unique_ptr<FileManager::Upload> upload,
                     files_.OpenUpload(file, piece.offset()));
    do {
      RETURN_IF_ERROR(upload->Append(piece.data()));
      finish = piece.finish();
      sha256 = piece.sha256();
    } while (!finish && reader.Read(&piece));
  } else {
    finish = piece.finish();  // an earlier call stored the bytes and did not live to say so
  }
  if (finish) {
    ASSIGN_OR_RETURN(file, files_.Finish(name[0], name[1], sha256));
  } else {
    ASSIGN_OR_RETURN(file, files_.Get(name[0], name[1]));
  }
  response = ToProto(file);
  return absl::OkStatus();
}

grpc::ServerWriteReactor<v1::DownloadFileResponse>* FileServiceImpl::DownloadFile(
    grpc::CallbackServerContext* context, const v1::DownloadFileRequest* request) {
  return handler_.ServerStream<v1::DownloadFileResponse>(
      context, "DownloadFile",
      [this, request](const rpc::Call&, rpc::Stream<v1::DownloadFileResponse> stream) {
        stream.Finish(DoDownload(*request, stream));
      });
}

absl::Status FileServiceImpl::DoDownload(const v1::DownloadFileRequest& request,
                                         const rpc::Stream<v1::DownloadFileResponse>& stream) {
  ASSIGN_OR_RETURN(const auto name, ParseScoped(request.name(), kFilePattern, "name"));
  ASSIGN_OR_RETURN(const FileRecord file, store_.GetFile(name[0], name[1]));
  if (file.sha256.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, "FILE_NOT_READY",
                 absl::StrCat("file ", file.id, " is still UPLOADING"));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<BlobReader> reader, blobs_.Open(file.sha256));
  int64_t skip = request.offset();
  while (true) {
    ASSIGN_OR_RETURN(std::string bytes, reader->Read(kFilePiece));
    if (bytes.empty()) return absl::OkStatus();
    if (skip >= static_cast<int64_t>(bytes.size())) {
      skip -= static_cast<int64_t>(bytes.size());
      continue;
    }
    v1::DownloadFileResponse piece;
    piece.set_data(bytes.substr(skip));
    skip = 0;
    if (!stream.WriteBlocking(std::move(piece))) return absl::CancelledError("the client has gone");
  }
}

}  // namespace crossover::curation

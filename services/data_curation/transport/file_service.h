// curation.v1.FileService: translates, and nothing else.
#pragma once

#include "common/blob/blob_store.h"
#include "common/rpc/handler.h"
#include "crossover/curation/v1/file_service.grpc.pb.h"
#include "services/data_curation/domain/file_manager.h"
#include "services/data_curation/transport/unary.h"

namespace crossover::curation {

// Borrows everything.
class FileServiceImpl final : public v1::FileService::CallbackService {
 public:
  FileServiceImpl(rpc::Handler& handler, FileManager& files, CurationStore& store, BlobStore& blobs)
      : handler_(handler), files_(files), store_(store), blobs_(blobs) {}

  CROSSOVER_UNARY(CreateFile, v1::CreateFileRequest, v1::File)
  CROSSOVER_UNARY(GetFile, v1::GetFileRequest, v1::File)
  CROSSOVER_UNARY(ListFiles, v1::ListFilesRequest, v1::ListFilesResponse)
  CROSSOVER_UNARY(DeleteFile, v1::DeleteFileRequest, google::protobuf::Empty)
  CROSSOVER_UNARY(ListProblems, v1::ListProblemsRequest, v1::ListProblemsResponse)

  grpc::ServerReadReactor<v1::UploadFileRequest>* UploadFile(grpc::CallbackServerContext* context,
                                                             v1::File* response) override;
  grpc::ServerWriteReactor<v1::DownloadFileResponse>* DownloadFile(
      grpc::CallbackServerContext* context, const v1::DownloadFileRequest* request) override;

 private:
  absl::Status DoUpload(rpc::UploadReader<v1::UploadFileRequest>& reader, v1::File& response);
  absl::Status DoDownload(const v1::DownloadFileRequest& request,
                          const rpc::Stream<v1::DownloadFileResponse>& stream);

  rpc::Handler& handler_;
  FileManager& files_;
  CurationStore& store_;
  BlobStore& blobs_;
};

}  // namespace crossover::curation
